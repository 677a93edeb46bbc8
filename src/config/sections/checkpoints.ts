/** Section `checkpoints`: what is saved, to continue or to sample from. */
import { z } from 'zod';
import { count, interval } from './numbers.ts';

export const checkpoints = z
  .strictObject({
    everySteps: interval.default(500).describe('Steps between checkpoints; null = only at the end.'),
    keepLast: count.nullable().default(2).describe('Newest checkpoints that are kept; null = all.'),
    keepBest: count
      .nullable()
      .default(null)
      .describe('Checkpoints kept besides for their validation loss, of those evaluated at their step; null = none.'),
    keepEvery: interval
      .default(null)
      .describe('Checkpoints at multiples of so many steps are kept besides; null = none.'),
  })
  .prefault({})
  .describe('What is saved, to continue or to sample from.');
