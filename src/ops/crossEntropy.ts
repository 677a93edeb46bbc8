/**
 * Cross-entropy of logits (N, V) against targets (N) int32, in nats. Loss and gradient are computed at once, and no
 * one-hot (N, V) is ever made.
 */
import { mul, reshape, square, sub, tanh, type Tensor } from '../tfjs.ts';
import { dataTypes, float32Type, floatAttribute, typeAttribute } from '../runtime/binding.ts';
import { executeOperation } from '../runtime/tensorflow.ts';
import { operation, runKernel } from './kernels.ts';
import { withGradient } from './withGradient.ts';

type WeightedCrossEntropy = (
  logits: Tensor,
  targets: Tensor,
  weights: Tensor,
  softCap: number | null,
) => { losses: Tensor; dLogits: Tensor };

/**
 * weight·(−ln p(target)) of each row (N), and the gradient (N, V) of their sum by the logits.
 *
 * @param weights (N) @param softCap of the logits, see `softCapped`; null: p is the softmax of the logits themselves
 */
export const weightedCrossEntropy = operation<Parameters<WeightedCrossEntropy>, ReturnType<WeightedCrossEntropy>>({
  kernel: (logits, targets, weights, softCap) => {
    const cap = [floatAttribute('soft_cap', softCap ?? 0)];
    const [losses, dLogits] = runKernel('ClmCrossEntropy', [logits, targets, weights], cap);
    return { losses, dLogits };
  },
  composed: (logits, targets, weights, softCap) => {
    const capped = softCap === null ? logits : softCapped(logits, softCap);
    const { losses, gradient } = lossesAndGradient(capped, targets);
    const weighted = mul(gradient, reshape(weights, [-1, 1]));
    const slope = softCap === null ? null : sub(1, square(mul(capped, 1 / softCap)));
    return { losses: mul(losses, weights), dLogits: slope === null ? weighted : mul(weighted, slope) };
  },
});

/** Logits within ±softCap: softCap · tanh(logits / softCap), as in Gemma 2 (https://arxiv.org/abs/2408.00118). */
export const softCapped = (logits: Tensor, softCap: number): Tensor => mul(tanh(mul(logits, 1 / softCap)), softCap);

/** The losses (N), differentiable by the logits. */
export const sparseCrossEntropy = (logits: Tensor, targets: Tensor): Tensor =>
  withGradient(
    [logits],
    () => {
      const { losses, gradient } = lossesAndGradient(logits, targets);
      return { value: losses, saved: [gradient] };
    },
    (dy, [gradient]) => [mul(gradient, reshape(dy, [-1, 1]))],
  );

/** The losses (N) and their gradient (N, V). */
function lossesAndGradient(logits: Tensor, targets: Tensor): { losses: Tensor; gradient: Tensor } {
  const types = [float32Type, typeAttribute('Tlabels', dataTypes.int32)];
  const [losses, gradient] = executeOperation('SparseSoftmaxCrossEntropyWithLogits', types, [logits, targets], 2);
  return { losses: losses!, gradient: gradient! };
}
