/**
 * The cursor: where in the sequence of training windows a run stands. It travels with every micro-batch and is kept
 * in the checkpoint; from it the rest of the sequence follows exactly, at the price of reading one block again.
 */
import { z } from 'zod';

import { wrongInput } from '../../errors.ts';
import type { Corpus } from '../files/corpus.ts';

const position = z.int().min(0);

const place = {
  epoch: position.describe('Passes over the training text begun before this one.'),
  block: position.describe('Number of the block within the epoch.'),
  startByte: position.describe("Position in the corpus where the block's reading begins."),
  skipTokens: position.optional().describe('Tokens to pass over there, where reading cannot begin at any token.'),
  insideDocument: z
    .literal(true)
    .optional()
    .describe('The first token there is only looked back on: a document packed whole goes on after it.'),
  windowsTaken: position.describe("Windows of the block already used, in the block's shuffled order."),
  trainingBytes: position.describe('Length of the training text, to notice another corpus.'),
};

const cursorSchema = z.strictObject({
  version: z.literal(1),
  ...place,
  mixture: z
    .array(
      z.strictObject({
        owed: z.number().describe('Windows that the source is behind its share.'),
        windows: position.describe('Windows of the source that have been used.'),
        tokens: position.optional().describe('Their tokens, without padding.'),
        cursor: z.strictObject(place),
      }),
    )
    .optional()
    .describe('Where each source of a mixture stands; the other keys then only say what corpus it is.'),
});

/**
 * A position in the training sequence. Block 0 of an epoch is read from the start of the training text, where the
 * epoch's window offset is skipped; a later one from its first token.
 */
export type Cursor = Readonly<z.output<typeof cursorSchema>>;

/** Before the first window of the first epoch. */
export function startCursor(corpus: Pick<Corpus, 'training'>): Cursor {
  const { startByte, endByte } = corpus.training;
  return { version: 1, epoch: 0, block: 0, startByte, windowsTaken: 0, trainingBytes: endByte - startByte };
}

/** The cursor of the same corpus at another place. */
export function cursorAt({ version, trainingBytes }: Cursor, place: Omit<Cursor, 'version' | 'trainingBytes'>): Cursor {
  return { version, ...place, trainingBytes };
}

/**
 * A cursor read from disk.
 * @param path the file it stands in, for messages.
 * @throws wrongInput naming the file and the key that is wrong.
 */
export function parseCursor(value: unknown, path: string): Cursor {
  const result = cursorSchema.safeParse(value);
  if (result.success) return result.data;
  const [problem] = result.error.issues;
  const key = ['cursor', ...(problem?.path ?? [])].join('.');
  throw wrongInput(`${path} is damaged: "${key}": ${problem?.message}. Resume from another checkpoint.`);
}

/** @throws wrongInput where the corpus is not the one the cursor was made with. */
export function checkCursor(cursor: Cursor, corpus: Pick<Corpus, 'training'>): void {
  const { startByte, endByte } = corpus.training;
  const trainingBytes = endByte - startByte;
  if (cursor.trainingBytes !== trainingBytes) {
    throw wrongInput(
      `The training text has ${trainingBytes} bytes, but this run began with ${cursor.trainingBytes}. ` +
        'Restore the corpus to resume the run, or start a new one.',
    );
  }
  const isInside = cursor.startByte >= startByte && cursor.startByte < endByte;
  if (!isInside || (cursor.block === 0 && cursor.startByte !== startByte)) throw cursorElsewhere();
}

/** The error for a cursor that is well formed but names a position that the training text does not have. */
export const cursorElsewhere = (): Error =>
  wrongInput("The checkpoint's cursor names a position that the training text does not have. Resume from another one.");
