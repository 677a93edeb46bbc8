import { describe, expect, it } from 'vitest';
import type { Config } from '../../src/config/schema.ts';
import { decode } from '../../src/model/decoder.ts';
import { parameterTable } from '../../src/model/parameters.ts';
import type { Session } from '../../src/runtime/session.ts';
import { openTinySession, randomMicroBatch, tinyConfig, vocabularySize } from '../training/tinyRun.ts';

const architectures: [string, Config][] = [
  ['gpt2', tinyConfig({ model: { biases: true } })],
  [
    'gpt2, grouped queries, untied',
    tinyConfig({ model: { heads: 2, keyValueHeads: 1, queryKeyNorm: true, tiedEmbeddings: false } }),
  ],
  ['llama', tinyConfig({ model: { family: 'llama', headSize: 6 } })],
  [
    'gpt2, other parts',
    tinyConfig({ model: { activation: 'squaredRelu', normPlacement: 'after', logitSoftCap: 2, valueEmbeddings: 1 } }),
  ],
  ['llama, no positions in a layer', tinyConfig({ model: { family: 'llama', headSize: 6, nopeEveryLayers: 2 } })],
  [
    'llama, grouped queries, QK-norm, biases of the projection',
    tinyConfig({
      model: {
        family: 'llama',
        heads: 4,
        keyValueHeads: 2,
        headSize: 4,
        queryKeyNorm: true,
        queryKeyValueBiases: true,
      },
    }),
  ],
];

/** Logits (B·T, V) of the untrained tiny decoder. */
async function logits(session: Session, { model, training }: Config, inputs: Int32Array): Promise<Float32Array> {
  const { contextLength: T } = model;
  const { microBatchSize: B } = training;
  const table = parameterTable(model, vocabularySize);
  const program = session.program('logits', { inputs: { shape: [B * T], dtype: 'int32' } }, (feeds, variables) => {
    const parameters = Object.fromEntries(table.map(({ name }) => [name, variables.read(name)]));
    return { logits: decode(parameters, feeds['inputs']!, { model, batchSize: B, length: T, dropout: null }) };
  });
  return (await program.run({ inputs }))['logits']!;
}

describe.each(['recorded', 'eager'] as const)('the decoder, %s', (mode) => {
  it.each(architectures)(
    'is causal: a later token leaves earlier logits unchanged, bit for bit: %s',
    async (_, config) => {
      const { contextLength: T } = config.model;
      const { microBatchSize: B } = config.training;
      const session = await openTinySession(config, mode);
      const { inputs } = randomMicroBatch(config, 0);
      const before = await logits(session, config, inputs);
      for (let t = 0; t < T; t++) {
        const changed = inputs.slice();
        const at = 1 * T + t; // in the second window
        changed[at] = (changed[at]! + 1) % vocabularySize;
        const after = await logits(session, config, changed);
        const row = (values: Float32Array, n: number) => values.subarray(n * vocabularySize, (n + 1) * vocabularySize);
        for (let n = 0; n < B * T; n++) {
          const sees = n >= at && n < 2 * T;
          if (sees) expect(row(after, n), `row ${n} sees position ${at}`).not.toEqual(row(before, n));
          else expect(row(after, n), `row ${n} does not see position ${at}`).toEqual(row(before, n));
        }
      }
      session.close();
    },
  );
});

describe('the parameter table', () => {
  it('counts GPT-2 124M', () => {
    const { model } = tinyConfig({ model: { layers: 12, heads: 12, width: 768, contextLength: 1024, biases: true } });
    const sizes = parameterTable(model, 50257).map(({ shape }) => shape.reduce((product, n) => product * n, 1));
    expect(sizes.reduce((sum, n) => sum + n, 0)).toBe(124_439_808);
  });

  it('has unique names', () => {
    const names = parameterTable(tinyConfig().model, vocabularySize).map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toContain('blocks.1.attention.queryKeyValue.weight');
  });
});
