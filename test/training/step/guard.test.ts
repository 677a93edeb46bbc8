import { describe, expect, it } from 'vitest';
import type { Config } from '../../../src/config/schema.ts';
import { constantOf } from '../../../src/config/sections/stages.ts';
import type { MicroBatch } from '../../../src/data/windows/batches.ts';
import { parameterTable } from '../../../src/model/parameters.ts';
import type { Mode } from '../../../src/runtime/session.ts';
import { recordTrainingStep, type StepResult } from '../../../src/training/step/step.ts';
import { trainingState } from '../../../src/training/step/trainingState.ts';
import { openTinySession, randomMicroBatch, tinyConfig, vocabularySize } from '../tinyRun.ts';

const namesOf = (config: Config): string[] => {
  const table = parameterTable(config.model, vocabularySize);
  const state = trainingState(
    config,
    table,
    table.map(({ name, shape }) => ({ name, shape, values: new Float32Array() })),
  );
  return [...table, ...state].map(({ name }) => name);
};

/** Makes one update a micro-batch; returns the results and the whole state after each. */
async function train(config: Config, mode: Mode, microBatches: MicroBatch[], learningRate = 1e-3) {
  const session = await openTinySession(config, mode);
  try {
    const step = await recordTrainingStep(session, config, parameterTable(config.model, vocabularySize));
    const results: StepResult[] = [];
    const states: Map<string, Float32Array>[] = [];
    for (const [i, microBatch] of microBatches.entries()) {
      const k = constantOf(config.training.microBatchesPerStep);
      results.push(
        await step(
          Array.from({ length: k }, () => microBatch),
          i + 1,
          learningRate,
        ),
      );
      const tensors = await session.readVariables(namesOf(config));
      states.push(new Map(tensors.map(({ name, values }) => [name, values])));
    }
    return { results, states };
  } finally {
    session.close();
  }
}

/** The loss of such a micro-batch and its gradients are `value` times what they were. */
const weighted = (microBatch: MicroBatch, value: number): MicroBatch => ({
  ...microBatch,
  lossMask: Float32Array.from(microBatch.lossMask, (loss) => loss * value),
});

describe('the gate before an update', () => {
  it.each([
    ['recorded', { emaDecay: 0.9 }, 'muon'],
    ['eager', { emaDecay: 0.9 }, 'muon'],
    ['recorded', { microBatchesPerStep: 2 }, 'adamw'],
  ] as const)(
    'keeps out what is no finite number and leaves everything as it was: %s, %o, %s',
    async (mode, training, kind) => {
      const config = tinyConfig({ training, optimizer: { kind } });
      const good = randomMicroBatch(config, 1);
      const { results, states } = await train(config, mode, [
        good,
        weighted(good, NaN),
        weighted(good, Infinity),
        good,
      ]);
      expect(results.map(({ skipped }) => skipped)).toEqual([null, 'notFinite', 'notFinite', null]);
      expect(results[1]!.loss).toBeNaN();
      expect(states[0]!.size).toBeGreaterThan(40);
      expect(states[1]).toEqual(states[0]);
      expect(states[2]).toEqual(states[0]);
      expect(states[3]).not.toEqual(states[0]);
      expect(results[3]!.loss).toBeLessThan(results[0]!.loss);
    },
  );

  it('does not take rounding for an outlier if the loss hardly changes', async () => {
    const config = tinyConfig({ training: { guard: { outlierDeviations: 5, windowSteps: 10, maxSkips: 10 } } });
    const same = randomMicroBatch(config, 1);
    const { results, states } = await train(
      config,
      'recorded',
      [...Array<MicroBatch>(10).fill(same), weighted(same, 1.004), weighted(same, 1.02)],
      0,
    );
    expect(states[9]!.get('guard/loss/variance')![0]).toBeLessThan(1e-9);
    expect(results.map(({ skipped }) => skipped)).toEqual([...Array(11).fill(null), 'lossOutlier']);
  });

  it('skips outliers of the loss or the gradient norm once the window is full', async () => {
    const config = tinyConfig({
      training: { guard: { outlierDeviations: 5, windowSteps: 10, maxSkips: 10 } },
      optimizer: { learningRate: 0 },
    });
    const micro = (i: number) => randomMicroBatch(config, i);
    const before = Array.from({ length: 10 }, (_, i) => micro(i));
    const early = weighted(micro(3), 1.3); // in the window itself nothing is an outlier
    const { results, states } = await train(config, 'recorded', [
      ...before.slice(0, 9),
      early,
      weighted(micro(4), 4),
      micro(5),
    ]);
    expect(results.map(({ skipped }) => skipped)).toEqual([...Array(10).fill(null), 'lossOutlier', null]);
    expect(states[10]).toEqual(states[9]);

    // Mean and deviation of the first window are the plain ones.
    const statistic = (name: string) => states[9]!.get(`guard/${name}`)![0]!;
    const losses = results.slice(0, 10).map(({ loss }) => loss);
    const mean = losses.reduce((sum, loss) => sum + loss, 0) / 10;
    const variance = losses.reduce((sum, loss) => sum + (loss - mean) ** 2, 0) / 10;
    expect(statistic('updates')).toBe(10);
    expect(statistic('loss/mean')).toBeCloseTo(mean, 5);
    expect(statistic('loss/variance') / variance).toBeCloseTo(1, 3);
  });

  it('finds an outlier of the gradient norm with an ordinary loss', async () => {
    const config = tinyConfig({
      training: { guard: { outlierDeviations: 3, windowSteps: 10, maxSkips: 10 } },
      optimizer: { learningRate: 0 },
    });
    const micro = (i: number) => randomMicroBatch(config, i);
    const one = micro(2); // half of the windows' targets weigh double, the other half nothing: a mean loss alike
    const uneven = { ...one, lossMask: one.lossMask.map((_, i) => (i === 0 ? one.lossMask.length : 0)) };
    const { results } = await train(config, 'recorded', [...Array.from({ length: 10 }, (_, i) => micro(i)), uneven]);
    expect(results.at(-1)).toMatchObject({ skipped: 'gradientNormOutlier' });
  });
});

describe('the running mean of the weights', () => {
  it('follows the weights being trained and does not change them', async () => {
    const plain = tinyConfig();
    const averaged = tinyConfig({ training: { emaDecay: 0.25 } });
    const microBatches = [0, 1, 2].map((i) => randomMicroBatch(plain, i));
    const [a, b] = [await train(plain, 'recorded', microBatches), await train(averaged, 'recorded', microBatches)];
    expect(b.results).toEqual(a.results);
    const name = 'blocks.1.feedForward.up.weight';
    // Decay min(0.25, (1 + t)/(10 + t)): 2/11, then 0.25.
    let mean = Float64Array.from((await initial(plain)).get(name)!);
    for (const [i, decay] of [2 / 11, 0.25, 0.25].entries()) {
      const trained = b.states[i]!.get(`${name}/trained`)!;
      expect(trained).toEqual(a.states[i]!.get(name));
      mean = mean.map((value, j) => decay * value + (1 - decay) * trained[j]!);
      b.states[i]!.get(name)!.forEach((value, j) => expect(value).toBeCloseTo(mean[j]!, 6));
    }
  });
});

async function initial(config: Config): Promise<Map<string, Float32Array>> {
  const session = await openTinySession(config, 'recorded');
  const tensors = await session.readVariables(namesOf(config));
  session.close();
  return new Map(tensors.map(({ name, values }) => [name, values]));
}
