/**
 * Attention of heads: softmax(query·keyᵀ/√D + mask)·value, with a gradient of its own.
 *
 * B micro-batch size · T positions · S positions that can be seen · K key/value heads · G queries of each (1 without
 * grouping) · D head size · N = B·T rows
 */
import { add, cast, less, matMul, mul, reshape, softmax, split, sub, sum } from '../tfjs.ts';
import { tensor, tensor1d, transpose, unstack } from '../tfjs.ts';
import type { Tensor } from '../tfjs.ts';
import { mostTilePositions } from '../processor.ts';
import { floatAttribute } from '../runtime/binding.ts';
import { dropoutMask, type DropoutSite } from './dropout.ts';
import { operation, pick, runKernel } from './kernels.ts';
import { rotate, type Rotation } from './rotation.ts';
import { withGradient } from './withGradient.ts';

export interface HeadSizes {
  B: number;
  T: number;
  K: number;
  G: number;
  D: number;
}

/** What self-attention does besides its products. */
export interface Attention {
  /** (B, T) int32, the first key that each query sees, e.g. the first of its document; null: 0. The last is its own. */
  starts: Tensor | null;
  /** The same as a mask, see `attend`, if it `isMasked`; else null. */
  mask: Tensor | null;
  /** By which queries and keys are turned. */
  rotation: Rotation | null;
  /** Of the weights. */
  dropout: DropoutSite | null;
}

/**
 * Per head softmax(query·keyᵀ/√D + mask)·value, from TensorFlow's operations. It writes all scores down.
 *
 * @param query (B, K, G·T, D), the queries of a key head stacked
 * @param key (B, K, S, D)
 * @param value (B, K, S, D)
 * @param mask (T, S) or (B, 1, 1, T, S), added to the scores: 0 or −1e9
 * @param dropped (B, K, G·T, S), multiplied into the weights, or null
 * @returns (B, K, G·T, D)
 */
export function attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, dropped: Tensor | null): Tensor {
  const scale = 1 / Math.sqrt(query.shape[3]!);
  return withGradient(
    [query, key, value],
    () => {
      const scores = matMul(query, key, false, true);
      const [B, K, rows, S] = scores.shape as [number, number, number, number];
      const T = mask.shape.at(-2)!;
      const masked = add(mul(reshape(scores, [B, K, rows / T, T, S]), scale), mask);
      const weights = reshape(softmax(masked), scores.shape);
      const kept = dropped === null ? weights : mul(weights, dropped);
      const saved = [query, key, value, weights, kept, ...(dropped === null ? [] : [dropped])] as const;
      return { value: matMul(kept, value), saved };
    },
    (dOutput, [q, k, v, weights, kept, factor]) => {
      const dKept = matMul(dOutput, v, false, true);
      const dWeights = factor === undefined ? dKept : mul(dKept, factor);
      const dScores = mul(mul(weights, scale), sub(dWeights, sum(mul(dWeights, weights), -1, true)));
      const dq = matMul(dScores, k);
      const dk = matMul(dScores, q, true, false); // sums over the queries that share the key
      const dv = matMul(kept, dOutput, true, false);
      return [dq, dk, dv];
    },
  );
}

/**
 * Causal self-attention of heads one after the other: query (B, K, G·T, D), key and value (B, K, T, D) → as
 * query. The kernel keeps the logarithm of each query's sum, and computes the scores again for the gradient.
 */
export const attendHeads = operation({
  kernel: (query: Tensor, key: Tensor, value: Tensor, attention: Attention): Tensor =>
    inBlocks([query, key, value], attention),
  composed: (query: Tensor, key: Tensor, value: Tensor, { mask, rotation, dropout }: Attention): Tensor => {
    const T = key.shape[2]!;
    const turned = (x: Tensor): Tensor => (rotation === null ? x : rotate(x, rotation, T));
    const dropped = dropout && dropoutMask(dropout, [...query.shape.slice(0, 3), T]);
    return attend(turned(query), turned(key), value, mask!, dropped);
  },
});

/**
 * Causal self-attention of heads that lie side by side, as their projection gave them: no head is moved.
 *
 * @param rows (N, (G + 2)·K·D), side by side: queries, keys, values
 * @returns (N, K·G·D)
 */
export const attendRows = operation({
  kernel: (rows: Tensor, { B, T, K, G, D }: HeadSizes, attention: Attention): Tensor => {
    const projected = reshape(rows, [B, T, G + 2, K, D]);
    const attended = attention.mask === null ? inBlocks([projected], attention) : onTiles(projected, attention.mask);
    return reshape(attended, [B * T, K * G * D]);
  },
  composed: (rows: Tensor, sizes: HeadSizes, attention: Attention): Tensor => {
    const { query, key, value } = splitHeads(rows, sizes);
    return joinHeads(attendHeads.composed(query, key, value, attention), sizes);
  },
});

/** `parts`: a projection (B, T, G + 2, K, D), or query, key and value (B, K, …, D). */
function inBlocks(parts: Tensor[], { starts, rotation, dropout }: Attention): Tensor {
  const [floats, integers] = [tensor1d([], 'float32'), tensor1d([], 'int32')]; // for what is absent
  const given = [
    ...[...parts, floats, floats].slice(0, 3),
    starts ?? integers,
    ...(rotation ? [rotation.cosines, rotation.signedSines] : [floats, floats]),
    dropout?.seed ?? integers,
  ];
  const rate = [floatAttribute('rate', dropout?.rate ?? 0)];
  return withGradient(
    parts,
    () => {
      const [value, logSums] = runKernel('ClmBlockAttention', given, rate);
      return { value, saved: [...given, value, logSums] };
    },
    (dy, saved) => runKernel('ClmBlockAttentionGrad', [...saved, dy], rate).slice(0, parts.length),
  );
}

/** Ungrouped heads on the tile unit, which writes all weights down: (B, T, 3, K, D) → (B, T, K, D). */
const onTiles = (projected: Tensor, mask: Tensor): Tensor =>
  withGradient(
    [projected],
    () => {
      const [value, weights] = runKernel('ClmHeadsAttention', [projected, mask]); // (B, T, K, D), (B, K, T, T)
      return { value, saved: [projected, weights, mask] };
    },
    (dy, [x, weights, seen]) => runKernel('ClmHeadsAttentionGrad', [x, weights, dy, seen]),
  );

/**
 * Whether attention reads a mask. @param isPlain heads that are neither grouped, turned, normalised, dropped nor cached
 */
export const isMasked = (isPlain: boolean, T: number): boolean =>
  pick({ kernel: false, composed: true }) ||
  (isPlain && T <= mostTilePositions && pick({ kernel: true, composed: false }, 'tiles'));

/** Additive mask (T, T): 0 if key ≤ query, −1e9 if the key is in the future. */
export function causalMask(T: number): Tensor {
  const mask = new Float32Array(T * T);
  for (let query = 0; query < T; query++) mask.fill(-1e9, query * T + query + 1, (query + 1) * T);
  return tensor(mask, [T, T]);
}

/** Additive mask (B, 1, 1, T, T) that hides keys before these starts (B, T) too; (T, T) if they are null. */
export function maskFrom(starts: Tensor | null, T: number): Tensor {
  if (starts === null) return causalMask(T);
  const places = tensor1d(Float32Array.from({ length: T }, (_, t) => t));
  const isBefore = less(reshape(places, [1, 1, 1, 1, T]), reshape(cast(starts, 'float32'), [-1, 1, 1, T, 1]));
  return add(mul(cast(isBefore, 'float32'), -1e9), causalMask(T)); // no key is both before the start and in the future
}

/** (N, (G + 2)·K·D), side by side: queries, keys, values → query (B, K, G·T, D), key and value (B, K, T, D). */
export function splitHeads(x: Tensor, { B, T, K, G, D }: HeadSizes): Record<'query' | 'key' | 'value', Tensor> {
  if (G === 1) {
    // One transpose for the three, and parting them along the first axis copies nothing.
    const [query, key, value] = unstack(transpose(reshape(x, [B, T, 3, K, D]), [2, 0, 3, 1, 4]));
    return { query: query!, key: key!, value: value! };
  }
  const [queries, keys, values] = split(x, [K * G * D, K * D, K * D], 1);
  const headsFirst = (part: Tensor): Tensor => transpose(reshape(part, [B, T, K, D]), [0, 2, 1, 3]);
  const query = reshape(transpose(reshape(queries!, [B, T, K, G, D]), [0, 2, 3, 1, 4]), [B, K, G * T, D]);
  return { query, key: headsFirst(keys!), value: headsFirst(values!) };
}

/** The inverse for queries: (B, K, G·T, D) → (N, K·G·D), heads side by side. */
export const joinHeads = (x: Tensor, { B, T, K, G, D }: HeadSizes): Tensor =>
  G === 1
    ? reshape(transpose(x, [0, 2, 1, 3]), [B * T, K * D])
    : reshape(transpose(reshape(x, [B, K, G, T, D]), [0, 3, 1, 2, 4]), [B * T, K * G * D]);
