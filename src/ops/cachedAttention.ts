/**
 * Attention of one new position of each slot to the filled positions before it and itself; not differentiable.
 *
 * B slots · S capacity in positions · K key/value heads · G queries of each · D head size
 */
import { cast, greater, mul, reshape, tensor, type Tensor } from '@tensorflow/tfjs-core';
import { attend } from './attention.ts';
import { operation, runKernel } from './kernels.ts';

/**
 * @param query (B, K, G, D) @param keys (B·K·S, D) @param values (B·K·S, D)
 * @param positions (B) int32, of the new position of each slot, below S
 * @returns (B, K, G, D)
 */
export const cachedAttention = operation({
  kernel: (query: Tensor, keys: Tensor, values: Tensor, positions: Tensor): Tensor =>
    runKernel('ClmCachedAttention', [query, keys, values, positions])[0],
  // Reads the whole cache and hides what is not filled.
  composed: (query: Tensor, keys: Tensor, values: Tensor, positions: Tensor): Tensor => {
    const [B, K, , D] = query.shape as [number, number, number, number];
    const S = keys.shape[0]! / (B * K);
    const all = tensor(
      Int32Array.from({ length: S }, (_, i) => i),
      [1, S],
      'int32',
    );
    const isHidden = greater(all, reshape(positions, [B, 1]));
    const mask = reshape(mul(cast(isHidden, 'float32'), -1e9), [B, 1, 1, 1, S]);
    return attend(query, reshape(keys, [B, K, S, D]), reshape(values, [B, K, S, D]), mask, null);
  },
});
