/**
 * Cross-entropy of logits (N, V) against targets (N) int32, in nats. Loss and gradient are computed at once, and no
 * one-hot (N, V) is ever made.
 */
import { mul, reshape, type Tensor } from '@tensorflow/tfjs-core';
import { dataTypes, float32Type, typeAttribute } from '../runtime/binding.ts';
import { executeOperation } from '../runtime/tensorflow.ts';
import { operation, runKernel } from './kernels.ts';
import { withGradient } from './withGradient.ts';

/** weight·(−ln p(target)) of each row (N), and the gradient (N, V) of their sum by the logits. @param weights (N) */
export const weightedCrossEntropy = operation({
  kernel: (logits: Tensor, targets: Tensor, weights: Tensor): { losses: Tensor; dLogits: Tensor } => {
    const [losses, dLogits] = runKernel('ClmCrossEntropy', [logits, targets, weights]);
    return { losses, dLogits };
  },
  composed: (logits: Tensor, targets: Tensor, weights: Tensor): { losses: Tensor; dLogits: Tensor } => {
    const { losses, gradient } = lossesAndGradient(logits, targets);
    return { losses: mul(losses, weights), dLogits: mul(gradient, reshape(weights, [-1, 1])) };
  },
});

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
