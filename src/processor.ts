/** What this machine's processor is good for, found out without loading anything native. */
import { readFileSync } from 'node:fs';
import os from 'node:os';

/** Flags of /proc/cpuinfo: x86 with AVX-512 or AMX, Arm. */
const bfloat16Flags = /\b(avx512_bf16|amx_bf16|bf16)\b/;

/**
 * Whether the processor multiplies bfloat16 numbers itself; if it does not, bfloat16 is slower than float32. null if
 * that is not known (no /proc/cpuinfo).
 */
export function hasBfloat16Arithmetic(cpuinfoPath = '/proc/cpuinfo'): boolean | null {
  try {
    return bfloat16Flags.test(readFileSync(cpuinfoPath, 'utf8'));
  } catch {
    return null;
  }
}

/** Whether the processor has a unit for products of tiles (Intel AMX); false where that is not known. */
export function hasTileUnit(cpuinfoPath = '/proc/cpuinfo'): boolean {
  try {
    return /\bamx_bf16\b/.test(readFileSync(cpuinfoPath, 'utf8')) && process.env['CLM_TILE_PRODUCTS'] !== '0';
  } catch {
    return false;
  }
}

/** Instructions on which it depends how sums and products are rounded, here and in TensorFlow's libraries. */
const roundingFlags = new RegExp(
  String.raw`\b(avx|avx2|fma|avx_vnni|avx512(f|bw|dq|vl|_vnni|_bf16|_fp16)|amx_(tile|bf16|int8|fp16)|` +
    String.raw`asimd(hp|dp|fhm)?|sve2?|bf16|i8mm)\b`,
  'g',
);

/** Those that this machine's processor has; none where that is not known. */
export function roundingFeatures(cpuinfoPath = '/proc/cpuinfo'): string[] {
  try {
    const flags = /^(flags|Features)\s*:(.*)$/m.exec(readFileSync(cpuinfoPath, 'utf8'))?.[2] ?? '';
    return [...new Set(Array.from(flags.matchAll(roundingFlags), ([flag]) => flag))].sort();
  } catch {
    return [];
  }
}

/** Up to so many positions attention on the tile unit writes all its weights down; longer windows go block by block. */
export const mostTilePositions = 1024;

/** The most threads that clm's kernels use: on more cores, TensorFlow's own operations are no slower. */
const mostCores = 8;

/** Of this process when it began: several that train together share them later, and still compute alike. */
const coresAtStart = os.availableParallelism();

/** Whether clm's native kernels are used on the CPU of this machine; on a GPU they never are. */
export const wantsKernels = (): boolean => process.env['CLM_FUSED_OPERATIONS'] !== '0' && coresAtStart <= mostCores;
