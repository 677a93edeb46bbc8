import { describe, expect, it } from 'vitest';
import type { Config } from '../../../src/config/schema.ts';
import { constantOf } from '../../../src/config/sections/stages.ts';
import type { NamedTensor } from '../../../src/tensors/tensors.ts';
import type { MicroBatch } from '../../../src/data/windows/batches.ts';
import { parameterTable } from '../../../src/model/parameters.ts';
import { loadTensorFlow } from '../../../src/runtime/tensorflow.ts';
import type { Kernels } from '../../../src/runtime/kernelLibrary.ts';
import type { Mode } from '../../../src/runtime/session.ts';
import { branchWindows } from '../../../src/training/step/branches.ts';
import { learningRateAt } from '../../../src/training/step/schedule.ts';
import { recordTrainingStep, type StepResult } from '../../../src/training/step/step.ts';
import { openTinySession, randomMicroBatch, tinyConfig, vocabularySize } from '../tinyRun.ts';

/** Trains on `batches`, one entry a step; returns what the steps gave and the parameters they ended in. */
async function run(
  config: Config,
  mode: Mode,
  batches: MicroBatch[][],
  kernels?: Kernels,
): Promise<{ results: StepResult[]; parameters: NamedTensor[] }> {
  const session = await openTinySession(config, mode, kernels);
  try {
    const table = parameterTable(config.model, vocabularySize);
    const step = await recordTrainingStep(session, config, table);
    const results: StepResult[] = [];
    for (const [i, microBatches] of batches.entries()) {
      results.push(
        await step(
          microBatches,
          i + 1,
          learningRateAt(config.schedule, config.optimizer.learningRate, batches.length, i),
        ),
      );
    }
    return { results, parameters: await session.readVariables(table.map(({ name }) => name)) };
  } finally {
    session.close();
  }
}

const single = (config: Config, steps: number): MicroBatch[][] =>
  Array.from({ length: steps }, (_, i) => [randomMicroBatch(config, i % 4)]);

const largestDifference = (a: NamedTensor[], b: NamedTensor[]): number =>
  Math.max(...a.flatMap(({ values }, i) => Array.from(values, (value, j) => Math.abs(value - b[i]!.values[j]!))));

/** Grouped queries of 4 heads, whose vectors together are wider than the residual stream. */
const llama = (
  model: Partial<Config['model']>,
  training: Partial<Config['training']> = {},
  optimizer: Partial<Config['optimizer']> = {},
): Config =>
  tinyConfig({ model: { family: 'llama', heads: 4, keyValueHeads: 2, headSize: 6, ...model }, training, optimizer });

describe('a training step', () => {
  const switches: [string, Config][] = [
    ['plain', tinyConfig()],
    ['biases', tinyConfig({ model: { biases: true } })],
    ['dropout', tinyConfig({ model: { dropout: 0.25 } })],
    ['one branch', tinyConfig({ training: { branches: 1 } })],
    ['as many branches as windows', tinyConfig({ training: { branches: 3 }, model: { dropout: 0.25 } })],
    ['two micro-batches', tinyConfig({ training: { microBatchesPerStep: 2 } })],
    ['no clip, no decay', tinyConfig({ optimizer: { gradientClip: null, weightDecay: 0 } })],
    ['bfloat16', tinyConfig({ training: { precision: 'bfloat16' } })],
    ['muon', tinyConfig({ optimizer: { kind: 'muon' } })],
    [
      'muon and a running mean in two micro-batches',
      tinyConfig({ optimizer: { kind: 'muon' }, training: { microBatchesPerStep: 2, emaDecay: 0.9 } }),
    ],
    ['outliers watched', tinyConfig({ training: { guard: { outlierDeviations: 1, windowSteps: 10, maxSkips: 10 } } })],
    ['recompute', tinyConfig({ model: { dropout: 0.25, biases: true }, training: { recompute: 'block' } })],
    [
      'grouped queries, QK-norm, untied',
      tinyConfig({ model: { keyValueHeads: 1, queryKeyNorm: true, tiedEmbeddings: false } }),
    ],
    ['llama', llama({})],
    [
      'llama, QK-norm, biases, dropout, untied',
      llama({ queryKeyNorm: true, biases: true, dropout: 0.25, tiedEmbeddings: false }),
    ],
    [
      'llama, biases of the projection, a layer without positions, padded vocabulary',
      llama({ queryKeyValueBiases: true, nopeEveryLayers: 2, vocabularySize: 17 }),
    ],
    [
      'llama, dropout, recompute',
      llama({ dropout: 0.25, queryKeyNorm: true, nopeEveryLayers: 2 }, { recompute: 'block' }),
    ],
    [
      'gpt2, squared ReLU, capped logits, sandwich norms, value embeddings, recompute',
      tinyConfig({
        model: { activation: 'squaredRelu', normPlacement: 'sandwich', logitSoftCap: 5, valueEmbeddings: 1 },
        training: { recompute: 'block' },
      }),
    ],
    [
      'llama, squared ReLU, capped logits, norms after, value embeddings, bfloat16',
      llama(
        { activation: 'squaredRelu', normPlacement: 'after', logitSoftCap: 5, valueEmbeddings: 1 },
        { precision: 'bfloat16' },
      ),
    ],
    ['llama, bfloat16', llama({ ropeScaling: { kind: 'linear', factor: 2 } }, { precision: 'bfloat16' })],
    ['llama, muon', llama({ feedForwardBiases: true }, {}, { kind: 'muon' })],
  ];
  it.each(switches)('recorded equals eager over 20 steps: %s', async (name, config) => {
    const k = constantOf(config.training.microBatchesPerStep);
    const batches = Array.from({ length: 20 }, (_, i) =>
      Array.from({ length: k }, (_, j) => randomMicroBatch(config, (i * k + j) % 4)),
    );
    const recorded = await run(config, 'recorded', batches);
    const eager = await run(config, 'eager', batches);
    // The same kernels in another order of sums; bfloat16 rounds each difference up.
    const tolerance = name.includes('bfloat16') ? 2e-2 : 1e-4;
    for (const [i, { loss, gradientNorm, skipped }] of recorded.results.entries()) {
      expect(skipped, `step ${i + 1}`).toBe(eager.results[i]!.skipped);
      expect(Math.abs(loss - eager.results[i]!.loss), `loss of step ${i + 1}`).toBeLessThan(tolerance);
      expect(Math.abs(gradientNorm / eager.results[i]!.gradientNorm - 1)).toBeLessThan(10 * tolerance);
    }
    expect(recorded.results.at(-1)!.loss).toBeLessThan(recorded.results[0]!.loss - 0.1); // it did learn
  });

  it('starts at a loss near ln V', async () => {
    const config = tinyConfig();
    const { results } = await run(config, 'recorded', single(config, 1));
    expect(Math.abs(results[0]!.loss - Math.log(vocabularySize))).toBeLessThan(0.1);
  });

  it('is bitwise repeatable, dropout included, and another seed drops others', async () => {
    const config = tinyConfig({ model: { dropout: 0.25 } });
    const once = await run(config, 'recorded', single(config, 5));
    expect(await run(config, 'recorded', single(config, 5))).toEqual(once);
    const other = await run(tinyConfig({ model: { dropout: 0.25 } }, 8), 'recorded', single(config, 5));
    expect(other.results).not.toEqual(once.results);
  });

  it.each([
    ['muon, bfloat16', tinyConfig({ optimizer: { kind: 'muon' }, training: { precision: 'bfloat16' } })],
    [
      'llama, recompute, running mean, outliers watched, two micro-batches',
      tinyConfig({
        model: { family: 'llama', headSize: 6, dropout: 0.25 },
        training: {
          microBatchesPerStep: 2,
          recompute: 'block',
          emaDecay: 0.9,
          guard: { outlierDeviations: 3, windowSteps: 10, maxSkips: 10 },
        },
      }),
    ],
  ])('is bitwise repeatable: %s', async (_, config) => {
    const k = constantOf(config.training.microBatchesPerStep);
    const batches = single(config, 4).map(([microBatch]) => Array.from({ length: k }, () => microBatch!));
    expect(await run(config, 'recorded', batches)).toEqual(await run(config, 'recorded', batches));
  });

  it('changes the loss by less than a hundredth in bfloat16', async () => {
    const losses = async (precision: 'float32' | 'bfloat16') => {
      const config = tinyConfig({ model: { width: 34 }, training: { precision }, optimizer: { learningRate: 3e-3 } });
      return (await run(config, 'recorded', single(config, 60))).results.map(({ loss }) => loss);
    };
    const [exact, rounded] = [await losses('float32'), await losses('bfloat16')];
    expect(rounded).not.toEqual(exact);
    expect(exact.at(-1)).toBeLessThan(2.3); // it learned: the difference could have grown
    rounded.forEach((loss, i) => expect(Math.abs(loss / exact[i]! - 1), `update ${i + 1}`).toBeLessThan(0.01));
  });

  it('weights micro-batches by their tokens: three of them equal one batch of their windows', async () => {
    const parts = tinyConfig({ training: { microBatchesPerStep: 3 }, optimizer: { gradientClip: 0.1 } });
    const whole = tinyConfig({ training: { microBatchSize: 9 }, optimizer: { gradientClip: 0.1 } });
    const microBatches = [0, 1, 2].map((i) => randomMicroBatch(parts, i, i * 2)); // unequal token counts
    expect(new Set(microBatches.map(({ targetCount }) => targetCount)).size).toBe(3);
    const join = <K extends 'inputs' | 'targets'>(key: K) => Int32Array.from(microBatches.flatMap((b) => [...b[key]]));
    const batch: MicroBatch = {
      inputs: join('inputs'),
      targets: join('targets'),
      lossMask: Float32Array.from(microBatches.flatMap((b) => [...b.lossMask])),
      targetCount: microBatches.reduce((sum, b) => sum + b.targetCount, 0),
    };
    const repeat = <T>(value: T) => [value, value, value];
    const a = await run(parts, 'recorded', repeat(microBatches));
    const b = await run(whole, 'recorded', repeat([batch]));
    expect(a.results[0]!.gradientNorm).toBeGreaterThan(0.1); // clipping happened
    a.results.forEach(({ loss, gradientNorm }, i) => {
      expect(loss).toBeCloseTo(b.results[i]!.loss, 5);
      expect(gradientNorm).toBeCloseTo(b.results[i]!.gradientNorm, 4);
    });
    // Adam divides by √v: where a gradient is nearly zero, rounding decides; a thousandth of the rate bounds it.
    expect(largestDifference(a.parameters, b.parameters)).toBeLessThan(1e-4);
  });

  it.each([
    ['gpt2', tinyConfig({ model: { biases: true }, training: { emaDecay: 0.9 } })],
    ['llama, dropout, two micro-batches', llama({ queryKeyNorm: true, dropout: 0.25 }, { microBatchesPerStep: 2 })],
    ['bfloat16', tinyConfig({ training: { precision: 'bfloat16', recompute: 'block' } })],
    ['no clip, no decay', tinyConfig({ optimizer: { gradientClip: null, weightDecay: 0 } })],
  ])('equals the step that is composed of TensorFlow’s operations: %s', async (name, config) => {
    const batches = Array.from({ length: 6 }, (_, i) =>
      Array.from({ length: constantOf(config.training.microBatchesPerStep) }, (_, j) =>
        randomMicroBatch(config, i % 3, j),
      ),
    );
    const own = await run(config, 'recorded', batches);
    const composed = await run(config, 'recorded', batches, 'none');
    // Between products more is float32 in the composed step, so that bfloat16 rounds less often.
    const digits = name === 'bfloat16' ? 2 : 5;
    own.results.forEach(({ loss }, i) => expect(loss).toBeCloseTo(composed.results[i]!.loss, digits));
    const difference = largestDifference(own.parameters, composed.parameters);
    expect(difference).toBeLessThan(name === 'bfloat16' ? 3e-2 : 1e-4);
    expect(difference).toBeGreaterThan(0); // they are two
  });

  it('computes the same loss in any number of branches, unequal ones included', async () => {
    const inBranches = (branches: number) => {
      const config = tinyConfig({ training: { branches } });
      return run(config, 'recorded', single(config, 3));
    };
    const whole = await inBranches(1);
    expect(branchWindows(3, 2).map(({ windows }) => windows)).toEqual([1, 2]);
    expect(branchWindows(3, 5).map(({ windows }) => windows)).toEqual([1, 1, 1]);
    for (const branches of [2, 5]) {
      const parts = await inBranches(branches);
      parts.results.forEach(({ loss }, i) => expect(loss).toBeCloseTo(whole.results[i]!.loss, 5));
      expect(largestDifference(parts.parameters, whole.parameters)).toBeLessThan(1e-4);
    }
  });

  it.each([
    ['gpt2, dropout, biases', { dropout: 0.25, biases: true }, {}],
    [
      'llama, shared key heads, bfloat16',
      { family: 'llama', heads: 2, keyValueHeads: 1, headSize: 6, queryKeyNorm: true },
      { precision: 'bfloat16' },
    ],
  ] as const)('computes the same with the blocks computed again: %s', async (_, model, training) => {
    const steps = (recompute: 'block' | null) => {
      const config = tinyConfig({ model, training: { ...training, recompute } });
      return run(config, 'recorded', single(config, 4));
    };
    const [again, kept] = [await steps('block'), await steps(null)];
    expect(again.results[0]!.loss).toBe(kept.results[0]!.loss);
    again.results.forEach(({ loss, gradientNorm }, i) => {
      expect(loss).toBeCloseTo(kept.results[i]!.loss, 5);
      expect(gradientNorm).toBeCloseTo(kept.results[i]!.gradientNorm, 5);
    });
    expect(largestDifference(again.parameters, kept.parameters)).toBeLessThan(2e-5);
  });

  it('has no loss on padding: the tokens there change nothing', async () => {
    const config = tinyConfig();
    const batch = randomMicroBatch(config, 0, 4);
    const other = { ...batch, targets: batch.targets.slice() };
    other.targets.fill(1, other.targets.length - 4);
    expect(other.targets).not.toEqual(batch.targets);
    expect(await run(config, 'recorded', [[other]])).toEqual(await run(config, 'recorded', [[batch]]));
  });

  it('decays matrices only', async () => {
    const config = tinyConfig({ optimizer: { weightDecay: 0.5, gradientClip: 1e-9 }, model: { biases: true } });
    const plain = tinyConfig({ optimizer: { weightDecay: 0, gradientClip: 1e-9 }, model: { biases: true } });
    const [decayed, kept] = [
      await run(config, 'recorded', single(config, 1)),
      await run(plain, 'recorded', single(config, 1)),
    ];
    const rate = learningRateAt(config.schedule, config.optimizer.learningRate, 1, 0);
    const table = parameterTable(config.model, vocabularySize);
    expect(new Set(table.map(({ decays }) => decays)).size).toBe(2);
    table.forEach(({ decays }, i) => {
      const session = decayed.parameters[i]!.values;
      const initial = kept.parameters[i]!.values;
      session.forEach((value, j) => expect(value).toBeCloseTo(initial[j]! * (decays ? 1 - rate * 0.5 : 1), 4));
    });
  });

  it('overfits one micro-batch', async () => {
    const config = tinyConfig({
      training: { steps: 150, microBatchSize: 1 },
      optimizer: { weightDecay: 0, learningRate: 2e-2 },
    });
    const batch = randomMicroBatch(config, 1);
    const { results } = await run(
      config,
      'recorded',
      Array.from({ length: 150 }, () => [batch]),
    );
    expect(results[0]!.loss).toBeGreaterThan(2);
    expect(results.at(-1)!.loss).toBeLessThan(0.05);
  });

  it.each(['recorded', 'eager'] as const)('leaks no tensors: %s', async (mode) => {
    const config = tinyConfig({ model: { dropout: 0.25 }, training: { microBatchesPerStep: 2 } });
    const session = await openTinySession(config, mode);
    const step = await recordTrainingStep(session, config, parameterTable(config.model, vocabularySize));
    const { eagerBinding } = loadTensorFlow('cpu');
    const counts: number[] = [];
    for (let i = 1; i <= 8; i++) {
      await step([randomMicroBatch(config, i), randomMicroBatch(config, i + 1)], i, 1e-3);
      counts.push(eagerBinding.getNumOfTensors());
    }
    session.close();
    expect(new Set(counts.slice(1)).size).toBe(1);
  });
});
