import { expect, it } from 'vitest';
import {
  afterEvaluation,
  afterUpdate,
  firstLossWarning,
  isExhausted,
  noEvaluations,
} from '../../src/training/progress.ts';

it('patience counts evaluations since the best; an equal loss is no better', () => {
  let history = noEvaluations;
  for (const [step, loss] of [
    [0, 4],
    [5, 3],
    [10, 3],
    [15, 3.5],
  ] as const)
    history = afterEvaluation(history, step, loss);
  expect(history).toEqual({ loss: 3.5, bestLoss: 3, bestStep: 5, evaluationsSinceBest: 2 });
  expect([isExhausted(history, 2), isExhausted(history, 3), isExhausted(history, null)]).toEqual([true, false, false]);
});

it('an update keeps the best evaluation, but the new step has no loss of its own', () => {
  const history = afterEvaluation(noEvaluations, 5, 3);
  expect(afterUpdate(history)).toEqual({ loss: null, bestLoss: 3, bestStep: 5, evaluationsSinceBest: 0 });
});

it('warns of a first loss far from that of an untrained model', () => {
  expect(firstLossWarning(Math.log(50_000), 50_000)).toBeUndefined();
  expect(firstLossWarning(22, 50_000)).toContain('ln 50000 = 10.820'); // embeddings with a deviation of 1
  expect(firstLossWarning(2, 50_000)).toContain('the loss before training is 2.000');
});
