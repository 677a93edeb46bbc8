/** Section `schedule`: the learning rate over the run. */
import { z } from 'zod';
import { count } from './numbers.ts';

export const schedule = z
  .strictObject({
    kind: z
      .enum(['cosine', 'linear', 'constant', 'warmup-stable-decay', 'inverse-square-root'])
      .default('cosine')
      .describe('Course of the learning rate after the warm-up.'),
    warmupSteps: z.int().min(0).default(100).describe('Steps over which the learning rate rises from 0.'),
    finalLearningRate: z
      .number()
      .min(0)
      .nullable()
      .default(null)
      .describe(
        'Learning rate at the end of the run, at most optimizer.learningRate; null = a tenth of it. ' +
          'For cosine, linear and warmup-stable-decay.',
      ),
    decaySteps: count
      .nullable()
      .default(null)
      .describe('Steps at the end of the run over which warmup-stable-decay falls; null = a fifth of the run.'),
  })
  .prefault({})
  .describe('The learning rate over the run.');
