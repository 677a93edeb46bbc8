/** Section `optimizer`: the update rule. */
import { z } from 'zod';

export const optimizer = z
  .strictObject({
    kind: z
      .enum(['adamw', 'muon'])
      .default('adamw')
      .describe('Update rule: adamw, or muon for the matrices inside the blocks and adamw for everything else.'),
    learningRate: z.number().min(0).default(1e-3).describe('Learning rate at the end of the warm-up, the highest one.'),
    betas: z
      .tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)])
      .default([0.9, 0.99])
      .describe('AdamW: decay of the running means of the gradient and of its square; each ≥ 0 and < 1.'),
    epsilon: z.number().gt(0).default(1e-8).describe('AdamW: added to the denominator of the update.'),
    momentum: z
      .number()
      .min(0)
      .lt(1)
      .nullable()
      .default(null)
      .describe('Muon: decay of the running mean of the gradient; null = 0.95. Only for kind: muon.'),
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
