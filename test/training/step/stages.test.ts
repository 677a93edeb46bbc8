/** A stage with a shorter context computes what a model of that context does with the same tokens. */
import { describe, expect, it } from 'vitest';
import { configSchema, type Config } from '../../../src/config/schema.ts';
import type { MicroBatch } from '../../../src/data/windows/batches.ts';
import { parameterTable } from '../../../src/model/parameters.ts';
import { runStages } from '../../../src/training/plan/stages.ts';
import { recordTrainingStep } from '../../../src/training/step/step.ts';
import { openTinySession, randomMicroBatch, tinyConfig, vocabularySize } from '../tinyRun.ts';

const withPacking = (config: Config, packing: 'documents' | 'concatenate'): Config =>
  configSchema.parse({ ...config, corpus: { sources: config.corpus.sources, packing } }) as Config;

async function results(config: Config, steps: number, batches: MicroBatch[][]) {
  const session = await openTinySession(config, 'recorded');
  const table = parameterTable(config.model, vocabularySize);
  const step = await recordTrainingStep(session, config, table, [], runStages(config, steps));
  const made = [];
  for (const [i, batch] of batches.entries()) made.push(await step(batch, i + 1, 1e-2));
  session.close();
  return made;
}

describe.each(['concatenate', 'documents'] as const)('stages, packing %s', (packing) => {
  it('equal runs of each stage, one after the other', async () => {
    const model = { contextLength: 6, family: packing === 'documents' ? 'llama' : 'gpt2', headSize: 8 } as const;
    const staged = withPacking(
      tinyConfig({
        model,
        training: {
          contextLength: [
            { from: 0, value: 3 },
            { from: 2, value: 6 },
          ],
          microBatchesPerStep: [
            { from: 0, value: 1 },
            { from: '50%', value: 2 },
          ],
        },
      }),
      packing,
    );
    // Pieces of 4 positions: the shorter context cuts some.
    const batches = [0, 1, 2, 3].map((i) => ({
      ...randomMicroBatch(staged, i),
      ...(packing === 'documents' && { positions: Int32Array.from({ length: 18 }, (_, at) => (at % 6) % 4) }),
    }));
    const steps = [batches.slice(0, 1), batches.slice(1, 2), batches.slice(2, 4)];
    const actual = await results(staged, 4, steps);

    const short = withPacking(
      tinyConfig({ model: { ...model, contextLength: 3 }, training: { microBatchSize: 6 } }),
      packing,
    );
    const cut = ({ positions, ...batch }: MicroBatch): MicroBatch => ({
      ...batch,
      ...(positions && { positions: positions.map((place, at) => Math.min(place, at % 3)) }),
    });
    const ofShort = await results(
      short,
      4,
      steps.slice(0, 2).map(([batch]) => [cut(batch!)]),
    );
    for (const [i, { loss, gradientNorm }] of ofShort.entries()) {
      expect(Math.abs(actual[i]!.loss / loss - 1), `loss of step ${i + 1}`).toBeLessThan(1e-6);
      expect(Math.abs(actual[i]!.gradientNorm / gradientNorm - 1)).toBeLessThan(1e-5);
    }
    const long = withPacking(tinyConfig({ model, training: { microBatchesPerStep: 2 } }), packing);
    const [first] = await results(long, 4, [[batches[0]!, batches[0]!]]);
    expect(Math.abs(first!.loss / actual[0]!.loss - 1)).toBeGreaterThan(1e-6); // the shorter context matters
    expect(actual[2]!.loss).toBeGreaterThan(0);
  });
});
