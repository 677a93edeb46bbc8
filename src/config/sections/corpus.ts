/** Section `corpus`: where the text comes from, how it is cut into documents, how it is split and how it is mixed. */
import { z } from 'zod';

const name = z.string().min(1).nullable().default(null);

const weight = z.number().min(0).nullable().default(null);

const weightAtStep = z.strictObject({
  step: z.int().min(1).describe('Step, counted in updates.'),
  weight: z.number().min(0).describe('Weight at this step.'),
});

const source = z.strictObject({
  path: z
    .string()
    .min(1)
    .describe(
      'File, folder (searched recursively, hidden files skipped) or glob, plain or compressed (gzip, zstd), relative ' +
        'to the file this is written in; - is standard input.',
    ),
  format: z
    .enum(['auto', 'text', 'jsonLines', 'csv', 'tsv', 'parquet'])
    .default('auto')
    .describe(
      'Format of the files; auto decides by extension: .jsonl, .ndjson, .json, .csv, .tsv, .parquet; anything else ' +
        'is text.',
    ),
  field: z.string().min(1).default('text').describe('JSON field or column that holds the text.'),
  quotes: z
    .boolean()
    .default(true)
    .describe(
      'CSV and TSV: whether a quote at the start of a field begins a quoted field, which may contain delimiters and ' +
        'line ends. false: quotes are text, and every line is a record.',
    ),
  emptyRows: z
    .enum(['error', 'skip'])
    .default('error')
    .describe(
      'Rows with null in the field, or JSON lines without the field: error refuses the first; skip passes over them ' +
        'and reports how many. (Empty texts are always left out and counted.)',
    ),
  prompt: name.describe(
    'Field that holds the prompt of pairs, excluded from the loss; requires completion, or chosen and rejected. ' +
      'null: no prompt.',
  ),
  completion: name.describe(
    'Field that holds the completion of pairs, the only part that counts towards the loss; requires prompt. null: no ' +
      'pairs.',
  ),
  messages: name.describe(
    'Field of JSON lines or Parquet that holds a chat: a list of messages with role and content, rendered by the ' +
      'chat template of the tokenizer. null: no chats.',
  ),
  lossOn: z
    .enum(['assistant', 'last', 'all'])
    .default('assistant')
    .describe(
      'Chats: which turns count towards the loss. assistant: all turns of the assistant; last: its last one; all: ' +
        'the whole text.',
    ),
  chosen: name.describe(
    'Preference pairs: field that holds the preferred completion, a text or a list of messages; requires rejected ' +
      'and training.objective.kind: dpo. Without prompt, what chosen and rejected begin with alike is the prompt. ' +
      'null: no preference pairs.',
  ),
  rejected: name.describe('Preference pairs: field that holds the other completion; requires chosen.'),
  documents: z
    .enum(['running', 'file'])
    .default('running')
    .describe('running: text files are joined into one long text; file: each text file is a document.'),
  separator: name.describe(
    'Separator between the documents of a text file, e.g. "\\n\\n\\n"; not part of any document. null: see documents.',
  ),
  name: name.describe('Name of the source in the metrics of a mixture. null: the last part of its path.'),
  weight: weight.describe(
    'Weight in the mixture: share of the training windows relative to the other sources; set it for all sources or ' +
      'none. null: no mixture, the sources are read one after the other.',
  ),
  finalWeight: weight.describe('Weight at the end of the run, reached linearly. null: the weight stays constant.'),
  weightsAtSteps: z
    .array(weightAtStep)
    .min(1)
    .nullable()
    .default(null)
    .describe(
      'Weights at given, ascending steps: interpolated linearly from weight through each, constant after the last; ' +
        'an alternative to finalWeight. null: none.',
    ),
});

const fraction = z.number().gt(0).lt(1).nullable().default(null);

export const corpus = z
  .strictObject({
    sources: z.array(source).min(1).describe('Text sources, in reading order.'),
    validation: z
      .strictObject({
        tail: fraction.describe(
          'Fraction of the corpus, in bytes, that is taken from its end; > 0 and < 1. 0.1 if none of the three is set.',
        ),
        hash: fraction.describe(
          'Fraction of the documents, chosen by a hash of their text, so that documents keep their split when files ' +
            'are added; > 0 and < 1.',
        ),
        path: name.describe(
          'Separate validation files, a path as in sources, read with the settings of the first source.',
        ),
      })
      .prefault({})
      .describe('Validation split, never trained on; set one of tail, hash and path.'),
    packing: z
      .enum(['concatenate', 'documents'])
      .default('concatenate')
      .describe(
        'How tokens fill the windows. concatenate: documents one after the other, without padding; documents: whole ' +
          'documents packed side by side, which neither attend to nor predict each other.',
      ),
    encodingErrors: z
      .enum(['error', 'replace', 'skip'])
      .default('error')
      .describe(
        'Invalid UTF-8: error fails with its position, replace puts U+FFFD in its place as browsers do, skip drops it.',
      ),
    shuffleTokens: z
      .int()
      .min(1024)
      .default(2_097_152)
      .describe('Number of tokens shuffled together at a time, which bounds the memory of shuffling; at least 1024.'),
    workers: z
      .int()
      .min(1)
      .max(64)
      .default(1)
      .describe(
        'Threads that tokenize; the token sequence is the same with any number. 1 is the reading thread itself; more ' +
          'take cores from the training step.',
      ),
    chatDate: z.iso
      .date()
      .nullable()
      .default(null)
      .describe(
        'Chats: the day that chat templates are told if they ask for it, e.g. 2026-11-29. null: the day on which the ' +
          'run begins, which is kept when it is resumed.',
      ),
    cache: name.describe(
      'Folder for a token cache, relative to the file this is written in: text is tokenized once instead of in every ' +
        'epoch and run, and any number of runs can share it. null: no cache.',
    ),
  })
  .describe('Training and validation text.');

/** The validation split of a config that sets none. */
export const defaultTail = 0.1;

/** How the weight of a source of a mixture changes over the run. */
export interface WeightSchedule {
  readonly weight?: number | null | undefined;
  readonly finalWeight?: number | null | undefined;
  readonly weightsAtSteps?: readonly { readonly step: number; readonly weight: number }[] | null | undefined;
}

/** The weight after `step` updates, which are the fraction `progress` (0 to 1) of the run. */
export function weightAt(
  { weight, finalWeight, weightsAtSteps }: WeightSchedule,
  step: number,
  progress: number,
): number {
  const first = weight ?? 1;
  let before = { step: 0, weight: first };
  for (const next of weightsAtSteps ?? []) {
    if (step < next.step)
      return before.weight + ((next.weight - before.weight) * (step - before.step)) / (next.step - before.step);
    before = next;
  }
  return before.weight + ((finalWeight ?? before.weight) - before.weight) * progress;
}
