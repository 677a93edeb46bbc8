/** Section `corpus`: where the text comes from, how it is cut into documents and how it is split. */
import { z } from 'zod';

const name = z.string().min(1).nullable().default(null);

const weight = z.number().min(0).nullable().default(null);

const weightAtStep = z.strictObject({
  step: z.int().min(1).describe('Updates made.'),
  weight: z.number().min(0).describe('The weight at that step.'),
});

const source = z.strictObject({
  path: z
    .string()
    .min(1)
    .describe(
      'A file, a folder (every file below it but hidden ones) or a glob, plain or compressed (gzip, zstd); - is standard input. Relative to the file it stands in.',
    ),
  format: z
    .enum(['auto', 'text', 'jsonLines', 'csv', 'tsv', 'parquet'])
    .default('auto')
    .describe(
      'What the files hold; auto goes by their names: .jsonl, .ndjson, .json, .csv, .tsv, .parquet, anything else is text.',
    ),
  field: z.string().min(1).default('text').describe('The JSON field or the column that holds the text.'),
  prompt: name.describe('Of pairs, the field that holds the prompt, on which no loss is taken; needs completion.'),
  completion: name.describe(
    'Of pairs, the field that holds the completion, on which alone the loss is taken; needs prompt.',
  ),
  documents: z
    .enum(['running', 'file'])
    .default('running')
    .describe('running: text files are one long text, laid end to end; file: each is a document.'),
  separator: name.describe(
    'Text between the documents of a text file, such as "\\n\\n\\n"; no part of any. null = see documents.',
  ),
  name: name.describe('What the source is called in records of a mixture; null = the last part of its path.'),
  weight: weight.describe(
    'Share of the training windows relative to the other sources; give it to all sources or none. null = the sources are one long sequence.',
  ),
  finalWeight: weight.describe('The weight at the end of the run, reached in a straight line; null = weight stays.'),
  weightsAtSteps: z
    .array(weightAtStep)
    .min(1)
    .nullable()
    .default(null)
    .describe(
      'Weights at these steps, which ascend; straight lines lead from weight through them, and the last stays. Instead of finalWeight; null = none.',
    ),
});

const fraction = z.number().gt(0).lt(1).nullable().default(null);

export const corpus = z
  .strictObject({
    sources: z.array(source).min(1).describe('Where the text comes from, in this order.'),
    validation: z
      .strictObject({
        tail: fraction.describe(
          'The last fraction of the corpus, in bytes; > 0 and < 1. Without tail, hash and path it is 0.1.',
        ),
        hash: fraction.describe(
          'The fraction of the documents with the lowest hashes of their text; stays the same documents when files are added.',
        ),
        path: name.describe('Files of their own, as in sources, read as the first of the sources is.'),
      })
      .prefault({})
      .describe('The part of the corpus that is never trained on; give one of tail, hash and path.'),
    packing: z
      .enum(['concatenate', 'documents'])
      .default('concatenate')
      .describe(
        'How tokens fill windows. concatenate: one after the other, documents too, nothing padded; documents: whole ones side by side, which neither see nor predict each other.',
      ),
    encodingErrors: z
      .enum(['error', 'replace', 'skip'])
      .default('error')
      .describe(
        'Bytes that are no UTF-8: refuse them by their place, put U+FFFD there as web browsers do, or leave them out.',
      ),
    shuffleTokens: z
      .int()
      .min(1024)
      .default(2_097_152)
      .describe('Tokens shuffled together at a time; bounds the memory of the shuffle. At least 1024.'),
    workers: z
      .int()
      .min(1)
      .max(64)
      .default(1)
      .describe(
        'Threads that turn text into tokens; the sequence is the same with any number. 1 is the one that reads; the training step needs the other cores.',
      ),
    cache: name.describe(
      'A folder in which the tokens are kept, so that the text is encoded once and not in every epoch and run; for any number of runs at a time. Relative to the file it stands in. null = none.',
    ),
  })
  .describe('The text to learn from.');

/** The validation part of a config that names none. */
export const defaultTail = 0.1;
