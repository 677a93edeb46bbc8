/** The element types of safetensors files that clm converts from and to its own float32, and the sizes of all. */

/** Bytes a value of each type takes; of types that clm does not convert, tensors can be passed over. */
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

/** The types that values are read from and written in. */
export const floatTypes = ['F32', 'F16', 'BF16'] as const;
export type FloatType = (typeof floatTypes)[number];

export const isFloatType = (type: ElementType): type is FloatType => (floatTypes as readonly string[]).includes(type);

const singleBits = new Uint32Array(1);
const single = new Float32Array(singleBits.buffer);

/** Little-endian values as float32; exact, since both half types are subsets of it. */
export function toFloat32(bytes: Uint8Array, type: FloatType): Float32Array {
  if (type === 'F32') return new Float32Array(bytes.slice().buffer);
  const halves = new Uint16Array(bytes.slice().buffer);
  const values = new Float32Array(halves.length);
  const bits = new Uint32Array(values.buffer);
  for (let i = 0; i < halves.length; i++) {
    if (type === 'BF16') bits[i] = halves[i]! << 16;
    else values[i] = fromFloat16(halves[i]!);
  }
  return values;
}

/** float32 values as little-endian bytes, rounded to the nearest, ties to even. */
export function fromFloat32(values: Float32Array, type: FloatType): Uint8Array {
  if (type === 'F32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    single[0] = values[i]!;
    halves[i] = type === 'BF16' ? bfloat16Bits(singleBits[0]!) : float16Bits(singleBits[0]!);
  }
  return new Uint8Array(halves.buffer);
}

/** A float16: sign 1, exponent 5, fraction 10 bits. */
function fromFloat16(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function bfloat16Bits(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40; // a NaN stays one
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
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
