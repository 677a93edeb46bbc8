/** Section `training`: batches, length and precision of a run. */
import { z } from 'zod';
import { count } from './numbers.ts';

/** Steps of a run whose config gives neither `steps`, `tokens` nor `epochs`. */
export const defaultSteps = 2000;

export const training = z
  .strictObject({
    microBatchSize: count.default(12).describe('Token windows in one micro-batch.'),
    microBatchesPerStep: count.default(1).describe('Micro-batches whose gradients are added up for one update.'),
    branches: z
      .int()
      .min(1)
      .max(64)
      .default(2)
      .describe(
        'Parts of a micro-batch that are computed side by side on a CPU, each with its share of the cores; part of what ' +
          'makes losses repeatable to the bit. A GPU takes one.',
      ),
    steps: count
      .nullable()
      .default(null)
      .describe(
        `Length of the run in updates. Give one of steps, tokens, epochs; without any it is ${defaultSteps} steps.`,
      ),
    tokens: count.nullable().default(null).describe('Length of the run in training tokens, rounded up to whole steps.'),
    epochs: z
      .number()
      .gt(0)
      .nullable()
      .default(null)
      .describe('Length of the run in passes over the training text, rounded up to whole steps; 0.5 is half a pass.'),
    precision: z
      .enum(['float32', 'bfloat16'])
      .default('float32')
      .describe('Number format of the matrix products; parameters, optimizer, softmax and loss stay float32.'),
  })
  .prefault({})
  .describe('Batches, length and precision of the run.');
