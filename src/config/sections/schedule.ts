/** Section `schedule`: the learning rate over the run. */
import { z } from 'zod';

export const schedule = z
  .strictObject({
    kind: z.enum(['cosine']).default('cosine').describe('Linear warm-up, then half a cosine to finalLearningRate.'),
    warmupSteps: z.int().min(0).default(100).describe('Steps over which the learning rate rises from 0.'),
    finalLearningRate: z
      .number()
      .min(0)
      .default(1e-4)
      .describe('Learning rate at the end of the run; at most optimizer.learningRate.'),
  })
  .prefault({})
  .describe('The learning rate over the run.');
