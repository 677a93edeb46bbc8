import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { firstBadByte, repaired } from '../../src/data/utf8.ts';

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
/** Bytes that are next to characters in all the ways there are. */
const nearlyText = fc
  .array(
    fc.oneof(
      fc.constantFrom(...['a', 'é', '€', '😀', '\u{10FFFF}', '\uFEFF', '\0'].map((text) => [...Buffer.from(text)])),
      fc.constantFrom(
        [0xe2, 0x82],
        [0xf0, 0x9f, 0x98],
        [0xf0, 0x80, 0x80],
        [0xed, 0xa0, 0x80],
        [0xf4, 0x90, 0x80, 0x80],
        [0xc0, 0xaf],
        [0xe0, 0x9f],
        [0x80],
        [0xff],
      ),
      fc.uint8Array({ maxLength: 3 }).map((bytes) => [...bytes]),
    ),
    { maxLength: 12 },
  )
  .map((parts) => Uint8Array.from(parts.flat()));

describe('bytes that are not UTF-8', () => {
  test('are replaced as by a decoder of the Encoding Standard, and skipped at the same positions', () => {
    let [bad, good] = [0, 0];
    fc.assert(
      fc.property(nearlyText, (bytes) => {
        const replaced = repaired(bytes, 'replace');
        expect(Buffer.from(replaced.bytes).toString()).toBe(decoder.decode(bytes));
        const skipped = repaired(bytes, 'skip');
        expect(skipped.badBytes).toBe(replaced.badBytes);
        expect(skipped.bytes.length + skipped.badBytes).toBe(bytes.length);
        expect(decoder.decode(skipped.bytes)).toBe(decoder.decode(bytes).replaceAll('\uFFFD', ''));
        replaced.badBytes > 0 ? bad++ : good++;
      }),
      { numRuns: 2000 },
    );
    expect(Math.min(bad, good)).toBeGreaterThan(100);
  });

  test('are found at the first one', () => {
    fc.assert(
      fc.property(nearlyText, (bytes) => {
        const at = firstBadByte(bytes);
        const text = decoder.decode(bytes);
        expect(at < 0).toBe(Buffer.from(text).equals(bytes));
        if (at < 0) return;
        const before = text.slice(0, text.indexOf('\uFFFD'));
        expect(Buffer.from(bytes.subarray(0, at)).toString()).toBe(before);
      }),
      { numRuns: 1000 },
    );
  });

  test('take linear time, however many they are', () => {
    const bytes = new Uint8Array(1 << 20).map((_, i) => (i % 3 === 0 ? 0xe9 : 0x61)); // Latin-1
    const startMs = performance.now();
    expect(repaired(bytes, 'replace').badBytes).toBe(Math.ceil(bytes.length / 3));
    expect(performance.now() - startMs).toBeLessThan(5000);
  });
});
