/** Section `optimizer`: the update rule. */
import { z } from 'zod';

export const optimizer = z
  .strictObject({
    kind: z.enum(['adamw']).default('adamw').describe('Update rule.'),
    learningRate: z.number().min(0).default(1e-3).describe('Learning rate at the end of the warm-up, the highest one.'),
    betas: z
      .tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)])
      .default([0.9, 0.99])
      .describe('Decay of the running means of the gradient and of its square; each ≥ 0 and < 1.'),
    epsilon: z.number().gt(0).default(1e-8).describe('Added to the denominator of the update.'),
    weightDecay: z.number().min(0).default(0.1).describe('Decoupled weight decay, on matrices only.'),
    gradientClip: z
      .number()
      .gt(0)
      .nullable()
      .default(1)
      .describe('Largest global norm of the gradient; longer ones are scaled down to it. null = never.'),
  })
  .prefault({})
  .describe('The optimizer.');
