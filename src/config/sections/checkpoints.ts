/** Section `checkpoints`: what is saved, to continue or to sample from. */
import { z } from 'zod';
import { count, interval } from './numbers.ts';

export const checkpoints = z
  .strictObject({
    everySteps: interval.default(500).describe('Steps between checkpoints; null = only at the end.'),
    keepLast: count.nullable().default(2).describe('Newest checkpoints that are kept; null = all.'),
  })
  .prefault({})
  .describe('What is saved, to continue or to sample from.');
