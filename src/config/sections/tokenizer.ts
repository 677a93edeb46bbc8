/** Section `tokenizer`: how text becomes token ids. */
import { z } from 'zod';

/** Of a byte-pair encoding: bytes and the end of a document; more than 2²⁰ tokens no model of this kind has. */
export const vocabularySizes = { least: 257, most: 1_048_576 };

export const tokenizer = z
  .strictObject({
    kind: z
      .enum(['characters', 'bytes', 'bpe', 'file'])
      .default('characters')
      .describe(
        'characters: one token for each distinct character of the corpus; bytes: 256 tokens, any text; bpe: byte-pair ' +
          'encoding trained on the training text before the first step; file: a tokenizer.json.',
      ),
    vocabularySize: z
      .int()
      .min(vocabularySizes.least)
      .max(vocabularySizes.most)
      .nullable()
      .default(null)
      .describe('kind: bpe only: tokens of the vocabulary, the 256 bytes and the end of a document among them.'),
    path: z
      .string()
      .min(1)
      .nullable()
      .default(null)
      .describe(
        "kind: file only: a tokenizer.json of Hugging Face's or of `clm tokenizer train`; relative to the file it stands in.",
      ),
    endOfText: z
      .string()
      .min(1)
      .nullable()
      .default(null)
      .describe('kind: file only: the special token that ends a document; null = the usual one that the file has.'),
  })
  .prefault({})
  .describe('How text becomes token ids.');
