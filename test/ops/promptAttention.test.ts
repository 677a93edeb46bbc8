import type { Tensor } from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, it } from 'vitest';
import { rotationOf } from '../../src/model/positions.ts';
import { isMasked, causalMask } from '../../src/ops/attention.ts';
import { promptAttention, type PromptCache } from '../../src/ops/cachedAttention.ts';
import { randomStream } from '../../src/random.ts';
import { openSession } from '../../src/runtime/openSession.ts';
import { leadingRows, writeRows } from '../../src/sampling/cacheLayout.ts';
import { tinyConfig } from '../training/tinyRun.ts';

const session = openSession({ mode: 'recorded', precision: 'float32', device: 'cpu' });
afterAll(() => session.close());

const normals = (purpose: string, size: number): Float32Array => {
  const stream = randomStream(7, purpose);
  return Float32Array.from({ length: size }, () => stream.normal());
};

interface Case {
  T: number;
  K: number;
  G: number;
  D: number;
  capacity: number;
  isRotated: boolean;
  isNormed: boolean;
}

const slots = 3;
let programs = 0;

/** Attention of one form to a prompt in the second of three slots, and then the whole cache. */
async function run(form: 'kernel' | 'composed', of: Case, slot = 1): Promise<Record<string, Float32Array>> {
  const { T, K, G, D, capacity, isRotated, isNormed } = of;
  const name = `prompt${programs++}`;
  const [keys, values] = [`${name}.keys`, `${name}.values`];
  const kept = { shape: [slots * K * capacity, D], values: normals('kept', slots * K * capacity * D) };
  await session.addVariables([keys, values].map((each) => ({ name: each, ...kept })));
  const inputs = {
    rows: { shape: [T, (G + 2) * K * D], dtype: 'float32' },
    firstRow: { shape: [1], dtype: 'int32' },
    queryGain: { shape: [D], dtype: 'float32' },
    keyGain: { shape: [D], dtype: 'float32' },
  } as const;
  const { model } = tinyConfig({ model: { family: 'llama', width: 2 * D, headSize: D, ropeTheta: 7 } });
  const program = session.program(name, inputs, ({ rows, firstRow, queryGain, keyGain }, variables) => {
    const places = leadingRows(firstRow, { slots, heads: K, headSize: D, variables: [] }, T, capacity);
    const cache: PromptCache = {
      heads: K,
      capacity,
      firstRow,
      keys: () => variables.read(keys),
      values: () => variables.read(values),
      write: (key: Tensor, value: Tensor) => {
        writeRows(variables, keys, places, key);
        writeRows(variables, values, places, value);
      },
    };
    const placement = {
      norm: isNormed ? { queryGain, keyGain, epsilon: 1e-3 } : null,
      rotation: isRotated ? rotationOf({ model, batchSize: 1, length: T, dropout: null }) : null,
    };
    return { y: promptAttention[form](rows, cache, placement, isMasked(false, T) ? causalMask(T) : null) };
  });
  const { y } = await program.run({
    rows: normals('rows', T * (G + 2) * K * D).map((value) => 2 * value),
    firstRow: Int32Array.of(slot * K * capacity),
    queryGain: normals('queryGain', D),
    keyGain: normals('keyGain', D),
  });
  const [allKeys, allValues] = await session.readVariables([keys, values]);
  return { y, keys: allKeys!.values as Float32Array, values: allValues!.values as Float32Array, kept: kept.values };
}

const plain: Case = { T: 70, K: 2, G: 1, D: 12, capacity: 90, isRotated: false, isNormed: false };

describe('attention to a prompt', () => {
  it.each<[string, Case]>([
    ['plain heads', plain],
    ['rotated, shared keys', { ...plain, T: 33, K: 3, G: 2, D: 20, isRotated: true }],
    ['a full cache', { ...plain, T: 90, isRotated: true }],
    ['QK-norm', { ...plain, isRotated: true, isNormed: true }],
  ])('fills its slot and equals the composition: %s', async (_, of) => {
    const [kernel, composed] = [await run('kernel', of), await run('composed', of)];
    for (const part of ['y', 'keys', 'values'] as const)
      kernel[part]!.forEach((value, i) => {
        expect(Math.abs(value - composed[part]![i]!), `${part} ${i}`).toBeLessThan(1e-5);
      });
    const { T, K, D, capacity } = of;
    const isOfPrompt = (i: number): boolean => {
      const row = Math.floor(i / D) - K * capacity;
      return row >= 0 && row < K * capacity && row % capacity < T;
    };
    for (const part of ['keys', 'values'] as const)
      kernel[part]!.forEach((value, i) => {
        if (isOfPrompt(i)) expect(value).not.toBe(kernel['kept']![i]);
        else expect(value, `${part} ${i}`).toBe(kernel['kept']![i]);
      });
  });

  it('refuses a slot outside the cache, and more positions than one has', async () => {
    await expect(run('kernel', plain, slots)).rejects.toThrow('the prompt is outside the cache');
    await expect(run('kernel', plain, -1)).rejects.toThrow('the prompt is outside the cache');
    await expect(run('kernel', { ...plain, T: 91 })).rejects.toThrow('the prompt is outside the cache');
  });
});
