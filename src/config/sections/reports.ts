/** Section `reports`: what is reported on the way. */
import { z } from 'zod';
import { count } from './numbers.ts';

export const reports = z
  .strictObject({
    everySteps: count.default(1).describe('Steps between the step records of metrics.jsonl.'),
  })
  .prefault({})
  .describe('What is reported on the way.');
