/** Section `start`: what a run begins from. */
import { z } from 'zod';

export const start = z
  .strictObject({
    from: z
      .string()
      .min(1)
      .nullable()
      .default(null)
      .describe(
        'A run directory or checkpoint folder, trained or imported, whose weights, model and tokenizer the run begins ' +
          'with; its step, optimizer and order of the text are new. null = from random weights.',
      ),
  })
  .prefault({})
  .describe('What the run begins from.');
