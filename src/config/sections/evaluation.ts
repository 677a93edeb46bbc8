/** Section `evaluation`: when the validation loss is taken. */
import { z } from 'zod';
import { count, interval } from './numbers.ts';

export const evaluation = z
  .strictObject({
    everySteps: interval.default(250).describe('Steps between evaluations; null = only at the start and the end.'),
    patience: count
      .nullable()
      .default(null)
      .describe('Training stops after so many evaluations without a new best; null = never.'),
  })
  .prefault({})
  .describe('Loss on the whole validation text.');
