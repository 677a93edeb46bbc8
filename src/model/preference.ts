/**
 * Direct preference optimization (Rafailov et al. 2023, https://arxiv.org/abs/2305.18290): how much more than a
 * reference the model prefers the chosen completion of a pair to the rejected one.
 *
 * P pairs · R = 2·P rows, each pair the conversation with its chosen completion, then that with its rejected one
 */
import { add, cast, greater, mul, reshape, sigmoid, slice, softplus, stack, sub, sum } from '../tfjs.ts';
import type { Tensor } from '../tfjs.ts';
import type { Config } from '../config/schema.ts';
import { withGradient } from '../ops/withGradient.ts';

/** The settings of `training.objective: { kind: dpo }`. */
export interface PreferenceObjective {
  beta: number;
  labelSmoothing: number;
}

/** Null if the objective is another one. */
export const preferenceObjective = ({ training }: Pick<Config, 'training'>): PreferenceObjective | null => {
  const { kind, beta, labelSmoothing } = training.objective;
  return kind === 'dpo' ? { beta: beta ?? 0.1, labelSmoothing: labelSmoothing ?? 0 } : null;
};

/** What `preferenceFigures` computes, in this order, each a weighted sum over the pairs. */
export const preferenceFigureNames = ['loss', 'rewardChosen', 'rewardRejected', 'accuracy', 'chosenLoss'] as const;

/**
 * The figures of pairs as a vector: the loss −(1 − s)·ln σ(m) − s·ln σ(−m), with the margin m of the rewards and the
 * label smoothing s (Mitchell 2023, https://ericmitchell.ai/cdpo.pdf); the rewards β·(ln p − ln p of the reference);
 * how many rewards of the chosen are larger; and −ln p of the chosen. Only the loss has a gradient.
 *
 * @param rowLosses (R) −ln p of the completions @param reference (R) ln p under the reference
 * @param weights (P), 0 for a pair that is padding
 */
export const preferenceFigures = (
  rowLosses: Tensor,
  reference: Tensor,
  weights: Tensor,
  { beta, labelSmoothing: s }: PreferenceObjective,
): Tensor =>
  withGradient(
    [rowLosses],
    () => {
      const pairs = weights.shape[0]!;
      const column = (rows: Tensor, index: 0 | 1): Tensor =>
        reshape(slice(reshape(rows, [pairs, 2]), [0, index], [pairs, 1]), [pairs]);
      const rewards = mul(add(rowLosses, reference), -beta);
      const [chosen, rejected] = [column(rewards, 0), column(rewards, 1)];
      const margin = sub(chosen, rejected);
      const losses = add(mul(softplus(mul(margin, -1)), 1 - s), mul(softplus(margin), s));
      const isPreferred = cast(greater(margin, 0), 'float32');
      const figures = [losses, chosen, rejected, isPreferred, column(rowLosses, 0)];
      const dMargin = mul(sub(sigmoid(margin), 1 - s), weights);
      const dRows = reshape(stack([mul(dMargin, -beta), mul(dMargin, beta)], 1), [2 * pairs]);
      return { value: stack(figures.map((figure) => sum(mul(figure, weights)))), saved: [dRows] };
    },
    (dy, [dRows]) => [mul(dRows, reshape(slice(dy, [0], [1]), []))],
  );
