/**
 * Attention that keeps keys and values in a cache: of a whole prompt, and of a step, in which the new token of each
 * slot attends to the filled positions before it and itself. Not differentiable.
 *
 * B slots · S capacity in positions · T positions of a prompt · K key/value heads · G queries of each · D head size
 */
import { cast, greater, mul, reshape, tensor, tensor1d, tensor2d, type Tensor } from '../tfjs.ts';
import { floatAttribute, intAttribute } from '../runtime/binding.ts';
import { attend, attendHeads, joinHeads, splitHeads } from './attention.ts';
import { operation, runKernel } from './kernels.ts';
import { rmsNorm } from './norm.ts';
import { rotate, type Rotation } from './rotation.ts';

/** What happens to queries and keys before they meet. */
export interface HeadPlacement {
  /** QK-norm: a gain (D) for the queries and one for the keys, or null. */
  norm: { queryGain: Tensor; keyGain: Tensor; epsilon: number } | null;
  /** (B, 1, 1, T, D) each, or null; T is 1 in a step. */
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

/** The part of a cache that a prompt fills, of one slot and one attention. */
export interface PromptCache {
  heads: number;
  capacity: number;
  /** (1) int32, the first row of the slot. */
  firstRow: Tensor;
  /** Values of the variables with the keys and the values of all slots, (B·K·S, D) each. */
  keys(): Tensor;
  values(): Tensor;
  /** Writes keys and values, (1, K, T, D) each, to the first positions of the slot. */
  write(key: Tensor, value: Tensor): void;
}

const nothing = () => tensor1d([]);

const headSizes = (rows: Tensor, T: number, { heads: K, keys }: Pick<PromptCache, 'heads' | 'keys'>) => {
  const [[N, columns], D] = [rows.shape as [number, number], keys().shape[1]!];
  return { B: N / T, T, K, G: columns / (K * D) - 2, D };
};

/** Heads (B, K, …, D), normalised by the gain, if there is one, and turned. */
function placed(heads: Tensor, gain: Tensor | undefined, { norm, rotation }: HeadPlacement, T: number): Tensor {
  const rows = reshape(heads, [-1, heads.shape[3]!]);
  const normalised = gain ? reshape(rmsNorm(rows, gain, norm!.epsilon), heads.shape) : heads;
  return rotation === null ? normalised : rotate(normalised, rotation, T);
}

/**
 * Attends to each other the positions of a prompt, from 0, and puts their keys and values into the cache. The kernel
 * writes them there in one pass, without moving a head.
 *
 * @param rows (T, (G + 2)·K·D), side by side: queries, keys, values
 * @param mask (T, T) if attention `isMasked`, else null
 * @returns (T, K·G·D), heads side by side
 */
export const promptAttention = operation({
  kernel: (rows: Tensor, cache: PromptCache, placement: HeadPlacement, mask: Tensor | null): Tensor => {
    const { norm, rotation } = placement;
    if (norm !== null) return promptAttention.composed(rows, cache, placement, mask);
    const { T, K, G, D } = headSizes(rows, rows.shape[0]!, cache);
    const turn = rotation ? [rotation.cosines, rotation.signedSines] : [nothing(), nothing()];
    const projected = reshape(rows, [1, T, G + 2, K, D]);
    const noIntegers = tensor1d([], 'int32');
    const queries = [projected, nothing(), nothing(), noIntegers, ...turn, noIntegers]; // as of ClmBlockAttention
    const inputs = [...queries, cache.keys(), cache.values(), cache.firstRow];
    const [attended] = runKernel('ClmPromptAttention', inputs, [intAttribute('capacity', cache.capacity)]);
    return reshape(attended, [T, K * G * D]);
  },
  composed: (rows: Tensor, cache: PromptCache, placement: HeadPlacement, mask: Tensor | null): Tensor => {
    const T = rows.shape[0]!;
    const sizes = headSizes(rows, T, cache);
    const { query, key, value } = splitHeads(rows, sizes);
    const [queries, keys] = [
      placed(query, placement.norm?.queryGain, placement, T),
      placed(key, placement.norm?.keyGain, placement, T),
    ];
    cache.write(keys, value);
    return joinHeads(attendHeads(queries, keys, value, { starts: null, mask, rotation: null, dropout: null }), sizes);
  },
});

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
  composed: (rows: Tensor, cache: StepCache, placement: HeadPlacement): Tensor => {
    const sizes = headSizes(rows, 1, cache);
    const { B, K, D } = sizes;
    const S = cache.keys().shape[0]! / (B * K);
    const { query: projected, key, value } = splitHeads(rows, sizes);
    const query = placed(projected, placement.norm?.queryGain, placement, 1);
    const { keys, values } = cache.append(placed(key, placement.norm?.keyGain, placement, 1), value);
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
