/**
 * Micro-batches: windows side by side, split into inputs and shifted targets. Row 8 of the walk, the last one before
 * tensors. For training an endless shuffled sequence, for validation one pass in the order of the text.
 */
import { wrongInput } from '../../errors.ts';
import type { Corpus, Packing, ReadableCorpus } from '../files/corpus.ts';
import { checkCursor, cursorAt, cursorElsewhere, startCursor } from './cursor.ts';
import type { Cursor } from './cursor.ts';
import { documentBlocks } from './documentBlocks.ts';
import type { Tokenizer } from '../tokenizers/tokenizer.ts';
import type { TokenizingWorkers } from '../tokens/tokenizingWorkers.ts';
import { tokenChunks } from '../tokens/tokens.ts';
import type { TokenChunk } from '../tokens/tokens.ts';
import { noLossTokens, readAhead, trainingBlocks } from './trainingBlocks.ts';
import type { BlockSequenceOptions } from './trainingBlocks.ts';
import { piecesOf, windowOrder } from './windows.ts';
import type { Block } from './windows.ts';

/** B rows of T places, row after row (B = microBatchSize, T = contextLength). */
export interface MicroBatch {
  /** (B, T) token ids; 0 on padding. */
  readonly inputs: Int32Array;
  /** (B, T) the token that follows each input; 0 on padding. */
  readonly targets: Int32Array;
  /** (B, T) 1 where the target counts towards the loss, 0 on padding and prompts. */
  readonly lossMask: Float32Array;
  /**
   * (B, T) the place of each input in its piece of a document, from 0; 0 on padding. Place t of a row sees the places
   * t − positions[t] … t and no others. Only under `packing: documents`.
   */
  readonly positions?: Int32Array | undefined;
  /** Targets that count towards the loss: the sum of the loss mask. */
  readonly targetCount: number;
  /** The source of a mixture that all of it is of; undefined where that is not so or there is but one. */
  readonly source?: string | undefined;
}

export interface TrainingBatch extends MicroBatch {
  /** Places that are no padding. */
  readonly tokenCount: number;
  /** The position right after this micro-batch. */
  readonly cursor: Cursor;
}

interface BatchOptions {
  readonly contextLength: number;
  readonly microBatchSize: number;
  /** Bytes read from disk at a time. */
  readonly chunkBytes?: number | undefined;
  /** Threads to encode on; undefined: this one. */
  readonly workers?: TokenizingWorkers | undefined;
  /** Told what the user should know, e.g. that the token cache is damaged. */
  readonly onWarning?: ((message: string) => void) | undefined;
}

export interface TrainingBatchOptions extends BatchOptions, BlockSequenceOptions {}

/**
 * The training sequence from `cursor` on, or from its start; it never ends. Windows come in the order of windows.ts and
 * shuffle.ts, which depends only on seed, contextLength, shuffleTokens and the text. A micro-batch takes the next B of
 * them, across the ends of blocks and epochs, so none is dropped or padded.
 * Two blocks are in memory: 4 bytes a token, 2 · shuffleTokens tokens. Ending the generator closes its files.
 * @throws wrongInput for bad or missing text, a text shorter than a window, a cursor of another corpus.
 */
export async function* trainingBatches(
  corpus: ReadableCorpus & Pick<Corpus, 'training' | 'packing'>,
  tokenizer: Tokenizer,
  options: TrainingBatchOptions,
  cursor: Cursor = startCursor(corpus),
): AsyncGenerator<TrainingBatch, void, void> {
  checkCursor(cursor, corpus);
  const { seed, contextLength, microBatchSize, chunkBytes, workers, onWarning } = options;
  const stopping = new AbortController();
  const readOptions = { chunkBytes, workers, onWarning, signal: stopping.signal };
  const blocks = readAhead(trainingBlocks(corpus, tokenizer, options, cursor, readOptions), () => stopping.abort());
  let rows = emptyRows(microBatchSize, contextLength, corpus.packing);
  let begun = false;
  let hasTargets = true; // whether a target of this epoch counted towards the loss; assumed of an epoch begun earlier
  for await (const block of blocks) {
    const { epoch, index, startByte, skipTokens, insideDocument, windows } = block;
    let windowsTaken = begun ? 0 : cursor.windowsTaken;
    if (!begun && (epoch !== cursor.epoch || windowsTaken > windows)) throw cursorElsewhere();
    begun = true;
    if (index === 0) {
      if (!hasTargets) throw noLossTokens();
      hasTargets = windowsTaken > 0;
    }
    const order = windowOrder(seed, epoch, index, windows);
    while (windowsTaken < windows) {
      if (!addWindow(rows, block, order[windowsTaken++]!)) continue; // a window of prompts only
      hasTargets = true;
      if (rows.filled === microBatchSize) {
        const position = {
          startByte,
          ...(skipTokens !== undefined && { skipTokens }),
          ...(insideDocument && { insideDocument }),
        };
        yield { ...microBatch(rows), cursor: cursorAt(cursor, { epoch, block: index, ...position, windowsTaken }) };
        rows = emptyRows(microBatchSize, contextLength, corpus.packing);
      }
    }
  }
}

/**
 * The whole validation text once, in order: every token but the first, which is only context, is a target exactly once.
 * Of a mixture, each source by itself. Under `packing: documents`, every document by itself.
 * The last window may be short and the last micro-batch may have empty rows; both are padded with weight 0.
 * @throws wrongInput for bad or missing text, or a validation text of one token.
 */
export async function* validationBatches(
  corpus: ReadableCorpus & Pick<Corpus, 'validation' | 'hasPairs' | 'mixture' | 'packing'>,
  tokenizer: Tokenizer,
  options: BatchOptions,
): AsyncGenerator<MicroBatch, void, void> {
  if (corpus.mixture !== undefined && corpus.validation.parts !== undefined) {
    for (const { name: source, validation } of corpus.mixture) {
      for await (const batch of validationBatches({ ...corpus, validation, mixture: undefined }, tokenizer, options))
        yield { ...batch, source };
    }
    return;
  }
  const { contextLength, microBatchSize, chunkBytes, onWarning } = options;
  const chunks = tokenChunks(corpus, corpus.validation, tokenizer, { chunkBytes, onWarning });
  const blocks =
    corpus.packing === 'documents'
      ? documentBlocks(chunks, tokenizer, {
          contextLength,
          shuffleTokens: validationTokens,
          firstBlock: 0,
          insideDocument: false,
        })
      : consecutiveWindows(chunks, contextLength);
  let rows = emptyRows(microBatchSize, contextLength, corpus.packing);
  let isScored = false;
  for await (const block of blocks) {
    for (let window = 0; window < block.windows; window++) {
      if (!addWindow(rows, block, window)) continue;
      isScored = true;
      if (rows.filled < microBatchSize) continue;
      yield microBatch(rows);
      rows = emptyRows(microBatchSize, contextLength, corpus.packing);
    }
  }
  if (!isScored) {
    throw wrongInput(
      'The validation text has no token to score. Give more of it: raise corpus.validation.tail or hash, or name a longer file.',
    );
  }
  if (rows.filled > 0) yield microBatch(rows);
}

/** Tokens of validation documents that are packed together. */
const validationTokens = 2 ** 18;

type Windows = Pick<Block, 'windows' | 'tokenIds' | 'lossMask' | 'packed'>;

/**
 * Windows of T + 1 tokens, one at a time, each beginning with the last token of the one before; the last may be short.
 */
async function* consecutiveWindows(
  chunks: AsyncIterable<TokenChunk>,
  contextLength: number,
): AsyncGenerator<Windows, void, void> {
  const tokenIds = new Int32Array(contextLength + 1);
  let lossMask: Uint8Array | null = null;
  let filled = 0;
  for await (const chunk of chunks) {
    if (chunk.lossMask !== null) lossMask ??= new Uint8Array(contextLength + 1).fill(1);
    for (let at = 0; at < chunk.tokenIds.length; ) {
      const taken = Math.min(chunk.tokenIds.length - at, tokenIds.length - filled);
      tokenIds.set(chunk.tokenIds.subarray(at, at + taken), filled);
      if (chunk.lossMask === null) lossMask?.fill(1, filled, filled + taken);
      else lossMask!.set(chunk.lossMask.subarray(at, at + taken), filled);
      filled += taken;
      at += taken;
      if (filled < tokenIds.length) continue;
      yield { windows: 1, tokenIds, lossMask, packed: null };
      tokenIds[0] = tokenIds[contextLength]!; // the last target is the next window's first input, and no target of it
      filled = 1;
    }
  }
  if (filled > 1)
    yield {
      windows: 1,
      tokenIds: tokenIds.subarray(0, filled),
      lossMask: lossMask?.subarray(0, filled) ?? null,
      packed: null,
    };
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
    if (batch.lossMask[i] !== 0) bytes += tokenizer.byteLengths[batch.targets[i]!]!;
  }
  return { tokens: batch.targetCount, bytes };
}

interface Rows {
  contextLength: number;
  inputs: Int32Array;
  targets: Int32Array;
  lossMask: Float32Array;
  positions: Int32Array | undefined;
  targetCount: number;
  tokenCount: number;
  /** Rows that hold a window. */
  filled: number;
}

function emptyRows(microBatchSize: number, contextLength: number, packing: Packing = 'concatenate'): Rows {
  const places = microBatchSize * contextLength;
  return {
    contextLength,
    inputs: new Int32Array(places),
    targets: new Int32Array(places),
    lossMask: new Float32Array(places),
    positions: packing === 'documents' ? new Int32Array(places) : undefined,
    targetCount: 0,
    tokenCount: 0,
    filled: 0,
  };
}

/**
 * Puts a window into the next row, its pieces side by side. The only place where targets are shifted: at every place
 * the target is the token after the input, so the last token of a piece is a target and no input. The loss is taken
 * where the loss mask of the window has a 1.
 * @returns false, and adds nothing, where none is
 */
function addWindow(rows: Rows, { tokenIds, lossMask: tokenMask, packed }: Windows, window: number): boolean {
  const { contextLength, inputs, targets, lossMask, positions } = rows;
  const pieces = piecesOf({ packed }, window, contextLength);
  if (
    tokenMask !== null &&
    !pieces.some(({ startToken, endToken }) => tokenMask.subarray(startToken + 1, endToken).includes(1))
  )
    return false;
  let place = rows.filled * contextLength;
  for (const { startToken, endToken } of pieces) {
    const ids = tokenIds.subarray(startToken, endToken);
    const places = ids.length - 1;
    inputs.set(ids.subarray(0, places), place);
    targets.set(ids.subarray(1), place);
    if (tokenMask === null) lossMask.fill(1, place, place + places);
    else lossMask.set(tokenMask.subarray(startToken + 1, endToken), place);
    rows.targetCount +=
      tokenMask === null ? places : tokenMask.subarray(startToken + 1, endToken).reduce((sum, value) => sum + value, 0);
    rows.tokenCount += places;
    if (positions !== undefined) for (let t = 0; t < places; t++) positions[place + t] = t;
    place += places;
  }
  rows.filled++;
  return true;
}

function microBatch({
  inputs,
  targets,
  lossMask,
  positions,
  targetCount,
  tokenCount,
}: Rows): Omit<TrainingBatch, 'cursor'> {
  return { inputs, targets, lossMask, ...(positions && { positions }), targetCount, tokenCount };
}
