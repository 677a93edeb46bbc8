/** What every part of the decoder is handed: the parameters, and what this forward pass is about. */
import type { Tensor } from '@tensorflow/tfjs-core';
import type { Dropout } from './dropout.ts';
import type { ModelConfig } from './parameters.ts';

/** Tensors by the names of the parameter table. */
export type Parameters = Record<string, Tensor>;

/** What one forward pass is about. */
export interface DecoderPass {
  model: ModelConfig;
  batchSize: number;
  /** Positions of each row, at most the context length. */
  positions: number;
  /** null outside training. */
  dropout: Dropout | null;
}
