/** Section `reports`: what is reported on the way. */
import { z } from 'zod';
import { count } from './numbers.ts';

export const reports = z
  .strictObject({
    everySteps: count.default(1).describe('Steps between the step records of metrics.jsonl.'),
    log: z
      .array(z.enum(['tensorboard', 'csv']))
      .default([])
      .describe('Also written: tensorboard = event files in tensorboard/ of the run; csv = metrics.csv.'),
  })
  .prefault({})
  .describe('What is reported on the way.');
