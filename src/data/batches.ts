/**
 * Micro-batches: windows side by side, split into inputs and shifted targets. Row 8 of the walk, the last one before
 * tensors. For training an endless shuffled sequence, for validation one pass in the order of the text.
 */
import { wrongInput } from '../errors.ts';
import type { Corpus, ReadableCorpus } from './corpus.ts';
import { checkCursor, cursorAt, cursorElsewhere, startCursor } from './cursor.ts';
import type { Cursor } from './cursor.ts';
import { windowOrder } from './shuffle.ts';
import type { Tokenizer } from './tokenizers/tokenizer.ts';
import type { TokenizingWorkers } from './tokenizingWorkers.ts';
import { tokenChunks } from './tokens.ts';
import { readAhead, trainingBlocks } from './trainingBlocks.ts';

/** B rows of T places, row after row (B = microBatchSize, T = contextLength). */
export interface MicroBatch {
  /** (B, T) token ids; 0 on padding. */
  readonly inputs: Int32Array;
  /** (B, T) the token that follows each input; 0 on padding. */
  readonly targets: Int32Array;
  /** (B, T) 1 where the loss is taken, 0 on padding and on prompts. */
  readonly weights: Float32Array;
  /** Places where the loss is taken: the sum of the weights. */
  readonly targetCount: number;
  /** The source of a mixture that all of it is of; undefined where that is not so or there is but one. */
  readonly source?: string | undefined;
}

export interface TrainingBatch extends MicroBatch {
  /** The position right after this micro-batch. */
  readonly cursor: Cursor;
}

export interface BatchOptions {
  readonly contextLength: number;
  readonly microBatchSize: number;
  /** Bytes read from disk at a time. */
  readonly chunkBytes?: number | undefined;
  /** Threads to encode on; undefined: this one. */
  readonly workers?: TokenizingWorkers | undefined;
  /** What the user should be told is added while reading. */
  readonly notes?: string[] | undefined;
}

export interface TrainingBatchOptions extends BatchOptions {
  readonly seed: number;
  readonly shuffleTokens: number;
}

/**
 * The training sequence from `cursor` on, or from its start; it never ends. Windows come in the order of windows.ts and
 * shuffle.ts, which depends only on seed, contextLength, shuffleTokens and the text. A micro-batch takes the next B of
 * them, across the ends of blocks and epochs, so none is dropped or padded.
 * Two blocks are in memory: 4 bytes a token, 2 · shuffleTokens tokens. Ending the generator closes its files.
 * @throws wrongInput for bad or missing text, a text shorter than a window, a cursor of another corpus.
 */
export async function* trainingBatches(
  corpus: ReadableCorpus & Pick<Corpus, 'training'>,
  tokenizer: Tokenizer,
  options: TrainingBatchOptions,
  cursor: Cursor = startCursor(corpus),
): AsyncGenerator<TrainingBatch, void, void> {
  checkCursor(cursor, corpus);
  const { seed, contextLength, microBatchSize, chunkBytes, workers, notes } = options;
  const stopping = new AbortController();
  const readOptions = { chunkBytes, workers, notes, signal: stopping.signal };
  const blocks = readAhead(trainingBlocks(corpus, tokenizer, options, cursor, readOptions), () => stopping.abort());
  let rows = emptyRows(microBatchSize, contextLength);
  let begun = false;
  let unlearntWindows = 0;
  for await (const { epoch, index, startByte, skipTokens, windows, tokenIds, learnt } of blocks) {
    let windowsTaken = begun ? 0 : cursor.windowsTaken;
    if (!begun && (epoch !== cursor.epoch || windowsTaken > windows)) throw cursorElsewhere();
    begun = true;
    const order = windowOrder(seed, epoch, index, windows);
    while (windowsTaken < windows) {
      const startToken = order[windowsTaken++]! * contextLength;
      const endToken = startToken + contextLength + 1;
      const learntInWindow = learnt?.subarray(startToken, endToken) ?? null;
      if (learntInWindow !== null && !learntInWindow.includes(1, 1)) {
        if (++unlearntWindows > windowsWithoutTarget) throw nothingLearnt();
        continue; // all prompt: nothing to take a loss of
      }
      unlearntWindows = 0;
      addWindow(rows, tokenIds.subarray(startToken, endToken), learntInWindow, contextLength);
      if (rows.filled === microBatchSize) {
        const position = skipTokens === undefined ? { startByte } : { startByte, skipTokens };
        yield { ...microBatch(rows), cursor: cursorAt(cursor, { epoch, block: index, ...position, windowsTaken }) };
        rows = emptyRows(microBatchSize, contextLength);
      }
    }
  }
}

/**
 * The whole validation text once, in order: every token but the first, which is only context, is a target exactly once.
 * Of a mixture, each source by itself.
 * The last window may be short and the last micro-batch may have empty rows; both are padded with weight 0.
 * @throws wrongInput for bad or missing text, or a validation text of one token.
 */
export async function* validationBatches(
  corpus: ReadableCorpus & Pick<Corpus, 'validation' | 'hasPairs' | 'mixture'>,
  tokenizer: Tokenizer,
  options: BatchOptions,
): AsyncGenerator<MicroBatch, void, void> {
  if (corpus.mixture !== undefined && corpus.validation.parts !== undefined) {
    for (const { name: source, validation } of corpus.mixture) {
      for await (const batch of validationBatches({ ...corpus, validation, mixture: undefined }, tokenizer, options)) yield { ...batch, source };
    }
    return;
  }
  const { contextLength, microBatchSize, chunkBytes, notes } = options;
  const window = new Int32Array(contextLength + 1);
  const windowLearnt = corpus.hasPairs === true ? new Uint8Array(contextLength + 1) : null;
  let filled = 0;
  let rows = emptyRows(microBatchSize, contextLength);
  let targets = 0;
  for await (const { tokenIds, learnt } of tokenChunks(corpus, corpus.validation, tokenizer, { chunkBytes, notes })) {
    for (let at = 0; at < tokenIds.length; ) {
      const taken = Math.min(tokenIds.length - at, window.length - filled);
      window.set(tokenIds.subarray(at, at + taken), filled);
      if (learnt === null) windowLearnt?.fill(1, filled, filled + taken);
      else windowLearnt!.set(learnt.subarray(at, at + taken), filled);
      filled += taken;
      at += taken;
      if (filled < window.length) continue;
      if (windowLearnt === null || windowLearnt.includes(1, 1)) targets += addWindow(rows, window, windowLearnt, contextLength);
      window[0] = window[contextLength]!; // the last target is the next window's first input
      filled = 1;
      if (rows.filled < microBatchSize) continue;
      yield microBatch(rows);
      rows = emptyRows(microBatchSize, contextLength);
    }
  }
  if (filled > 1 && (windowLearnt === null || windowLearnt.subarray(0, filled).includes(1, 1))) {
    targets += addWindow(rows, window.subarray(0, filled), windowLearnt?.subarray(0, filled) ?? null, contextLength);
  }
  if (targets === 0) {
    throw wrongInput('The validation text has no token to score. Give more of it: raise corpus.validation.tail or hash, or name a longer file.');
  }
  if (rows.filled > 0) yield microBatch(rows);
}

/**
 * What a micro-batch scores: its targets of weight 1 and the UTF-8 bytes they stand for. Bits per byte is the sum of
 * the losses (nats) over bytes · ln 2.
 */
export function scoredText(
  batch: MicroBatch,
  tokenizer: Pick<Tokenizer, 'byteLengths'>,
): { tokens: number; bytes: number } {
  let bytes = 0;
  for (let i = 0; i < batch.targets.length; i++) {
    if (batch.weights[i] !== 0) bytes += tokenizer.byteLengths[batch.targets[i]!]!;
  }
  return { tokens: batch.targetCount, bytes };
}

/** So many windows in a row without a target, and there is most likely none in the whole corpus. */
const windowsWithoutTarget = 1_000_000;

const nothingLearnt = (): Error =>
  wrongInput('The training text has no token to learn: every completion is empty. Check the prompt and completion of corpus.sources.');

interface Rows {
  inputs: Int32Array;
  targets: Int32Array;
  weights: Float32Array;
  targetCount: number;
  /** Rows that hold a window. */
  filled: number;
}

function emptyRows(microBatchSize: number, contextLength: number): Rows {
  const places = microBatchSize * contextLength;
  return {
    inputs: new Int32Array(places),
    targets: new Int32Array(places),
    weights: new Float32Array(places),
    targetCount: 0,
    filled: 0,
  };
}

/**
 * Puts a window of 2 … T + 1 ids into the next row. The only place where targets are shifted: at every place the
 * target is the token after the input. The loss is taken where that token is learnt.
 * @param learnt for each id of the window, or null where all are
 * @returns how many targets the loss is taken of
 */
function addWindow(rows: Rows, window: Int32Array, learnt: Uint8Array | null, contextLength: number): number {
  const places = window.length - 1;
  const start = rows.filled * contextLength;
  rows.inputs.set(window.subarray(0, places), start);
  rows.targets.set(window.subarray(1), start);
  if (learnt === null) rows.weights.fill(1, start, start + places);
  else rows.weights.set(learnt.subarray(1), start);
  const targets = learnt === null ? places : learnt.subarray(1).reduce((sum, weight) => sum + weight, 0);
  rows.targetCount += targets;
  rows.filled++;
  return targets;
}

function microBatch({ inputs, targets, weights, targetCount }: Rows): MicroBatch {
  return { inputs, targets, weights, targetCount };
}
