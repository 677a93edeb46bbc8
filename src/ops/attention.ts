/**
 * Attention of heads: softmax(query·keyᵀ/√D + mask)·value, with a gradient of its own.
 *
 * B micro-batch size · T positions · S positions that can be seen · K key/value heads · G queries of each (1 without
 * grouping) · D head size · N = B·T rows
 */
import { add, matMul, mul, reshape, softmax, split, sub, sum, transpose, unstack } from '@tensorflow/tfjs-core';
import type { Tensor } from '@tensorflow/tfjs-core';
import { floatAttribute } from '../runtime/binding.ts';
import { operation, pick, runKernel, type Forms } from './kernels.ts';
import { withGradient } from './withGradient.ts';

export interface HeadSizes {
  B: number;
  T: number;
  K: number;
  G: number;
  D: number;
}

/** Attention weights softmax(scale·scores + mask) of scores (B, K, G·T, S), and the gradient by the scores. */
interface AttentionWeights {
  forward(scores: Tensor, mask: Tensor, scale: number): Tensor;
  backward(weights: Tensor, dWeights: Tensor, mask: Tensor, scale: number): Tensor;
}

export const attentionWeights: Forms<AttentionWeights> = {
  // Keys that are hidden at either end of a row are not even read.
  kernel: {
    forward: (scores, mask, scale) =>
      runKernel('ClmAttentionWeights', [scores, mask], [floatAttribute('scale', scale)])[0],
    backward: (weights, dWeights, mask, scale) =>
      runKernel('ClmAttentionWeightsGrad', [weights, dWeights, mask], [floatAttribute('scale', scale)])[0],
  },
  composed: {
    forward: (scores, mask, scale) => {
      const [B, K, rows, S] = scores.shape as [number, number, number, number];
      const T = mask.shape.at(-2)!;
      return reshape(softmax(add(mul(reshape(scores, [B, K, rows / T, T, S]), scale), mask)), scores.shape);
    },
    backward: (weights, dWeights, _mask, scale) =>
      mul(mul(weights, scale), sub(dWeights, sum(mul(dWeights, weights), -1, true))),
  },
};

/**
 * Per head softmax(query·keyᵀ/√D + mask)·value.
 *
 * @param query (B, K, G·T, D), the queries of a key head stacked
 * @param key (B, K, S, D)
 * @param value (B, K, S, D)
 * @param mask (T, S) or (B, 1, 1, T, S), added to the scores: 0 or −1e9
 * @param dropped (B, K, G·T, S), multiplied into the weights, or null
 * @returns (B, K, G·T, D)
 */
export function attend(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  mask: Tensor,
  dropped: Tensor | null,
  { forward, backward }: AttentionWeights = pick(attentionWeights),
): Tensor {
  const scale = 1 / Math.sqrt(query.shape[3]!);
  return withGradient(
    [query, key, value],
    () => {
      const weights = forward(matMul(query, key, false, true), mask, scale);
      const kept = dropped === null ? weights : mul(weights, dropped);
      const saved = [query, key, value, weights, kept, mask, ...(dropped === null ? [] : [dropped])] as const;
      return { value: matMul(kept, value), saved };
    },
    (dOutput, [q, k, v, weights, kept, seen, factor]) => {
      const dKept = matMul(dOutput, v, false, true);
      const dScores = backward(weights, factor === undefined ? dKept : mul(dKept, factor), seen, scale);
      const dq = matMul(dScores, k);
      const dk = matMul(dScores, q, true, false); // sums over the queries that share the key
      const dv = matMul(kept, dOutput, true, false);
      return [dq, dk, dv];
    },
  );
}

/**
 * `attend` of ungrouped heads (G = 1) that lie side by side, as their projection gave them. On tiles no head is moved.
 *
 * @param rows (N, 3·K·D), side by side: queries, keys, values @param mask (T, T) or (B, 1, 1, T, T), as for `attend`
 * @returns (N, K·D)
 */
export const attendRows = operation(
  {
    kernel: (rows: Tensor, mask: Tensor, { B, T, K, D }: HeadSizes): Tensor => {
      const projected = reshape(rows, [B, T, 3, K, D]);
      const attended = withGradient(
        [projected],
        () => {
          const [value, weights] = runKernel('ClmHeadsAttention', [projected, mask]); // (B, T, K, D), (B, K, T, T)
          return { value, saved: [projected, weights, mask] };
        },
        (dy, [x, weights, seen]) => runKernel('ClmHeadsAttentionGrad', [x, weights, dy, seen]),
      );
      return reshape(attended, [B * T, K * D]);
    },
    composed: (rows: Tensor, mask: Tensor, sizes: HeadSizes): Tensor => {
      const { query, key, value } = splitHeads(rows, sizes);
      return joinHeads(attend(query, key, value, mask, null), sizes);
    },
  },
  'tiles',
);

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
