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
import { cast, reshape, sub, tensor1d, type Tensor } from '../tfjs.ts';
import {
  attendHeads,
  attendRows,
  isMasked,
  joinHeads,
  maskFrom,
  splitHeads,
  type Attention,
} from '../ops/attention.ts';
import { dropoutSite } from '../ops/dropout.ts';
import { valuesOf } from '../ops/linear.ts';
import { rmsNorm } from '../ops/norm.ts';
import { mixValues } from '../ops/valueMix.ts';
import { linear, type DecoderPass, type Parameters } from './decoderPass.ts';
import type { HeadPlacement } from '../ops/cachedAttention.ts';
import type { ModelConfig } from './parameters.ts';
import { rotationOf } from './positions.ts';

/** What attention works with besides its input. */
export interface AttentionContext extends Pick<Attention, 'starts' | 'mask' | 'rotation'> {
  /** (N, K·D): what is mixed into the values; null if nothing is. */
  otherValues: Tensor | null;
}

/** What the attention of all blocks shares; computed once a pass, so that a recording holds it once. */
export function attentionContextOf(pass: DecoderPass): Omit<AttentionContext, 'otherValues'> {
  const { model, length: T } = pass;
  const starts = pass.documentPositions ? documentStarts(pass.documentPositions, T) : null;
  const rotation = rotationOf(pass);
  const isGrouped = model.heads !== model.keyValueHeads;
  const isPlain = !isGrouped && !model.queryKeyNorm && !rotation && !pass.dropout?.rate && !pass.cache;
  return { starts, mask: isMasked(isPlain, T) ? maskFrom(starts, T) : null, rotation };
}

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
  const projected = linear(parameters, `${path}.queryKeyValue`, x, pass);
  const { otherValues, ...shared } = context;
  const rows = otherValues ? mixValues(projected, otherValues, valuesOf(parameters[`${path}.valueMix`]!)) : projected;
  if (pass.cache) {
    const placement = { norm: headNormsOf(parameters, path, model), rotation: context.rotation };
    return linear(parameters, `${path}.output`, pass.cache.attendRows(path, rows, placement, context.mask), pass);
  }
  const attention = { ...shared, dropout: dropoutSite(pass.dropout, `${path}.weights`) };
  if (!model.queryKeyNorm) return linear(parameters, `${path}.output`, attendRows(rows, sizes, attention), pass);
  const { query, key, value } = splitHeads(rows, sizes);
  const normalised = (part: 'query' | 'key', heads: Tensor): Tensor =>
    headNorm(parameters, `${path}.${part}Norm`, heads, pass);
  const attended = attendHeads(normalised('query', query), normalised('key', key), value, attention);
  return linear(parameters, `${path}.output`, joinHeads(attended, sizes), pass);
}

/**
 * (B, T) int32, the first position of each row's document in its window.
 *
 * @param positions (B·T) int32, the place of each row in its document
 */
const documentStarts = (positions: Tensor, T: number): Tensor =>
  cast(
    sub(
      tensor1d(
        Int32Array.from({ length: T }, (_, t) => t),
        'int32',
      ),
      reshape(positions, [-1, T]),
    ),
    'int32',
  );

/** The gains of QK-norm. */
const headNormsOf = (parameters: Parameters, path: string, model: ModelConfig): HeadPlacement['norm'] =>
  model.queryKeyNorm
    ? {
        queryGain: valuesOf(parameters[`${path}.queryNorm.gain`]!),
        keyGain: valuesOf(parameters[`${path}.keyNorm.gain`]!),
        epsilon: model.normEpsilon,
      }
    : null;

/** QK-norm: RMSNorm of each head's vectors, one gain (D) for all heads. */
function headNorm(parameters: Parameters, path: string, x: Tensor, { model }: DecoderPass): Tensor {
  const rows = reshape(x, [-1, model.headSize]);
  return reshape(rmsNorm(rows, valuesOf(parameters[`${path}.gain`]!), model.normEpsilon), x.shape);
}
