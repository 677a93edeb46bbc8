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
    overfitBatch: z
      .boolean()
      .default(false)
      .describe('Trains on the micro-batches of the first step over and over: a working model learns them by heart.'),
    precision: z
      .enum(['float32', 'bfloat16'])
      .default('float32')
      .describe('Number format of the matrix products; parameters, optimizer, softmax and loss stay float32.'),
    recompute: z
      .enum(['block'])
      .nullable()
      .default(null)
      .describe(
        'Memory for time: block computes the forward pass of each block again in the backward pass instead of keeping ' +
          'its activations; null keeps them.',
      ),
    emaDecay: z
      .number()
      .gt(0)
      .lt(1)
      .nullable()
      .default(null)
      .describe(
        'Decay of a running mean of the weights, which is then what evaluations, samples and checkpoints hold as the ' +
          'model, as 0.999; null = the weights themselves.',
      ),
    guard: z
      .strictObject({
        outlierDeviations: z
          .number()
          .gt(0)
          .nullable()
          .default(null)
          .describe(
            'Skip an update whose loss or gradient norm lies more than so many standard deviations above its running ' +
              'mean, as 6; null = only what is no finite number is skipped.',
          ),
        windowSteps: z
          .int()
          .min(10)
          .default(128)
          .describe('Updates that the running mean and deviation reach back over; none is an outlier before as many.'),
        maxSkips: z
          .int()
          .min(0)
          .default(10)
          .describe('Skipped updates in a row that are put up with; one more ends the run as diverged.'),
      })
      .prefault({})
      .describe('Updates that are skipped: parameters and optimizer stay as they were.'),
  })
  .prefault({})
  .describe('Batches, length and precision of the run.');
