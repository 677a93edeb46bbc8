import { describe, expect, it } from 'vitest';
import { bytesText, flopText, timeRangeText, timeText } from '../src/units.ts';

describe('amounts for people', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [4_096, '4.1 kB'],
    [99_960, '100 kB'],
    [543e6, '543 MB'],
    [999_600_000, '1.0 GB'],
    [25.277e9, '25.3 GB'],
    [1.1e12, '1.1 TB'],
  ])('%s bytes are %s', (bytes, text) => expect(bytesText(bytes)).toBe(text));

  it('counts floating-point operations in the same prefixes', () => {
    expect(flopText(2.38e14)).toBe('238 TFLOP');
    expect(flopText(5.27e19)).toBe('52.7 EFLOP');
  });

  it.each([
    [400, '0.4 s'],
    [59_700, '1 min 00 s'],
    [200_000, '3 min 20 s'],
    [3_720_000, '1 h 02 min'],
    [50 * 3_600_000, '2 days 2 h'],
    [24.2 * 86_400_000, '24 days'],
    [5 * 365 * 86_400_000, '5 years'],
  ])('%s ms are %s', (ms, text) => expect(timeText(ms)).toBe(text));

  it('names a unit once in a range of the same unit', () => {
    expect(timeRangeText(12_000, 31_000)).toBe('12 to 31 s');
    expect(timeRangeText(40_000, 200_000)).toBe('40 s to 3.3 min');
    expect(timeRangeText(9 * 86_400_000, 24 * 86_400_000)).toBe('9 to 24 days');
    expect(timeRangeText(12_000, 12_100)).toBe('12 s');
  });
});
