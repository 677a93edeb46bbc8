/**
 * Random numbers by name: a stream is a xoshiro128** generator seeded by a hash of (seed, purpose, indexes). It is
 * created again from that name wherever it is needed, so no generator state is ever saved, and the numbers are the same
 * on every machine.
 */

interface RandomStream {
  /** 32 uniform bits. */
  uint32(): number;
  /** Uniform in [0, 1) with 53 bits. */
  uniform(): number;
  /** Uniform integer in [0, bound), without bias; bound ≤ 2^32. */
  below(bound: number): number;
  /** Standard normal (Box–Muller). */
  normal(): number;
}

/** The stream for (seed, purpose, indexes): equal names give equal numbers, different names independent numbers. */
export function randomStream(seed: number, purpose: string, ...indexes: number[]): RandomStream {
  const [a, b, c, d] = streamState(`${seed}/${purpose}/${indexes.join('/')}`);
  return xoshiro128(a, b, c, d);
}

/** Two 31-bit integers for TensorFlow's stateless random ops, which take their seed as an int32 pair. */
export function statelessSeed(seed: number, purpose: string, ...indexes: number[]): [number, number] {
  const [a, b] = streamState(`${seed}/${purpose}/${indexes.join('/')}`);
  return [a >>> 1, b >>> 1];
}

/** Hashes a name to four 32-bit words: FNV-1a, then the finaliser of MurmurHash3 with four different offsets. */
function streamState(name: string): [number, number, number, number] {
  let hash = 0x811c9dc5;
  let other = 0x9747b28c;
  for (let i = 0; i < name.length; i++) {
    hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
    other = Math.imul(other ^ name.charCodeAt(i), 0x5bd1e995) ^ (other >>> 15);
  }
  const word = (n: number): number => {
    let x =
      (n % 2 === 0 ? hash : other) + Math.imul(n + 1, 0x9e3779b9) + Math.imul(n % 2 === 0 ? other : hash, 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    return (x ^ (x >>> 16)) >>> 0;
  };
  return [word(0), word(1), word(2), word(3) | 1]; // never all zero, which xoshiro would stay in
}

/** xoshiro128** 1.1 (Blackman and Vigna, https://prng.di.unimi.it/). */
function xoshiro128(a: number, b: number, c: number, d: number): RandomStream {
  const rotate = (x: number, bits: number) => (x << bits) | (x >>> (32 - bits));
  const uint32 = (): number => {
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9) >>> 0;
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = rotate(d, 11);
    return result;
  };
  const uniform = () => ((uint32() >>> 5) * 0x4000000 + (uint32() >>> 6)) / 0x20000000000000;
  const below = (bound: number): number => {
    const limit = 0x100000000 - (0x100000000 % bound);
    let x = uint32();
    while (x >= limit) x = uint32();
    return x % bound;
  };
  let spare: number | undefined;
  const normal = (): number => {
    if (spare !== undefined) {
      const value = spare;
      spare = undefined;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
  return { uint32, uniform, below, normal };
}
