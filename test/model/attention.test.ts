import { mul, reshape, scalar, sum, tensor, valueAndGrads, type Tensor } from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, it } from 'vitest';
import { attentionContextOf, selfAttention } from '../../src/model/attention.ts';
import type { DecoderPass } from '../../src/model/decoderPass.ts';
import { parameterTable } from '../../src/model/parameters.ts';
import { randomStream } from '../../src/random.ts';
import type { Kernels } from '../../src/runtime/kernelLibrary.ts';
import { openSession } from '../../src/runtime/openSession.ts';
import type { Inputs, InputSpec } from '../../src/runtime/session.ts';
import { tinyConfig } from '../training/tinyRun.ts';

const [B, T, C] = [2, 71, 24];
const open = (kernels: Kernels) => openSession({ mode: 'recorded', precision: 'float32', device: 'cpu', kernels });
const sessions = { none: open('none'), vectors: open('vectors') };
afterAll(() => Object.values(sessions).forEach((each) => each.close()));

const normals = (purpose: string, size: number): Float32Array => {
  const stream = randomStream(5, purpose);
  return Float32Array.from({ length: size }, () => stream.normal());
};
/** Places in documents of 40, 3 and 28 rows, and in one of 71. */
const positions = Int32Array.from({ length: B * T }, (_, i) => (i < 40 ? i : i < 43 ? i - 40 : i < T ? i - 43 : i - T));

describe('attention of a model with QK-norm', () => {
  const shared = { queryKeyNorm: true, heads: 4, keyValueHeads: 2, width: C, contextLength: T };
  it.each([
    ['gpt2', { ...shared, headSize: 12 }, null, 0],
    ['llama within documents', { ...shared, family: 'llama' as const, headSize: 6 }, positions, 0],
    ['llama with dropout', { ...shared, family: 'llama' as const, headSize: 6, dropout: 0.2 }, null, 0.2],
  ])('has the same values and gradients with kernels and without: %s', async (_, keys, places, rate) => {
    const { model } = tinyConfig({ model: keys });
    const table = parameterTable(model, 13).filter(({ name }) => name.startsWith('blocks.0.attention.'));
    const names = table.map(({ name }) => name);
    expect(names).toContain('blocks.0.attention.keyNorm.gain');
    const values = Object.fromEntries(
      table.map(({ name, shape }) => [
        name,
        normals(
          name,
          shape.reduce((size, n) => size * n, 1),
        ),
      ]),
    );
    const specs: Record<string, InputSpec> = {
      x: { shape: [B * T, C], dtype: 'float32' },
      ...Object.fromEntries(table.map(({ name, shape }) => [name, { shape: [...shape], dtype: 'float32' }])),
    };
    const define = (inputs: Inputs<Record<string, InputSpec>>): Record<string, Tensor> => {
      const documentPositions = places && tensor(places, [B * T], 'int32');
      const dropout = rate > 0 ? { rate, seed: 3, branch: 0, counter: scalar(-4, 'int32') } : null;
      const pass = { model, batchSize: B, length: T, documentPositions, dropout } as DecoderPass;
      const direction = tensor(normals('direction', B * T * C), [B * T, C]);
      const attended = (...[x, ...weights]: Tensor[]): Tensor => {
        const parameters = Object.fromEntries(names.map((name, i) => [name, weights[i]!]));
        return selfAttention(parameters, 'blocks.0.attention', x!, pass, {
          ...attentionContextOf(pass),
          otherValues: null,
        });
      };
      const given = ['x', ...names].map((name) => inputs[name]!);
      const { grads } = valueAndGrads((...all: Tensor[]) => sum(mul(attended(...all), direction)))(given);
      const gradients = ['x', ...names].map((name, i) => [`d ${name}`, reshape(grads[i]!, [-1])]);
      return { value: attended(...given), ...Object.fromEntries(gradients) };
    };
    const [composed, kernel] = [
      await sessions.none.program('attention', specs, define).run({ x: normals('x', B * T * C), ...values }),
      await sessions.vectors.program('attention', specs, define).run({ x: normals('x', B * T * C), ...values }),
    ];
    expect(kernel['value']).not.toEqual(composed['value']); // computed in another way
    for (const [name, expected] of Object.entries(composed)) {
      const largest = expected.reduce((most, each) => Math.max(most, Math.abs(each)), 0);
      const worst = kernel[name]!.reduce((most, each, i) => Math.max(most, Math.abs(each - expected[i]!)), 0);
      expect(largest, name).toBeGreaterThan(0.1);
      expect(worst / largest, name).toBeLessThan(1e-5);
    }
  });
});
