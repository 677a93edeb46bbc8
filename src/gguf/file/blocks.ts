/**
 * Converts blocks of GGUF tensors to float32 and back, with the results of the `gguf` package to the last bit. Products
 * and sums are computed in double precision and rounded once: every product of a scale and a small integer fits into
 * float32's 24 bits, so only the final addition rounds, in float32 as here.
 */
import { fromFloat16, fromFloat32, toFloat32, type FloatType } from '../../tensors/elementTypes.ts';
import { bytesOfValues, ggmlTypes, type GgmlTypeName } from './ggmlTypes.ts';

/** Bits of a byte above the lower four. */
const half = 4;

type ReadBlock = (bytes: Uint8Array, at: number, values: Float32Array, start: number) => void;

/** The values of whole blocks. */
export function dequantize(bytes: Uint8Array, type: GgmlTypeName): Float32Array {
  if (type === 'F32' || type === 'F16' || type === 'BF16') return toFloat32(bytes, type);
  const { blockValues, blockBytes } = ggmlTypes[type];
  const blocks = bytes.length / blockBytes;
  const values = new Float32Array(blocks * blockValues);
  const read = readBlock[type];
  for (let i = 0; i < blocks; i++) read(bytes, i * blockBytes, values, i * blockValues);
  return values;
}

/** Q8_0: a float16 scale d, and 32 signed bytes. @param values whole blocks of 32 finite values */
export function quantizeQ8(values: Float32Array): Uint8Array {
  const { blockValues, blockBytes } = ggmlTypes.Q8_0;
  const bytes = new Uint8Array(bytesOfValues('Q8_0', values.length));
  const scales = new Float32Array(values.length / blockValues);
  for (let i = 0; i < scales.length; i++) {
    let largest = 0;
    for (let j = 0; j < blockValues; j++) largest = Math.max(largest, Math.abs(values[i * blockValues + j]!));
    const scale = Math.fround(largest / 127);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    scales[i] = scale;
    for (let j = 0; j < blockValues; j++) {
      const value = Math.fround(values[i * blockValues + j]! * inverse);
      const rounded = Math.floor(Math.abs(value) + 0.5); // half away from zero
      bytes[i * blockBytes + 2 + j] = value < 0 ? -rounded : rounded;
    }
  }
  const halves = fromFloat32(scales, 'F16');
  for (let i = 0; i < scales.length; i++) bytes.set(halves.subarray(2 * i, 2 * i + 2), i * blockBytes);
  return bytes;
}

/** Little-endian bytes of values in a type that clm writes. */
export const blocksOf = (values: Float32Array, type: FloatType | 'Q8_0'): Uint8Array =>
  type === 'Q8_0' ? quantizeQ8(values) : fromFloat32(values, type);

const float16 = (bytes: Uint8Array, at: number): number => fromFloat16(bytes[at]! | (bytes[at + 1]! << 8));
const signed = (byte: number): number => (byte << 24) >> 24;

/**
 * The types of 32 values: the scale d, for some the minimum m, for five bits the fifth of each value, then two values a
 * byte, the first sixteen in the lower halves.
 */
const smallBlock =
  (bits: 4 | 5, hasMinimum: boolean): ReadBlock =>
  (bytes, at, values, start) => {
    const scale = float16(bytes, at);
    const minimum = hasMinimum ? float16(bytes, at + 2) : 0;
    const highAt = at + (hasMinimum ? 4 : 2);
    const lowAt = highAt + (bits === 5 ? 4 : 0);
    const middle = hasMinimum ? 0 : 1 << (bits - 1);
    for (let i = 0; i < 32; i++) {
      const low = (bytes[lowAt + (i & 15)]! >> (i < 16 ? 0 : half)) & 15;
      const high = bits === 5 ? (bytes[highAt + (i >> 3)]! >> (i & 7)) & 1 : 0;
      const product = scale * ((low | (high << 4)) - middle);
      values[start + i] = hasMinimum ? product + minimum : product;
    }
  };

/**
 * Q4_K and Q5_K: scales d of the scales and e of the minimums, eight scales and minimums of six bits, for five bits the
 * fifth of each value, then two values a byte, 32 in the lower halves and the next 32 in the upper.
 */
const largeBlock =
  (bits: 4 | 5): ReadBlock =>
  (bytes, at, values, start) => {
    const scaleOfScales = float16(bytes, at);
    const scaleOfMinimums = float16(bytes, at + 2);
    const packed = at + 4;
    const highAt = packed + 12;
    const lowAt = highAt + (bits === 5 ? 32 : 0);
    for (let group = 0; group < 8; group++) {
      const scale = scaleOfScales * sixBits(bytes, packed, group, 0);
      const minimum = scaleOfMinimums * sixBits(bytes, packed, group, 4);
      for (let i = 0; i < 32; i++) {
        const low = (bytes[lowAt + (group >> 1) * 32 + i]! >> ((group & 1) * half)) & 15;
        const high = bits === 5 ? (bytes[highAt + i]! >> group) & 1 : 0;
        values[start + group * 32 + i] = scale * (low | (high << 4)) - minimum;
      }
    }
  };

/**
 * Scale (`offset` 0) or minimum (4) of a group. The first four have the lower six bits of a byte; of the others, four
 * bits are in the last four bytes and the upper two in the bytes of the first four.
 */
function sixBits(bytes: Uint8Array, packed: number, group: number, offset: 0 | 4): number {
  if (group < 4) return bytes[packed + offset + group]! & 63;
  const low = (bytes[packed + 8 + group - 4]! >> (offset === 0 ? 0 : half)) & 15;
  return low | ((bytes[packed + offset + group - 4]! >> 2) & 48);
}

/** Q6_K: the lower four bits of each value, the upper two, sixteen signed scales, and their scale. */
const readQ6: ReadBlock = (bytes, at, values, start) => {
  const highAt = at + 128;
  const scalesAt = highAt + 64;
  const scaleOfScales = float16(bytes, scalesAt + 16);
  for (let i = 0; i < 256; i++) {
    const [part, quarter, column] = [i >> 7, (i >> 5) & 3, i & 31];
    const low = (bytes[at + part * 64 + (quarter & 1) * 32 + column]! >> ((quarter >> 1) * half)) & 15;
    const high = (bytes[highAt + part * 32 + column]! >> (quarter * 2)) & 3;
    const scale = scaleOfScales * signed(bytes[scalesAt + (i >> 4)]!);
    values[start + i] = scale * ((low | (high << 4)) - 32);
  }
};

const readBlock: Record<Exclude<GgmlTypeName, FloatType>, ReadBlock> = {
  Q8_0: (bytes, at, values, start) => {
    const scale = float16(bytes, at);
    for (let i = 0; i < 32; i++) values[start + i] = scale * signed(bytes[at + 2 + i]!);
  },
  Q4_0: smallBlock(4, false),
  Q4_1: smallBlock(4, true),
  Q5_0: smallBlock(5, false),
  Q5_1: smallBlock(5, true),
  Q4_K: largeBlock(4),
  Q5_K: largeBlock(5),
  Q6_K: readQ6,
};
