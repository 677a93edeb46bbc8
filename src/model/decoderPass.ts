/** What every part of the decoder is given: the parameters, and what this forward pass is about. */
import type { Tensor } from '../tfjs.ts';
import type { HeadPlacement } from '../ops/cachedAttention.ts';
import { dropoutMask, dropoutSite, type Dropout } from '../ops/dropout.ts';
import { linearProduct, valuesOf, type Weight } from '../ops/linear.ts';
import { adaptedProduct } from '../ops/lowRank.ts';
import type { StoredWeight, Variables } from '../runtime/variables.ts';
import { adapterNames, mapsOf, type AdapterPass } from './adapter.ts';
import type { ModelConfig, ParameterSpec } from './parameters.ts';

/** Weights by the names of the parameter table: tensors if gradients are taken, else in any type they are stored in. */
export type Parameters<W extends Weight = Weight> = Readonly<Record<string, W>>;

/** The weights of a table as they are stored, without gradients. */
export const storedParameters = (
  table: readonly ParameterSpec[],
  variables: Pick<Variables, 'weight'>,
): Record<string, StoredWeight> => Object.fromEntries(table.map(({ name }) => [name, variables.weight(name)]));

/** What one forward pass is about. */
export interface DecoderPass {
  model: ModelConfig;
  /** B windows … */
  batchSize: number;
  /** … of T rows each, at most the context length. */
  length: number;
  /**
   * (B·T) int32: the place of each row in its piece of a document, from 0, if a window holds several pieces that must
   * not see each other; null or absent if it holds one text.
   */
  documentPositions?: Tensor | null;
  /** null outside training. */
  dropout: Dropout | null;
  /** How the matrices of an adapter among the parameters take part; null or absent if there are none. */
  adapter?: AdapterPass | null;
  /** Whether the blocks are computed again in the backward pass, which then needs less memory. */
  recompute?: boolean;
  /** null or absent if every row's predecessors are in the pass: in training, and wherever nothing is cached. */
  cache?: KeyValueCache | null;
}

/**
 * Lets a pass continue earlier ones (cached decoding): it computes T new rows of each window, which see positions whose
 * keys and values are kept outside.
 *
 * B windows · T new rows · K key/value heads · G queries of each · D head size
 */
export interface KeyValueCache {
  /** (B·T) int32: the position of each new row in its window, from 0. */
  positionIds: Tensor;
  /**
   * Keeps the new keys and values of a block and lets its queries attend to all that are kept.
   *
   * @param path of the block's attention, e.g. `blocks.3.attention`
   * @param rows (B·T, (G + 2)·K·D), as projected: queries, keys, values
   * @param mask of the new rows, (T, T), if attention `isMasked`; else null
   * @returns (B·T, K·G·D)
   */
  attendRows(path: string, rows: Tensor, placement: HeadPlacement, mask: Tensor | null): Tensor;
}

/**
 * A linear operation with what an adapter adds to it: x (N, inputs) → (N, outputs). Rows are flattened to two
 * dimensions throughout the decoder because tfjs's gradient of a batched product does not sum over a broadcast batch.
 */
export function linear(
  parameters: Parameters,
  path: string,
  x: Tensor,
  { model, adapter }: Pick<DecoderPass, 'model' | 'adapter'>,
): Tensor {
  const weight = parameters[`${path}.weight`]!;
  const bias = parameters[`${path}.bias`];
  const values = bias ? valuesOf(bias) : null;
  if (!adapter) return linearProduct(x, weight, values);
  const maps = mapsOf(path, weight.shape[1]!, model).flatMap(({ path: own, start }) => {
    const names = adapterNames(own);
    const [a, b] = [parameters[names.a], parameters[names.b]];
    const dropped = dropoutSite(adapter.dropout, names.a);
    return a && b ? [{ a, b, start, mask: dropped && dropoutMask(dropped, x.shape) }] : [];
  });
  return adaptedProduct(x, weight, values, maps, adapter.scaling);
}
