/** Section `model`: the decoder. */
import { z } from 'zod';
import { count } from './numbers.ts';

export const model = z
  .strictObject({
    family: z.enum(['gpt2']).default('gpt2').describe('Architecture of the decoder.'),
    layers: count.max(10_000).default(4).describe('Blocks, each attention and feed-forward.'),
    heads: count.max(10_000).default(4).describe('Attention heads of a block; divides width.'),
    width: count.default(128).describe('Size of the vector of a position (embedding size).'),
    contextLength: count.default(64).describe('Positions of a window; how many tokens a prediction can look back on.'),
    dropout: z.number().min(0).lt(1).default(0).describe('Probability of dropping an activation in training.'),
    biases: z.boolean().default(false).describe('Biases in the linear and normalisation layers.'),
  })
  .prefault({})
  .describe('The decoder.');
