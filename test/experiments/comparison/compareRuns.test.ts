import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { compareRuns } from '../../../src/experiments/comparison/compareRuns.ts';
import { amountAt } from '../../../src/experiments/comparison/runFigures.ts';
import { readRunHistory } from '../../../src/experiments/runHistory.ts';
import { useTemporaryFolder } from '../../temporaryFolder.ts';
import { writeRun, type FakeRun } from '../runFolders.ts';

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

describe('comparing runs', () => {
  it('sorts runs that differ only by seed into settings, ranks them, and tells which differences count', () => {
    const runs = [
      ofRate(0.1, 1, 1.5),
      ofRate(0.1, 2, 1.52),
      ofRate(0.2, 1, 1.25),
      ofRate(0.2, 2, 1.27),
      ofRate(0.3, 1, 1.251),
      ofRate(0.3, 2, 1.273),
    ];
    const { differing, groups, differences, correction, answer, notes } = compareRuns(runs);
    expect(differing.map(({ key }) => key)).toEqual(['seed', 'optimizer.learningRate', 'checkpoints.everySteps']);
    expect(groups.map(({ values, validationLoss }) => [values['optimizer.learningRate'], validationLoss?.n])).toEqual([
      [0.2, 2],
      [0.3, 2],
      [0.1, 2],
    ]);
    expect(groups[0]!.validationLoss!.mean).toBeCloseTo(1.26, 12);
    expect(groups[0]!.trainingLoss!.mean).toBe(3);
    expect(differences.map((difference) => difference!.isWithinSpread)).toEqual([true, false]);
    expect(correction).toEqual({ method: 'holm', comparisons: 2 });
    expect(answer[0]).toMatch(
      /^No best setting can be told: learningRate 0.2 has the lowest validation loss, 1.2600 nats per token, but learn/,
    );
    expect(answer.join(' ')).toContain("each run's last evaluation (step 4)");
    expect(notes).toEqual([]);
  });

  it('names the loss, the accuracy and the margin of preference pairs as such', () => {
    const [a, b] = [0.25, 0.5].map((margin, i) =>
      history(`pairs${i}`, {
        losses: [0.7],
        evaluations: [[1, 0.6 - margin / 4]],
        evaluated: { margin, accuracy: 0.5 + margin },
        config: `name: pairs${i}\nseed: 1\noptimizer: { learningRate: ${margin} }\n`,
      }),
    );
    const answer = compareRuns([a!, b!]).answer.join(' ');
    expect(answer).toContain('validation loss in nats per pair');
    expect(answer).not.toContain('per token');
    expect(answer).toContain(
      'preferred by learningRate 0.5 in 100.0 % of the pairs, by a margin of 0.5000; ' +
        'by learningRate 0.25 in 75.0 % of the pairs, by a margin of 0.2500.',
    );
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

  it('says where a learning rate was never reached, and where the best value is at the edge of those tried', () => {
    const of = (rate: number, warmupSteps: number, loss: number) =>
      history(`rate-${rate}`, {
        losses: [3, 2, 2, 2],
        evaluations: [[4, loss]],
        config:
          'corpus: { sources: [{ path: /a.txt }] }\nseed: 1\n' +
          `optimizer: { learningRate: ${rate} }\nschedule: { warmupSteps: ${warmupSteps} }\n`,
      });
    const notes = (...losses: number[]) =>
      compareRuns(losses.map((loss, i) => of([0.001, 0.003, 0.01][i]!, 3, loss))).notes;
    expect(notes(2, 1, 3)).toEqual([]); // three steps of warm-up in four, and the middle value is best
    expect(notes(2, 1)).toEqual([]); // one of two values is always at an edge
    const edge = (which: string) =>
      `The lowest loss is at the edge of the values tried (optimizer.learningRate ${which} of 3): ` +
      'values beyond it may be better still.';
    expect(notes(3, 2, 1)).toEqual([edge('0.01, the largest')]);
    expect(notes(1, 2, 3)).toEqual([edge('1e-3, the smallest')]);
    const rising = [of(0.001, 4, 2), of(0.003, 4, 1), of(0.01, 4, 3)];
    expect(compareRuns(rising).notes).toEqual([
      'The learning rate of every run was never reached: schedule.warmupSteps is not less than their number of steps ' +
        '(rate-0.001, rate-0.003 and rate-0.01). Lower it, or train longer.',
    ]);
    expect(compareRuns([of(0.001, 3, 2), of(0.003, 4, 1), of(0.01, 3, 3)]).notes[0]).toMatch(
      /^The learning rate of 1 of 3 runs was never reached/,
    );
  });
});
