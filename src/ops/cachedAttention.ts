/**
 * A step of attention: the new token of each slot attends to the filled positions before it and itself. Not
 * differentiable.
 *
 * B slots · S capacity in positions · K key/value heads · G queries of each · D head size
 */
import { cast, greater, mul, reshape, tensor, tensor1d, tensor2d, type Tensor } from '../tfjs.ts';
import { floatAttribute, intAttribute } from '../runtime/binding.ts';
import { attend, joinHeads, splitHeads } from './attention.ts';
import { operation, runKernel } from './kernels.ts';
import { rmsNorm } from './norm.ts';
import { rotate, type Rotation } from './rotation.ts';

/** What happens to queries and keys before they meet. */
export interface HeadPlacement {
  /** QK-norm: a gain (D) for the queries and one for the keys, or null. */
  norm: { queryGain: Tensor; keyGain: Tensor; epsilon: number } | null;
  /** (B, 1, 1, 1, D) each, or null. */
  rotation: Rotation | null;
}

/** The cache of one attention. */
export interface StepCache {
  heads: number;
  /** (B) int32, of the new position of each slot, below S. */
  positions: Tensor;
  /** Values of the variables with all keys and all values, (B·K·S, D) each. */
  keys(): Tensor;
  values(): Tensor;
  /** Writes new keys and values, (B, K, 1, D) each, at `positions`. @returns all keys and all values */
  append(key: Tensor, value: Tensor): { keys: Tensor; values: Tensor };
}

const nothing = () => tensor1d([]);

/**
 * Puts the new keys and values into the cache.
 *
 * @param rows (B, (G + 2)·K·D), side by side: queries, keys, values
 * @returns (B, K·G·D), heads side by side
 */
export const cachedAttention = operation({
  kernel: (rows: Tensor, cache: StepCache, { norm, rotation }: HeadPlacement): Tensor => {
    const [keys, values] = [cache.keys(), cache.values()];
    const width = rows.shape[1]! - 2 * cache.heads * keys.shape[1]!;
    const turn = rotation ? [rotation.cosines, rotation.signedSines] : [nothing(), nothing()];
    const gains = norm ? [norm.queryGain, norm.keyGain] : [nothing(), nothing()];
    const inputs = [rows, keys, values, cache.positions, ...turn, ...gains, tensor2d([], [0, width])];
    const attributes = [intAttribute('heads', cache.heads), floatAttribute('epsilon', norm?.epsilon ?? 0)];
    return runKernel('ClmCachedAttention', inputs, attributes)[0];
  },
  // Reads the whole cache and hides what is not filled.
  composed: (rows: Tensor, cache: StepCache, { norm, rotation }: HeadPlacement): Tensor => {
    const [[B, columns], K] = [rows.shape as [number, number], cache.heads];
    const [capacity, D] = cache.keys().shape as [number, number];
    const S = capacity / (B * K);
    const sizes = { B, T: 1, K, G: columns / (K * D) - 2, D };
    const projected = splitHeads(rows, sizes);
    const placed = (heads: Tensor, gain: Tensor | undefined): Tensor => {
      const rowsOfHeads = reshape(heads, [-1, D]);
      const normalised = gain ? reshape(rmsNorm(rowsOfHeads, gain, norm!.epsilon), heads.shape) : heads;
      return rotation === null ? normalised : rotate(normalised, rotation, 1);
    };
    const query = placed(projected.query, norm?.queryGain);
    const { keys, values } = cache.append(placed(projected.key, norm?.keyGain), projected.value);
    const all = tensor(
      Int32Array.from({ length: S }, (_, i) => i),
      [1, S],
      'int32',
    );
    const isHidden = greater(all, reshape(cache.positions, [B, 1]));
    const mask = reshape(mul(cast(isHidden, 'float32'), -1e9), [B, 1, 1, 1, S]);
    const attended = attend(query, reshape(keys, [B, K, S, D]), reshape(values, [B, K, S, D]), mask, null);
    return joinHeads(attended, sizes);
  },
});
