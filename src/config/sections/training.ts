/** Section `training`: batches, length and precision of a run. */
import { z } from 'zod';
import { countOrStages, stageList } from './stages.ts';

const count = z.int().min(1);

/** Steps of a run whose config sets none of `steps`, `tokens` and `epochs`. */
export const defaultSteps = 2000;

export const training = z
  .strictObject({
    objective: z
      .strictObject({
        kind: z
          .enum(['crossEntropy', 'dpo'])
          .default('crossEntropy')
          .describe(
            'crossEntropy: predict the next token; dpo: direct preference optimization, on sources with chosen and ' +
              'rejected (docs/preferences.md).',
          ),
        beta: z
          .number()
          .gt(0)
          .nullable()
          .default(null)
          .describe('dpo: how closely the model is kept to the reference; larger is closer. null: 0.1.'),
        labelSmoothing: z
          .number()
          .min(0)
          .lt(0.5)
          .nullable()
          .default(null)
          .describe('dpo: the share of pairs that are assumed to be the wrong way round; < 0.5. null: 0.'),
      })
      .prefault({})
      .describe('What training minimizes.'),
    microBatchSize: count
      .default(12)
      .describe('Number of token windows in a micro-batch; of preference pairs, each of two windows, with dpo.'),
    microBatchesPerStep: countOrStages
      .default(1)
      .describe(
        'Micro-batches per update, for gradient accumulation; or stages of the run, e.g. ' +
          '[{ from: 0, value: 1 }, { from: 50%, value: 4 }], where from is a step or a share of the run.',
      ),
    contextLength: stageList
      .nullable()
      .default(null)
      .describe(
        'Context length of training by stages, e.g. [{ from: 0, value: 32 }, { from: 50%, value: 64 }]: each value ' +
          'divides model.contextLength, which is the last. Longer windows are cut, so a step has the same tokens. ' +
          'null: model.contextLength.',
      ),
    branches: z
      .int()
      .min(1)
      .max(64)
      .default(2)
      .describe(
        'Parts of a micro-batch computed in parallel on a CPU, each on its share of the cores; another number ' +
          'changes the last bits of the losses. A GPU uses one.',
      ),
    steps: count
      .nullable()
      .default(null)
      .describe(
        `Length of the run in updates; set at most one of steps, tokens and epochs. ${defaultSteps} if none is set.`,
      ),
    tokens: count.nullable().default(null).describe('Length of the run in training tokens, rounded up to whole steps.'),
    epochs: z
      .number()
      .gt(0)
      .nullable()
      .default(null)
      .describe('Length of the run in passes over the training text, e.g. 0.5, rounded up to whole steps.'),
    overfitBatch: z
      .boolean()
      .default(false)
      .describe('Sanity check: train on the micro-batches of the first step only, which a working model memorises.'),
    precision: z
      .enum(['float32', 'bfloat16'])
      .default('float32')
      .describe('Number format of matrix products; parameters, optimizer state, softmax and loss stay float32.'),
    recompute: z
      .enum(['block'])
      .nullable()
      .default(null)
      .describe(
        'Activation checkpointing, less memory for more time: block recomputes the forward pass of each block in the ' +
          'backward pass instead of keeping its activations. null: keep all activations.',
      ),
    freeze: z
      .array(z.string().min(1))
      .default([])
      .describe(
        'Parameters that are not trained, as patterns of their names: * stands for any characters, {a,b} for either, ' +
          '{0..5} for a number; e.g. [embedding.*, "blocks.{0..5}.*"].',
      ),
    emaDecay: z
      .number()
      .gt(0)
      .lt(1)
      .nullable()
      .default(null)
      .describe(
        'Decay of an exponential moving average (EMA) of the weights, e.g. 0.999; evaluations, samples and ' +
          'checkpoints then use the average as the model. null: no average.',
      ),
    guard: z
      .strictObject({
        outlierDeviations: z
          .number()
          .gt(0)
          .nullable()
          .default(null)
          .describe(
            'Skip an update if its loss or gradient norm is more than this many standard deviations above its ' +
              'running mean, e.g. 6. null: skip only if one of them is not finite.',
          ),
        windowSteps: z
          .int()
          .min(10)
          .default(128)
          .describe(
            'Updates that the running mean and deviation average over; no update is an outlier before this many.',
          ),
        maxSkips: z
          .int()
          .min(0)
          .default(10)
          .describe('Maximum consecutive skipped updates; one more ends the run as diverged.'),
      })
      .prefault({})
      .describe('When to skip an update, leaving parameters and optimizer state as they were.'),
  })
  .prefault({})
  .describe('Batch size, length and precision of the run.');
