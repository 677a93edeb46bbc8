/**
 * Causal self-attention (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762): the only part of the
 * decoder where positions see each other, and each sees only itself and those before it, which is what
 * makes the logits at position t a model of p(x_t+1 | x_≤t).
 *
 * Grouped-query attention (Ainslie et al. 2023, https://arxiv.org/abs/2305.13245) is the general case: K heads of keys
 * and values, each shared by G = H/K heads of queries, whose rows are stacked so that no key is ever copied.
 * With K = H it is multi-head attention.
 *
 * B micro-batch size · T positions · S positions that can be seen, T where none are cached · C width
 * H heads · K key/value heads · G queries of each · D head size · N = B·T rows
 */
import {
  add,
  cast,
  customGrad,
  less,
  matMul,
  mul,
  reshape,
  softmax,
  split,
  sub,
  sum,
  tensor,
  transpose,
  unstack,
} from '@tensorflow/tfjs-core';
import type { Tensor } from '@tensorflow/tfjs-core';
import type { DecoderPass, Parameters } from './decoderPass.ts';
import { dropoutMask } from './dropout.ts';
import { linear } from './linear.ts';
import { rmsNorm } from './norms.ts';
import { rotate, rotationOf, type Rotation } from './positions.ts';
import {
  fusedAttentionWeights,
  fusedAttentionWeightsGradient,
  fusedHeadsAttention,
  fusedHeadsAttentionGradient,
  hasFusedOperations,
} from '../ops/fusedOperations.ts';
import { hasTileProducts } from '../runtime/tileProducts.ts';

/** What the attention of all blocks shares; made once a pass, so that a recording holds it once. */
export interface AttentionContext {
  /** (T, T) or (B, 1, 1, T, T), added to the scores: 0 where a key is seen, −1e9 where not. */
  mask: Tensor;
  rotation: Rotation | null;
}

export const attentionContextOf = (pass: DecoderPass): AttentionContext => ({
  mask: pass.documentPositions ? documentMask(pass.documentPositions, pass.length) : causalMask(pass.length),
  rotation: rotationOf(pass),
});

/** x (N, C) → (N, C). */
export function selfAttention(
  parameters: Parameters,
  path: string,
  x: Tensor,
  pass: DecoderPass,
  context: AttentionContext,
): Tensor {
  const { batchSize: B, length: T, model } = pass;
  const { heads: H, keyValueHeads: K, headSize: D } = model;
  const sizes = { B, T, K, G: H / K, D };
  const rows = linear(parameters, `${path}.queryKeyValue`, x);
  const isPlain =
    sizes.G === 1 && !model.queryKeyNorm && context.rotation === null && !pass.dropout?.rate && !pass.cache;
  if (isPlain && hasTileProducts()) return linear(parameters, `${path}.output`, attendRows(rows, context.mask, sizes));
  const projected = splitHeads(rows, sizes);
  const place = (part: 'query' | 'key'): Tensor => {
    const normalised = model.queryKeyNorm
      ? headNorm(parameters, `${path}.${part}Norm`, projected[part], pass)
      : projected[part];
    return context.rotation === null ? normalised : rotate(normalised, context.rotation, T);
  };
  const query = place('query');
  const key = place('key');
  const dropped = dropoutMask(pass.dropout, `${path}.weights`, [B, K, sizes.G * T, T]);
  const attended = pass.cache
    ? pass.cache.attend(path, query, key, projected.value, context.mask)
    : attend(query, key, projected.value, context.mask, dropped);
  return linear(parameters, `${path}.output`, joinHeads(attended, sizes));
}

/** Additive mask (T, T): 0 where key ≤ query, −1e9 where the key lies in the future. */
export function causalMask(T: number): Tensor {
  const mask = new Float32Array(T * T);
  for (let query = 0; query < T; query++) mask.fill(-1e9, query * T + query + 1, (query + 1) * T);
  return tensor(mask, [T, T]);
}

/**
 * Additive mask (B, 1, 1, T, T) of windows that hold several documents: 0 where the key stands in the query's document
 * and not in its future, −1e9 elsewhere. It is block-diagonal: query t sees the keys t − position … t.
 *
 * @param positions (B·T) int32, the place of each row in its document
 */
function documentMask(positions: Tensor, T: number): Tensor {
  const places = tensor(
    Float32Array.from({ length: T }, (_, t) => t),
    [T],
  );
  const starts = sub(places, reshape(cast(positions, 'float32'), [-1, T])); // (B, T), of each query's document
  const isBefore = cast(less(reshape(places, [1, 1, 1, 1, T]), reshape(starts, [-1, 1, 1, T, 1])), 'float32');
  return add(mul(isBefore, -1e9), causalMask(T)); // no key is both before the document and after the query
}

/**
 * Per head softmax(query·keyᵀ/√D + mask)·value.
 *
 * @param query (B, K, G·T, D), the queries of a key head stacked
 * @param key (B, K, S, D)
 * @param value (B, K, S, D)
 * @param mask (T, S) or (B, 1, 1, T, S), added to the scores
 * @param dropped (B, K, G·T, S), multiplied into the weights, or null
 * @returns (B, K, G·T, D)
 */
export function attend(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  mask: Tensor,
  dropped: Tensor | null,
  { forward, backward }: AttentionWeights = hasFusedOperations() ? weightsInOne : composedWeights,
): Tensor {
  const scale = 1 / Math.sqrt(query.shape[3]!);
  const attention = customGrad((...args) => {
    const [q, k, v, save] = args as unknown as [Tensor, Tensor, Tensor, (tensors: Tensor[]) => void];
    const weights = forward(matMul(q, k, false, true), mask, scale);
    const kept = dropped === null ? weights : mul(weights, dropped);
    // What the gradient needs must be saved: tfjs disposes of the forward pass's other tensors before it.
    save([q, k, v, weights, kept, mask, ...(dropped === null ? [] : [dropped])]);
    const gradFunc = (dOutput: Tensor, saved: Tensor[]): Tensor[] => {
      const [qs, ks, vs, p, pKept, seen, factor] = saved as [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor?];
      const dKept = matMul(dOutput, vs, false, true);
      const dScores = backward(p, factor === undefined ? dKept : mul(dKept, factor), seen, scale);
      const dq = matMul(dScores, ks);
      const dk = matMul(dScores, qs, true, false); // sums over the queries that share the key
      const dv = matMul(pKept, dOutput, true, false);
      return [dq, dk, dv];
    };
    return { value: matMul(kept, v), gradFunc };
  });
  return attention(query, key, value);
}

/**
 * The same where queries, keys and values come as their projection gave them, of as many heads each: no head is moved.
 *
 * @param rows (N, 3·K·D), side by side: queries, keys, values @param mask (T, T) or (B, 1, 1, T, T), added to the
 *   scores
 * @returns (N, K·D)
 */
export function attendRows(rows: Tensor, mask: Tensor, { B, T, K, D }: Omit<Sizes, 'G'>): Tensor {
  const attention = customGrad((...args) => {
    const [projected, save] = args as unknown as [Tensor, (tensors: Tensor[]) => void];
    const [value, weights] = fusedHeadsAttention(projected, mask) as [Tensor, Tensor];
    save([projected, weights, mask]);
    const gradFunc = (dy: Tensor, saved: Tensor[]): Tensor[] => {
      const [x, p, seen] = saved as [Tensor, Tensor, Tensor];
      return [fusedHeadsAttentionGradient(x, p, dy, seen)];
    };
    return { value, gradFunc };
  });
  return reshape(attention(reshape(rows, [B, T, 3, K, D])), [B * T, K * D]);
}

/** softmax(scale·scores + mask) of scores (B, K, G·T, S), and the gradient by them from the weights and theirs. */
interface AttentionWeights {
  forward(scores: Tensor, mask: Tensor, scale: number): Tensor;
  backward(weights: Tensor, dWeights: Tensor, mask: Tensor, scale: number): Tensor;
}

const weightsInOne: AttentionWeights = { forward: fusedAttentionWeights, backward: fusedAttentionWeightsGradient };

/** The same from TensorFlow's operations. */
export const composedWeights: AttentionWeights = {
  forward(scores, mask, scale) {
    const [B, K, rows, S] = scores.shape as [number, number, number, number];
    const T = mask.shape.at(-2)!;
    return reshape(softmax(add(mul(reshape(scores, [B, K, rows / T, T, S]), scale), mask)), scores.shape);
  },
  backward: (weights, dWeights, _mask, scale) =>
    mul(mul(weights, scale), sub(dWeights, sum(mul(dWeights, weights), -1, true))),
};

interface Sizes {
  B: number;
  T: number;
  K: number;
  G: number;
  D: number;
}

/** (N, (H + 2K)·D), side by side: queries, keys, values → query (B, K, G·T, D), key and value (B, K, T, D). */
export function splitHeads(x: Tensor, { B, T, K, G, D }: Sizes): Record<'query' | 'key' | 'value', Tensor> {
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

/** The way back: (B, K, G·T, D) → (N, H·D), heads side by side. */
export const joinHeads = (x: Tensor, { B, T, K, G, D }: Sizes): Tensor =>
  G === 1
    ? reshape(transpose(x, [0, 2, 1, 3]), [B * T, K * D])
    : reshape(transpose(reshape(x, [B, K, G, T, D]), [0, 3, 1, 2, 4]), [B * T, K * G * D]);

/** QK-norm: RMSNorm of each head's vectors, one gain (D) for all heads. */
function headNorm(parameters: Parameters, path: string, x: Tensor, { model }: DecoderPass): Tensor {
  const rows = reshape(x, [-1, model.headSize]);
  return reshape(rmsNorm(rows, parameters[`${path}.gain`]!, model.normEpsilon), x.shape);
}
