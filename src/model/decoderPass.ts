/** What every part of the decoder is handed: the parameters, and what this forward pass is about. */
import type { Tensor } from '@tensorflow/tfjs-core';
import type { Dropout } from './dropout.ts';
import type { ModelConfig } from './parameters.ts';

/** Tensors by the names of the parameter table. */
export type Parameters = Record<string, Tensor>;

/** What one forward pass is about. */
export interface DecoderPass {
  model: ModelConfig;
  /** B windows … */
  batchSize: number;
  /** … of T rows each, at most the context length. */
  positions: number;
  /** null outside training. */
  dropout: Dropout | null;
  /** Whether the blocks are computed again in the backward pass, which then needs less memory. */
  recompute?: boolean;
  /** null or absent where every row's predecessors are in the pass: in training, and wherever nothing is cached. */
  cache?: KeyValueCache | null;
}

/**
 * Makes a pass go on from earlier ones (cached decoding): it computes T new rows of each window, which see up to S
 * positions whose keys and values are kept outside.
 *
 * B windows · T new rows · S cached positions, the new ones included · K key/value heads · D head size
 */
export interface KeyValueCache {
  /** (B·T) int32: the position of each new row in its window, from 0. */
  positionIds: Tensor;
  /** (T, S) or (B, 1, 1, T, S), added to the scores: 0 where a row sees a cached position, −1e9 where not. */
  mask: Tensor;
  /**
   * Takes the new keys (normalised and rotated) and values of a block, each (B, K, T, D), and returns those of all
   * cached positions, each (B, K, S, D).
   *
   * @param path of the block's attention, as `blocks.3.attention`
   */
  extend(path: string, key: Tensor, value: Tensor): { key: Tensor; value: Tensor };
}
