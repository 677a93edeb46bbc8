import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { hasBfloat16Arithmetic } from '../src/processor.ts';

describe('hasBfloat16Arithmetic', () => {
  it.each([
    ['flags\t\t: fpu avx512f avx512_bf16 sse', true],
    ['flags\t\t: fpu avx2 fma', false],
    ['Features\t: fp asimd bf16 i8mm', true],
  ])('reads %j', async (cpuinfo, expected) => {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'clm-cpuinfo-'));
    await writeFile(path.join(folder, 'cpuinfo'), cpuinfo);
    expect(hasBfloat16Arithmetic(path.join(folder, 'cpuinfo'))).toBe(expected);
    await rm(folder, { recursive: true });
  });

  it('does not pretend to know', () => expect(hasBfloat16Arithmetic('/nowhere')).toBe(null));
});
