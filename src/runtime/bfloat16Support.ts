/** Whether this processor multiplies bfloat16 numbers itself; where it does not, bfloat16 is slower than float32. */
import { readFileSync } from 'node:fs';

/** Flags of /proc/cpuinfo: x86 with AVX-512 or AMX, Arm. */
const flags = /\b(avx512_bf16|amx_bf16|bf16)\b/;

/** null where it cannot be told (no /proc/cpuinfo). */
export function hasBfloat16Arithmetic(cpuinfoPath = '/proc/cpuinfo'): boolean | null {
  try {
    return flags.test(readFileSync(cpuinfoPath, 'utf8'));
  } catch {
    return null;
  }
}
