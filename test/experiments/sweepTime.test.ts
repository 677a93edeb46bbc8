import { describe, expect, it } from 'vitest';
import { progressText } from '../../src/cli/commands/experiments/sweepProgress.ts';
import { configSchema } from '../../src/config/schema.ts';
import type { Config } from '../../src/config/schema.ts';
import type { PlannedRun } from '../../src/experiments/sweep/planSweep.ts';
import type { RunSummary } from '../../src/experiments/runSummary.ts';
import {
  expectedRuns,
  expectedTotalMs,
  knownSpeeds,
  remainingMs,
  runsToMeasure,
  shapeOf,
  shareOfRun,
} from '../../src/experiments/sweep/sweepTime.ts';
import { runWork, type RunTime } from '../../src/training/plan/expectedTime.ts';
import { planRun } from '../../src/training/plan/plan.ts';

const vocabularySize = 71;

/** A run of a sweep with this width; `tokensPerSecond` if it has been trained. */
function planned(
  width: number,
  changes: Record<string, object> = {},
  tokensPerSecond: number | null = null,
): PlannedRun {
  const name = `width-${width}${JSON.stringify(changes)}`;
  const config = configSchema.parse({
    name: 'run',
    corpus: { sources: [{ path: '/nowhere' }] },
    ...changes,
    model: { width, heads: 2, layers: 2 },
    training: { steps: 300, microBatchSize: 4, ...changes['training'] },
  }) as Config;
  const plan = planRun(config, { vocabularySize, trainingTokens: 1e6 }, 64e9);
  const made = tokensPerSecond === null ? 0 : plan.steps;
  const summary = { tokensPerSecond, step: made } as RunSummary;
  const work = runWork(config, plan, 5000, made);
  return { name, setting: name, set: [], config, plan, vocabularySize, work, prepareMs: 40, warnings: [], summary };
}

const time = (startMs: number, wholeMs: number): RunTime => ({
  ...{ startMs, wholeMs, stepsMs: wholeMs - startMs },
  ...{ evaluationsMs: 0, samplesMs: 0, checkpointsMs: 0 },
});

describe('what is measured for a sweep', () => {
  it('is one run of each size, whatever its seed, rate and number of steps', () => {
    const runs = [
      planned(32),
      planned(32, { optimizer: { learningRate: 0.5 } }),
      planned(32, { training: { steps: 17 } }),
      planned(64),
      planned(64, { training: { microBatchSize: 6 } }),
      planned(64, { optimizer: { kind: 'muon' } }),
    ];
    expect(new Set(runs.slice(0, 3).map(shapeOf)).size).toBe(1);
    expect(runsToMeasure(runs, new Map(), 9)).toHaveLength(4);
  });

  it('leaves out what runs of the sweep have shown, and is spread over the sizes if they are many', () => {
    const done = planned(32, {}, 5000);
    const known = knownSpeeds([done, planned(64)]);
    expect([...known.values()]).toEqual([(1000 * 4 * 64) / 5000]);
    expect(runsToMeasure([done, planned(32, { seed: 3 } as never), planned(64)], known, 9)).toHaveLength(1);
    const widths = [40, 32, 96, 64, 80, 48, 72].map((width) => planned(width));
    const measured = runsToMeasure(widths, new Map(), 3).map(({ config }) => config.model.width);
    expect(measured).toEqual([32, 64, 96]);
  });
});

describe('the time of a sweep', () => {
  it('takes the speed of a size that was not measured from the one nearest to it', () => {
    const runs = [planned(32), planned(64), planned(66)];
    const speeds = new Map([
      [shapeOf(runs[0]!), 1],
      [shapeOf(runs[1]!), 7],
    ]);
    const expected = expectedRuns(runs, speeds);
    const stepMs = runs.map(({ name }) => expected.get(name)!.stepsMs / 300);
    expect(stepMs.slice(0, 2)).toEqual([1, 7]);
    expect(stepMs[2]).toBeGreaterThan(7);
    expect(stepMs[2]).toBeLessThan(8);
    expect(expected.get(runs[0]!.name)!.evaluationsMs).toBeGreaterThan(0);
  });

  it('adds the runs up; at the same time only their starts overlap', () => {
    const runs = [time(100, 1100), time(100, 600)];
    expect(expectedTotalMs(runs, 1)).toBe(1700);
    expect(expectedTotalMs(runs, 2)).toBe(1600);
    expect(expectedTotalMs([], 1)).toBe(0);
  });
});

describe('what is left of a sweep', () => {
  const runs = (...shares: number[]) => shares.map((share) => ({ expected: time(100, 1000), share }));

  it('is what is expected at first, and nothing at the end', () => {
    expect(remainingMs(runs(0, 0, 0), 3000, 0)).toBe(3000);
    expect(remainingMs(runs(1, 1, 1), 3000, 4321)).toBe(0);
    expect(remainingMs([], 0, 5)).toBe(0);
  });

  it('is corrected by the runs that have ended: twice as slow, half of the time', () => {
    expect(remainingMs(runs(1, 0, 0, 0), 4000, 1000)).toBeCloseTo(3000, 6); // as expected
    const slower = remainingMs(runs(1, 1, 0, 0), 4000, 4000);
    expect(slower).toBeGreaterThan(3000);
    expect(slower).toBeLessThanOrEqual(4000);
    expect(remainingMs(runs(1, 1, 0, 0), 4000, 1000)).toBeLessThan(1500);
  });

  it('counts runs at the same time by what they get done together', () => {
    const left = remainingMs(runs(0.5, 0.5, 0, 0), 4000, 500); // two at the full speed of one
    expect(left).toBeGreaterThan(1500);
    expect(left).toBeLessThan(2200);
  });

  it('counts the start of a run by its time, and the rest by its steps', () => {
    const run = { expected: { ...time(200, 1000), evaluationsMs: 300 }, work: { evaluations: 3 } };
    expect(shareOfRun(run, 0, 100, 0)).toBeCloseTo(0.1, 9);
    expect(shareOfRun(run, 0, 9000, 0)).toBeCloseTo(0.2, 9);
    expect(shareOfRun(run, 0.5, 9000, 0)).toBeCloseTo(0.6, 9);
    expect(shareOfRun({ ...run, expected: time(0, 0) }, 0, 0, 0)).toBe(1);
  });

  it('counts the evaluation of step 0 before the steps, by its time', () => {
    const run = { expected: { ...time(200, 1000), evaluationsMs: 300 }, work: { evaluations: 3 } };
    expect(shareOfRun(run, 0, 250, 1)).toBeCloseTo(0.25, 9);
    expect(shareOfRun(run, 0, 9000, 1)).toBeCloseTo(0.3, 9);
    expect(shareOfRun(run, 0.5, 9000, 1)).toBeCloseTo(0.65, 9);
  });
});

describe('the line of a sweep under way', () => {
  it('says first what concerns the whole sweep', () => {
    const run = { name: 'seed-2', step: 1340, steps: 2000, loss: 2.31 };
    expect(progressText(3, 9, 250_000, [run])).toBe(
      '[3/9] about 4 min 10 s left; seed-2: step 1,340/2,000, loss 2.3100',
    );
    expect(progressText(0, 2, null, [{ ...run, step: 0, steps: null, loss: null }])).toBe('[0/2]; seed-2: step 0');
  });
});
