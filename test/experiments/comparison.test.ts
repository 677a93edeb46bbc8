import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { amountAt, compareRuns } from '../../src/experiments/comparison.ts';
import { readRunHistory } from '../../src/experiments/runHistory.ts';
import { differenceOf, spreadOf, studentQuantile } from '../../src/statistics.ts';
import { useTemporaryFolder } from '../temporaryFolder.ts';
import { writeRun, type FakeRun } from './runFolders.ts';

const folder = useTemporaryFolder();
const history = (name: string, run: FakeRun) => readRunHistory(writeRun(path.join(folder(), name), run));

/** A run of four steps that ends at `loss`. */
const ofRate = (rate: number, seed: number, loss: number, steps = 4) =>
  history(`r${rate}s${seed}`, {
    losses: Array.from({ length: steps }, () => 3),
    evaluations: [
      [0, 4],
      [2, 2],
      [steps, loss],
    ],
    config:
      `name: r${rate}s${seed}\nseed: ${seed}\noptimizer: { learningRate: ${rate}, betas: [0.9, 0.99] }\n` +
      `checkpoints: { everySteps: ${seed} }\n`,
  });

describe('statistics of seeds', () => {
  it('equal those of the textbook', () => {
    expect(spreadOf([2, 4, 4, 4, 5, 5, 7, 9, null])).toEqual({ n: 8, mean: 5, deviation: Math.sqrt(32 / 7) });
    expect(spreadOf([3])).toEqual({ n: 1, mean: 3, deviation: null });
    expect(spreadOf([null])).toBeNull();
    // scipy.stats.t.ppf(0.975, ν)
    for (const [degrees, quantile] of [
      [1, 12.7062],
      [4, 2.7764],
      [15, 2.1314],
      [16, 2.1199],
      [30, 2.0423],
      [200, 1.9719],
    ] as const) {
      expect(Math.abs(studentQuantile(degrees) - quantile), `ν = ${degrees}`).toBeLessThan(0.01);
    }
  });

  it('tell whether a difference is within the spread, by Welch', () => {
    const a = spreadOf([1, 1.1, 1.2])!;
    const b = spreadOf([1.9, 2.1, 2.3])!;
    // Computed by hand: variances 0.01/3 and 0.04/3, ν = (0.05/3)² / ((0.01/3)²/2 + (0.04/3)²/2) = 50/17.
    const { difference, margin, isWithinSpread } = differenceOf(a, b);
    expect(difference).toBeCloseTo(1, 12);
    expect(margin).toBeCloseTo(studentQuantile(50 / 17) * Math.sqrt(0.05 / 3), 9);
    expect(isWithinSpread).toBe(false);
    expect(differenceOf(a, spreadOf([1.05, 1.15, 1.3])!).isWithinSpread).toBe(true);
    expect(differenceOf(spreadOf([1])!, spreadOf([2])!)).toEqual({ difference: 1, margin: null, isWithinSpread: null });
    expect(differenceOf(spreadOf([1])!, b).margin).toBeCloseTo(4.303 * 0.2 * Math.sqrt(4 / 3), 9);
  });
});

describe('comparing runs', () => {
  it('groups runs that differ only by seed, ranks the groups, and tells which differences count', () => {
    const runs = [
      ofRate(0.1, 1, 1.5),
      ofRate(0.1, 2, 1.52),
      ofRate(0.2, 1, 1.25),
      ofRate(0.2, 2, 1.27),
      ofRate(0.3, 1, 1.251),
      ofRate(0.3, 2, 1.273),
    ];
    const { differing, groups, differences } = compareRuns(runs);
    expect(differing.map(({ key }) => key)).toEqual(['seed', 'optimizer.learningRate', 'checkpoints.everySteps']);
    expect(groups.map(({ values, validationLoss }) => [values['optimizer.learningRate'], validationLoss?.n])).toEqual([
      [0.2, 2],
      [0.3, 2],
      [0.1, 2],
    ]);
    expect(groups[0]!.validationLoss!.mean).toBeCloseTo(1.26, 12);
    expect(groups[0]!.trainingLoss!.mean).toBe(3);
    expect(differences.map((difference) => difference!.isWithinSpread)).toEqual([true, false]);
  });

  it('aligns runs of different lengths at the end of the shorter one', () => {
    const short = ofRate(0.1, 1, 1.5, 4);
    const long = ofRate(0.2, 1, 1, 10); // evaluated at 2 (loss 2) and 10 (loss 1): 1.75 at step 4
    for (const alignment of ['tokens', 'flops', 'time', 'steps'] as const) {
      const { amount, groups } = compareRuns([short, long], { alignment, rankedBy: 'alignedLoss' });
      expect(amount).toBe({ tokens: 40, flops: 240, time: 400, steps: 4 }[alignment]);
      expect(groups.map(({ alignedLoss }) => alignedLoss!.mean)).toEqual([1.5, 1.75]);
    }
    expect(compareRuns([short, long]).groups[0]!.validationLoss!.mean).toBe(1);
    expect(
      compareRuns([short, long], { alignment: 'steps', amount: 1 }).groups.map(({ alignedLoss }) => alignedLoss!.mean),
    ).toEqual([3, 3]);
  });

  it('adds up the time of a run that was resumed, and finds the time of a step between thinned records', () => {
    const run = history('resumed', { losses: [3, 2] });
    run.updates.step = [10, 20, 30];
    run.updates.trainedMs = [100, 200, 300];
    expect([1, 10, 15, 30, 31].map((step) => amountAt(run, 'time', step))).toEqual([100, 100, 200, 300, 300]);
  });

  it('treats a run that is older than a key as having its default', () => {
    const corpus = 'corpus: { sources: [{ path: /a.txt }] }';
    const older = history('older', { losses: [3], evaluations: [[1, 2]], config: `${corpus}\nmodel: { layers: 2 }\n` });
    const newer = history('newer', {
      losses: [3],
      evaluations: [[1, 2.1]],
      config: `${corpus}\nmodel: { layers: 2, queryKeyNorm: false }\n`,
    });
    const other = history('other', {
      losses: [3],
      evaluations: [[1, 2.2]],
      config: `${corpus}\nmodel: { layers: 2, queryKeyNorm: true }\n`,
    });
    expect(compareRuns([older, newer]).groups.map(({ runs }) => runs.length)).toEqual([2]);
    expect(compareRuns([older, newer, other]).groups.map(({ values }) => values)).toEqual([
      { 'model.queryKeyNorm': false },
      { 'model.queryKeyNorm': true },
    ]);
  });

  it('distinguishes sources by the key that differs', () => {
    const of = (name: string) =>
      history(name, { losses: [3], evaluations: [[1, 2]], config: `corpus: { sources: [{ path: /${name}.txt }] }\n` });
    expect(compareRuns([of('one'), of('two')]).differing).toEqual([
      { key: 'corpus.sources[0].path', values: ['/one.txt', '/two.txt'] },
    ]);
  });
});
