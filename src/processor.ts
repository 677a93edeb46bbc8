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

/** The most threads that clm's kernels use: on more cores, TensorFlow's own operations are no slower. */
const mostCores = 8;

/** Whether clm's native kernels are used on the CPU of this machine; on a GPU they never are. */
export const wantsKernels = (): boolean =>
  process.env['CLM_FUSED_OPERATIONS'] !== '0' && os.availableParallelism() <= mostCores;
