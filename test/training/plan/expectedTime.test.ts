import { describe, expect, it } from 'vitest';
import { smallerSteps, stepFlops } from '../../../src/checks/measurement.ts';
import { configSchema } from '../../../src/config/schema.ts';
import type { Config } from '../../../src/config/schema.ts';
import { runTime, runWork, stepTimeRange } from '../../../src/training/plan/expectedTime.ts';
import { planRun } from '../../../src/training/plan/plan.ts';
import { dueAt } from '../../../src/training/train.ts';

const vocabularySize = 83;

const configOf = (sections: Record<string, object> = {}): Config =>
  configSchema.parse({
    name: 'timed',
    corpus: { sources: [{ path: '/nowhere' }] },
    training: { microBatchSize: 12, steps: 140, ...sections['training'] },
    model: sections['model'],
    optimizer: sections['optimizer'],
    evaluation: { everySteps: 30, ...sections['evaluation'] },
    checkpoints: { everySteps: 50, ...sections['checkpoints'] },
    samples: { everySteps: 20, ...sections['samples'] },
  }) as Config;
const planOf = (config: Config) => planRun(config, { vocabularySize, trainingTokens: 1e6 }, 64e9);

describe('the work of a run', () => {
  it.each([
    [{}, 0],
    [{}, 60],
    [{}, 61],
    [{ evaluation: { everySteps: null }, samples: { everySteps: null }, checkpoints: { everySteps: null } }, 0],
    [{ training: { steps: 150 }, evaluation: { everySteps: 200 } }, 50],
  ])('counts evaluations, samples and checkpoints as the loop makes them: %j after %i steps', (sections, made) => {
    const config = configOf(sections);
    const plan = planOf(config);
    const work = runWork(config, plan, 10_000, made);
    const loop = { evaluations: 0, samples: 0, checkpoints: 0 };
    for (let step = made; step <= plan.steps; step++) {
      const isResumed = made > 0 && step === made; // what was due there has been done before the stop
      const due = dueAt(step, config, plan.steps, new Set(isResumed ? ['evaluation', 'sample', 'checkpoint'] : []));
      loop.evaluations += Number(due.evaluation);
      loop.samples += Number(due.sample);
      loop.checkpoints += Number(due.checkpoint || step === plan.steps);
    }
    expect(work).toMatchObject({
      steps: plan.steps - made,
      evaluations: loop.evaluations,
      checkpoints: loop.checkpoints,
    });
    expect(Math.abs(work.samples - loop.samples)).toBeLessThanOrEqual(1); // the last step need not have one
  });

  it('is nothing for a run that has been made, and adds up to its time', () => {
    const config = configOf();
    const plan = planOf(config);
    const none = runTime(runWork(config, plan, 10_000, plan.steps), config, plan, { msPerStep: 7, prepareMs: 900 });
    expect(none.wholeMs).toBe(0);
    const { wholeMs, ...parts } = runTime(runWork(config, plan, 10_000), config, plan, {
      msPerStep: 7,
      prepareMs: 900,
    });
    expect(parts.stepsMs).toBe(140 * 7);
    expect(parts.startMs).toBeGreaterThan(900);
    // 10,000 tokens are 13 steps of 768, forward only, and there are six evaluations.
    expect(parts.evaluationsMs).toBeCloseTo(6 * 0.38 * (10_000 / 768) * 7, 6);
    expect(wholeMs).toBeCloseTo(
      Object.values(parts).reduce((sum, ms) => sum + ms),
      6,
    );
  });
});

describe('the range of a step by the matmul peak', () => {
  /** Quiet measurements of docs/measurements.md: sizes, the peak that was measured with them, ms a step. */
  const small = { layers: 4, heads: 4, width: 128, contextLength: 64 };
  const large = { layers: 6, heads: 6, width: 384, contextLength: 256 };
  const gpt2 = { layers: 12, heads: 12, width: 768, contextLength: 512 };
  /** @param share of the peak, as measured in the same run */
  const measured: [Partial<Config['model']>, number, number, number, number][] = [
    [small, 12, 65, 27.9, 0.35],
    [small, 12, 65, 13.3, 0.66],
    [small, 12, 65, 13.5, 0.32],
    [small, 12, 65, 9.3, 0.52],
    [large, 8, 65, 522, 0.65],
    [large, 8, 65, 398, 0.93],
    [large, 8, 65, 221, 0.8],
    [gpt2, 1, 50_257, 1947, 0.48],
    [gpt2, 1, 50_257, 1159, 0.8],
  ];
  it.each(measured)('holds what was measured: %j', (model, microBatchSize, V, ms, share) => {
    const config = configOf({ model, training: { microBatchSize } });
    const plan = planRun(config, { vocabularySize: V, trainingTokens: 1e6 }, 64e9);
    const gflops = (plan.flopsPerToken * plan.tokensPerStep) / ms / 1e6 / share;
    const { lowMs, highMs } = stepTimeRange(config, plan, gflops);
    expect(lowMs).toBeLessThan(ms);
    expect(highMs).toBeGreaterThan(ms);
    expect(highMs / lowMs).toBeLessThan(6);
  });

  it('grows with the FLOPs, recompute, Muon and the number of operations', () => {
    const range = (sections: Record<string, object>) => {
      const config = configOf(sections);
      return stepTimeRange(config, planOf(config), 100);
    };
    const base = range({});
    expect(range({ training: { microBatchSize: 24, steps: 10 } }).lowMs / base.lowMs).toBeGreaterThan(1.5);
    expect(range({ training: { recompute: 'block', steps: 10 } }).highMs).toBeGreaterThan(base.highMs);
    expect(range({ optimizer: { kind: 'muon' } }).highMs).toBeGreaterThan(base.highMs);
    const tiny = range({ model: { layers: 40, width: 4, heads: 2, contextLength: 8 } });
    expect(tiny.highMs).toBeGreaterThan(20); // handing out operations takes longer than computing them
  });
});

describe('smaller steps for a measurement', () => {
  const config = configOf({ training: { microBatchSize: 12, microBatchesPerStep: 3 }, model: { layers: 8 } });
  const whole = stepFlops(config, vocabularySize);

  it('are the steps of the run if there is time for them', () => {
    expect(smallerSteps(config, vocabularySize, whole).smaller).toEqual({});
  });

  it.each([
    [0.5, ['training.microBatchesPerStep']],
    [0.1, ['training.microBatchesPerStep', 'training.microBatchSize']],
    [0.01, ['training.microBatchesPerStep', 'training.microBatchSize', 'model.layers']],
  ])('have less and less of everything: %s', (share, keys) => {
    const { config: made, smaller } = smallerSteps(config, vocabularySize, share * whole);
    expect(Object.keys(smaller)).toEqual(keys);
    expect(stepFlops(made, vocabularySize)).toBeLessThanOrEqual(share * whole);
    expect(stepFlops(made, vocabularySize)).toBeGreaterThan(0.2 * share * whole);
    expect(made.training.microBatchSize).toBe(smaller['training.microBatchSize'] ?? 12);
  });

  it('cannot be smaller than one window of one layer', () => {
    const { config: made } = smallerSteps(config, vocabularySize, 1);
    expect([made.training.microBatchSize, made.model.layers]).toEqual([1, 1]);
  });
});
