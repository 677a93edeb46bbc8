/** The element types of safetensors files: their sizes, and conversion of the float types from and to float32. */

/** Bytes per value, also for types that clm does not convert but must be able to skip. */
export const bytesPerValue = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
} as const;
export type ElementType = keyof typeof bytesPerValue;

/** The types that clm reads and writes. */
export const floatTypes = ['F32', 'F16', 'BF16'] as const;
export type FloatType = (typeof floatTypes)[number];

export const isFloatType = (type: ElementType): type is FloatType => (floatTypes as readonly string[]).includes(type);

const singleBits = new Uint32Array(1);
const single = new Float32Array(singleBits.buffer);

/** Converts little-endian values to float32; exact, since float16 and bfloat16 are subsets of it. */
export function toFloat32(bytes: Uint8Array, type: FloatType): Float32Array {
  if (type === 'F32') return new Float32Array(bytes.slice().buffer);
  const bits16 = new Uint16Array(bytes.slice().buffer);
  const values = new Float32Array(bits16.length);
  const bits = new Uint32Array(values.buffer);
  for (let i = 0; i < bits16.length; i++) {
    if (type === 'BF16') bits[i] = bits16[i]! << 16;
    else values[i] = fromFloat16(bits16[i]!);
  }
  return values;
}

/** Converts float32 values to little-endian bytes, rounded to nearest, ties to even. */
export function fromFloat32(values: Float32Array, type: FloatType): Uint8Array {
  if (type === 'F32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  if (type === 'BF16') return new Uint8Array(toBfloat16(values).buffer);
  const bits16 = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    single[0] = values[i]!;
    bits16[i] = float16Bits(singleBits[0]!);
  }
  return new Uint8Array(bits16.buffer);
}

/**
 * The nearest bfloat16 numbers, ties to even: the upper 16 bits of the float32 ones. Every NaN becomes the same one
 * (0x7fc0), as in clm's kernels (native/math/vectors.h).
 */
export function toBfloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const rounded = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i]!;
    const isNumber = (word & 0x7fffffff) <= 0x7f800000;
    rounded[i] = isNumber ? (word + 0x7fff + ((word >>> 16) & 1)) >>> 16 : 0x7fc0;
  }
  return rounded;
}

/** The value of a float16: sign 1, exponent 5, fraction 10 bits. */
export function fromFloat16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function float16Bits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // from 65520 on the nearest is infinite
  if (magnitude < 0x38800000) {
    // Below 2^-14: multiples of 2^-24.
    singleBits[0] = magnitude;
    return sign | roundHalfEven(single[0]! * 2 ** 24);
  }
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
  return sign | ((rounded - 0x38000000) >>> 13);
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}
