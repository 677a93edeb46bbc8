/** Section `corpus`: where the text comes from and how it is split. */
import { z } from 'zod';

const source = z.strictObject({
  path: z
    .string()
    .min(1)
    .describe('A file, a folder (every file below it but hidden ones) or a glob of UTF-8 text; relative to the file it stands in.'),
});

export const corpus = z
  .strictObject({
    sources: z.array(source).min(1).describe('Where the text comes from, in this order.'),
    validation: z
      .strictObject({
        tail: z
          .number()
          .gt(0)
          .lt(1)
          .default(0.1)
          .describe('The last fraction of the bytes of the corpus, kept for validation; > 0 and < 1.'),
      })
      .prefault({})
      .describe('The part of the corpus that is never trained on.'),
    shuffleTokens: z
      .int()
      .min(1024)
      .default(2_097_152)
      .describe('Tokens shuffled together at a time; bounds the memory of the shuffle. At least 1024.'),
  })
  .describe('The text to learn from.');
