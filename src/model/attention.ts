/**
 * Causal self-attention (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762): the only part of the decoder in which
 * positions see each other. Each sees only itself and those before it, so the logits at position t are a model of
 * p(x_t+1 | x_≤t).
 *
 * Grouped-query attention (Ainslie et al. 2023, https://arxiv.org/abs/2305.13245) is the general case: K heads of keys
 * and values, each shared by G = H/K heads of queries, whose rows are stacked so that no key is ever copied.
 * With K = H it is multi-head attention.
 *
 * B micro-batch size · T positions · C width · H heads · K key/value heads · G queries of each · D head size
 * N = B·T rows
 */
import { add, cast, less, mul, reshape, sub, tensor, type Tensor } from '@tensorflow/tfjs-core';
import { attend, attendRows, joinHeads, splitHeads } from '../ops/attention.ts';
import { valuesOf } from '../ops/linear.ts';
import { rmsNorm } from '../ops/norm.ts';
import { rotate, type Rotation } from '../ops/rotation.ts';
import { linear, type DecoderPass, type Parameters } from './decoderPass.ts';
import { dropoutMask } from '../ops/dropout.ts';
import { rotationOf } from './positions.ts';

/** What the attention of all blocks shares; computed once a pass, so that a recording holds it once. */
export interface AttentionContext {
  /** (T, T) or (B, 1, 1, T, T), added to the scores: 0 for a key that is seen, −1e9 for one that is not. */
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
  const rows = linear(parameters, `${path}.queryKeyValue`, x, pass);
  // Whether attention reads the projected rows as they are.
  const isPlain = sizes.G === 1 && !model.queryKeyNorm && !context.rotation && !pass.dropout?.rate && !pass.cache;
  if (isPlain) return linear(parameters, `${path}.output`, attendRows(rows, context.mask, sizes), pass);
  const projected = splitHeads(rows, sizes);
  const positioned = (part: 'query' | 'key'): Tensor => {
    const normalised = model.queryKeyNorm
      ? headNorm(parameters, `${path}.${part}Norm`, projected[part], pass)
      : projected[part];
    return context.rotation === null ? normalised : rotate(normalised, context.rotation, T);
  };
  const query = positioned('query');
  const key = positioned('key');
  const dropped = dropoutMask(pass.dropout, `${path}.weights`, [B, K, sizes.G * T, T]);
  const attended = pass.cache
    ? pass.cache.attend(path, query, key, projected.value, context.mask)
    : attend(query, key, projected.value, context.mask, dropped);
  return linear(parameters, `${path}.output`, joinHeads(attended, sizes), pass);
}

/** Additive mask (T, T): 0 if key ≤ query, −1e9 if the key is in the future. */
export function causalMask(T: number): Tensor {
  const mask = new Float32Array(T * T);
  for (let query = 0; query < T; query++) mask.fill(-1e9, query * T + query + 1, (query + 1) * T);
  return tensor(mask, [T, T]);
}

/**
 * Additive mask (B, 1, 1, T, T) of windows that hold several documents: 0 if the key is in the query's document and not
 * in its future, else −1e9. It is block-diagonal: query t sees the keys t − position … t.
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

/** QK-norm: RMSNorm of each head's vectors, one gain (D) for all heads. */
function headNorm(parameters: Parameters, path: string, x: Tensor, { model }: DecoderPass): Tensor {
  const rows = reshape(x, [-1, model.headSize]);
  return reshape(rmsNorm(rows, valuesOf(parameters[`${path}.gain`]!), model.normEpsilon), x.shape);
}
