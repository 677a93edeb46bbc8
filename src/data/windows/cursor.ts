/**
 * The cursor: a position in the sequence of training windows. Every micro-batch carries the cursor after it, and a
 * checkpoint saves it. Resuming from a cursor continues the sequence exactly; it costs reading one block again.
 */
import { z } from 'zod';

import { DamagedCheckpointError, wrongInput } from '../../errors.ts';
import type { Corpus } from '../files/corpus.ts';

const count = z.int().min(0);

/** Field names are those of state.json in checkpoints. */
const position = {
  epoch: count.describe('Earlier passes over the training text.'),
  block: count.describe('Index of the block in the epoch.'),
  startByte: count.describe('Position in the corpus where reading of the block starts.'),
  skipTokens: count.optional().describe('Tokens to skip from there, if reading cannot start at any token.'),
  insideDocument: z
    .literal(true)
    .optional()
    .describe('The first token there is context only: a packed document continues after it.'),
  windowsTaken: count.describe("Windows of the block already used, in the block's shuffled order."),
  trainingBytes: count.describe('Length of the training text, to detect another corpus.'),
};

const cursorSchema = z.strictObject({
  version: z.literal(1),
  ...position,
  mixture: z
    .array(
      z.strictObject({
        owed: z.number().describe('Windows by which the source is behind its share.'),
        windows: count.describe('Windows of the source already used.'),
        tokens: count.optional().describe('Tokens in them, without padding.'),
        cursor: z.strictObject(position),
      }),
    )
    .optional()
    .describe('State of each source of a mixture. The other keys then only identify the corpus.'),
});

/**
 * A position in the training sequence. Block 0 of an epoch is read from the start of the training text, including the
 * tokens before the epoch's window offset; a later block from its first token.
 */
export type Cursor = Readonly<z.output<typeof cursorSchema>>;

/** Before the first window of the first epoch. */
export function startCursor(corpus: Pick<Corpus, 'training'>): Cursor {
  const { startByte, endByte } = corpus.training;
  return { version: 1, epoch: 0, block: 0, startByte, windowsTaken: 0, trainingBytes: endByte - startByte };
}

/** The cursor of the same corpus at another position. */
export function cursorAt(
  { version, trainingBytes }: Cursor,
  position: Omit<Cursor, 'version' | 'trainingBytes'>,
): Cursor {
  return { version, ...position, trainingBytes };
}

/**
 * Checks a cursor read from disk.
 * @param path its file, for messages
 * @throws wrongInput naming the file and the key that is wrong
 */
export function parseCursor(value: unknown, path: string): Cursor {
  const result = cursorSchema.safeParse(value);
  if (result.success) return result.data;
  const [problem] = result.error.issues;
  const key = ['cursor', ...(problem?.path ?? [])].join('.');
  throw new DamagedCheckpointError(
    `${path} is damaged: "${key}": ${problem?.message}. Resume from another checkpoint.`,
  );
}

/** @throws wrongInput if the cursor belongs to another corpus */
export function checkCursor(cursor: Cursor, corpus: Pick<Corpus, 'training'>): void {
  const { startByte, endByte } = corpus.training;
  const trainingBytes = endByte - startByte;
  if (cursor.trainingBytes !== trainingBytes) {
    throw wrongInput(
      `The training text has ${trainingBytes} bytes, but this run began with ${cursor.trainingBytes}. ` +
        'Restore the corpus to resume the run, or start a new run.',
    );
  }
  const isInside = cursor.startByte >= startByte && cursor.startByte < endByte;
  if (!isInside || (cursor.block === 0 && cursor.startByte !== startByte)) throw cursorOutsideCorpus();
}

/** The error for a well-formed cursor with a position outside of the training text. */
export const cursorOutsideCorpus = (): Error =>
  wrongInput("The checkpoint's cursor is outside of the training text. Resume from another checkpoint.");
