/** Section `tokenizer`: how text becomes token ids. */
import { z } from 'zod';

export const tokenizer = z
  .strictObject({
    kind: z
      .enum(['characters', 'bytes'])
      .default('characters')
      .describe('characters: one token for each distinct character of the corpus; bytes: 256 tokens, any text.'),
  })
  .prefault({})
  .describe('How text becomes token ids.');
