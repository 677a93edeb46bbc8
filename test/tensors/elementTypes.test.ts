import { describe, expect, it } from 'vitest';
import { fromFloat32, toBfloat16, toFloat32 } from '../../src/tensors/elementTypes.ts';

const all = Uint16Array.from({ length: 65_536 }, (_, i) => i);
const halvesOf = (bytes: Uint8Array): Uint16Array => new Uint16Array(bytes.slice().buffer);

describe.each(['F16', 'BF16'] as const)('%s', (type) => {
  it('survives conversion to float32 and back bit for bit, for every value', () => {
    const values = toFloat32(new Uint8Array(all.buffer), type);
    const back = halvesOf(fromFloat32(values, type));
    const different = [...all].filter((half) => back[half] !== half);
    expect(
      different.every(
        (half) =>
          Number.isNaN(values[half]!) &&
          Number.isNaN(toFloat32(Uint8Array.of(back[half]! & 255, back[half]! >> 8), type)[0]!),
      ),
    ).toBe(true);
    expect(values.filter(Number.isFinite).length).toBe(type === 'F16' ? 65_536 - 2048 : 65_536 - 256);
  });
});

describe('rounding', () => {
  const rounded = (value: number, type: 'F16' | 'BF16') =>
    toFloat32(fromFloat32(Float32Array.of(value), type), type)[0];

  it('is to nearest, ties to even', () => {
    // One unit of the last place of 1 is 2^-10 in float16 and 2^-7 in bfloat16.
    expect([1 + 2 ** -11, 1 + 3 * 2 ** -11, 1 + 2 ** -11 + 2 ** -20].map((value) => rounded(value, 'F16'))).toEqual([
      1,
      1 + 2 ** -9,
      1 + 2 ** -10,
    ]);
    expect([1 + 2 ** -8, 1 + 3 * 2 ** -8, -1 - 2 ** -8 - 2 ** -20].map((value) => rounded(value, 'BF16'))).toEqual([
      1,
      1 + 2 ** -6,
      -1 - 2 ** -7,
    ]);
  });

  it('makes every NaN the same bfloat16', () => {
    const bits = Uint32Array.of(0x7fc00000, 0xffc00000, 0x7f800001, 0xffffffff, 0x7f800000, 0xff800000);
    expect([...toBfloat16(new Float32Array(bits.buffer))]).toEqual([0x7fc0, 0x7fc0, 0x7fc0, 0x7fc0, 0x7f80, 0xff80]);
  });

  it('covers subnormals and infinity of float16', () => {
    expect(
      [2 ** -24, 2 ** -25, 3 * 2 ** -25, 1023.5 * 2 ** -24, -(2 ** -14)].map((value) => rounded(value, 'F16')),
    ).toEqual([2 ** -24, 0, 2 ** -23, 2 ** -14, -(2 ** -14)]);
    expect([65_504, 65_519, 65_520, -1e30].map((value) => rounded(value, 'F16'))).toEqual([
      65_504,
      65_504,
      Infinity,
      -Infinity,
    ]);
  });
});
