/** The training objective: cross-entropy of the logits against the shifted targets, nats per token. */
import { mul, sum, type Tensor } from '@tensorflow/tfjs-core';
import { sparseCrossEntropy } from '../runtime/operations.ts';

/**
 * Σ weight·(−ln p(target)) over all positions, a scalar; the caller divides by the number of targets.
 *
 * @param logits (N, V) @param targets (N) int32 @param weights (N), 0 on padding, 1 elsewhere
 */
export function summedLoss(logits: Tensor, targets: Tensor, weights: Tensor): Tensor {
  return sum(mul(sparseCrossEntropy(logits, targets), weights));
}
