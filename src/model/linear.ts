/** A linear map of rows. */
import type { Tensor } from '@tensorflow/tfjs-core';
import { linearProduct } from '../runtime/weights.ts';
import type { Parameters } from './decoderPass.ts';

/**
 * x (N, inputs) → (N, outputs). Rows are flattened to two dimensions throughout the decoder because
 * tfjs's gradient of a batched product does not sum over a broadcast batch.
 */
export function linear(parameters: Parameters, path: string, x: Tensor): Tensor {
  return linearProduct(x, parameters[`${path}.weight`]!, parameters[`${path}.bias`] ?? null);
}
