/**
 * Stage: micro-batches. Rows of token windows, split into inputs and shifted targets. For training an endless shuffled
 * sequence, for validation one pass in the order of the text.
 */
import { wrongInput } from '../../errors.ts';
import { rowsPerWindow } from '../files/corpus.ts';
import type { Corpus, Packing, ReadableCorpus } from '../files/corpus.ts';
import { checkCursor, cursorAt, cursorOutsideCorpus, startCursor } from './cursor.ts';
import type { Cursor } from './cursor.ts';
import { documentBlocks } from './documentBlocks.ts';
import type { Tokenizer } from '../tokenizers/tokenizer.ts';
import type { TokenizingWorkers } from '../tokens/tokenizingWorkers.ts';
import { tokenChunks } from '../tokens/tokens.ts';
import type { TokenChunk } from '../tokens/tokens.ts';
import { noLossTokens, readAhead, trainingBlocks } from './trainingBlocks.ts';
import type { BlockSequenceOptions } from './trainingBlocks.ts';
import { preferenceBlocks } from './preferenceBlocks.ts';
import { hasTarget, piecesOf, windowOrder } from './windows.ts';
import type { Block } from './windows.ts';

/**
 * Arrays of shape (B, T), row by row (B = microBatchSize, T = contextLength). Of preference pairs (2·B, T), for each
 * pair a row with the chosen completion and one with the rejected completion.
 */
export interface MicroBatch {
  /** (B, T) token ids; 0 on padding. */
  readonly inputs: Int32Array;
  /** (B, T) the token that follows each input; 0 on padding. */
  readonly targets: Int32Array;
  /** (B, T) 1 where the target counts towards the loss, 0 on padding and prompts. */
  readonly lossMask: Float32Array;
  /**
   * (B, T) position of each input in its piece of a document, from 0; 0 on padding. Index t of a row attends to the
   * indices t − positions[t] … t only. Only with `packing: documents`.
   */
  readonly positions?: Int32Array | undefined;
  /** Targets that count towards the loss: the sum of the loss mask. */
  readonly targetCount: number;
  /** The source of a mixture that the whole micro-batch comes from; undefined if it is mixed or there is only one. */
  readonly source?: string | undefined;
}

export interface TrainingBatch extends MicroBatch {
  /** Inputs that are not padding. */
  readonly tokenCount: number;
  /** The cursor right after this micro-batch. */
  readonly cursor: Cursor;
}

interface BatchOptions {
  readonly contextLength: number;
  readonly microBatchSize: number;
  /** Bytes read from disk at a time. */
  readonly chunkBytes?: number | undefined;
  /** Threads that tokenize; undefined: the calling thread. */
  readonly workers?: TokenizingWorkers | undefined;
  /** Told what the user should know, e.g. that the token cache is damaged. */
  readonly onWarning?: ((message: string) => void) | undefined;
}

export interface TrainingBatchOptions extends BatchOptions, BlockSequenceOptions {}

/**
 * The endless training sequence from `cursor` on, or from its start. The order of the windows depends only on seed,
 * contextLength, shuffleTokens and the text. A micro-batch takes the next B windows, across the ends of blocks and
 * epochs, so none is dropped or padded. Two blocks are in memory: 2 · shuffleTokens tokens of 4 bytes. Ending the
 * generator closes its files.
 * @throws wrongInput for bad or missing text, a text shorter than a window, or a cursor of another corpus
 */
export async function* trainingBatches(
  corpus: ReadableCorpus & Pick<Corpus, 'training' | 'packing'>,
  tokenizer: Tokenizer,
  options: TrainingBatchOptions,
  cursor: Cursor = startCursor(corpus),
): AsyncGenerator<TrainingBatch, void, void> {
  checkCursor(cursor, corpus);
  const { seed, microBatchSize, contextLength, chunkBytes, workers, onWarning } = options;
  const shape = { contextLength, packing: corpus.packing };
  const stopping = new AbortController();
  const readOptions = { chunkBytes, workers, onWarning, signal: stopping.signal };
  const blocks = readAhead(trainingBlocks(corpus, tokenizer, options, cursor, readOptions), () => stopping.abort());
  const newBatch = () => emptyBatch(options, corpus.packing);
  let batch = newBatch();
  let rows = 0; // filled rows of the batch
  let hasStarted = false;
  let hasTargets = true; // whether this epoch had a target that counts towards the loss; assumed in a resumed epoch
  for await (const block of blocks) {
    const { epoch, index, startByte, skipTokens, insideDocument, windows } = block;
    let windowsTaken = hasStarted ? 0 : cursor.windowsTaken;
    if (!hasStarted && (epoch !== cursor.epoch || windowsTaken > windows)) throw cursorOutsideCorpus();
    hasStarted = true;
    if (index === 0) {
      if (!hasTargets) throw noLossTokens();
      hasTargets = windowsTaken > 0;
    }
    const order = windowOrder(seed, epoch, index, windows);
    while (windowsTaken < windows) {
      if (!addWindow(batch, rows, block, order[windowsTaken++]!, shape)) continue; // a window of prompts only
      hasTargets = true;
      if (++rows === microBatchSize) {
        const position = {
          startByte,
          ...(skipTokens !== undefined && { skipTokens }),
          ...(insideDocument && { insideDocument }),
        };
        yield { ...batch, cursor: cursorAt(cursor, { epoch, block: index, ...position, windowsTaken }) };
        batch = newBatch();
        rows = 0;
      }
    }
  }
}

/**
 * The whole validation text once, in order: every token after the first is a target exactly once. A mixture is one
 * source after the other. The last window may be short and the last micro-batch may have empty rows; the padding is
 * masked out of the loss.
 * @throws wrongInput for bad or missing text, or a validation text of one token
 */
export async function* validationBatches(
  corpus: ReadableCorpus & Pick<Corpus, 'validation' | 'hasLossMask' | 'mixture' | 'packing'>,
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
  const shape = { contextLength, packing: corpus.packing };
  const blocks =
    corpus.packing === 'preferences'
      ? preferenceBlocks(chunks, { contextLength, shuffleTokens: validationBlockTokens, firstBlock: 0 })
      : corpus.packing === 'documents'
        ? documentBlocks(chunks, tokenizer, {
            contextLength,
            shuffleTokens: validationBlockTokens,
            firstBlock: 0,
            insideDocument: false,
          })
        : consecutiveWindows(chunks, contextLength);
  const newBatch = () => emptyBatch(options, corpus.packing);
  let batch = newBatch();
  let rows = 0; // filled rows of the batch
  let isScored = false;
  for await (const block of blocks) {
    for (let window = 0; window < block.windows; window++) {
      if (!addWindow(batch, rows, block, window, shape)) continue;
      isScored = true;
      if (++rows < microBatchSize) continue;
      yield batch;
      batch = newBatch();
      rows = 0;
    }
  }
  if (!isScored) {
    throw wrongInput(
      'No token of the validation text counts towards the loss. Add text: raise corpus.validation.tail or hash, or ' +
        'name a longer file in corpus.validation.path.',
    );
  }
  if (rows > 0) yield batch;
}

/** Validation documents and pairs are in blocks of this many tokens. */
const validationBlockTokens = 2 ** 18;

type Windows = Pick<Block, 'windows' | 'tokenIds' | 'lossMask' | 'packed'>;

/**
 * Windows of T + 1 tokens, one at a time, each starting with the last token of the one before. The last may be shorter.
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
      tokenIds[0] = tokenIds[contextLength]!; // the last target of a window is the first input of the next
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
 * The number of targets that count towards the loss, and of the UTF-8 bytes of their text. Bits per byte are the sum of
 * the losses (nats) divided by bytes · ln 2.
 */
export function scoredText(
  batch: Pick<MicroBatch, 'targets' | 'lossMask' | 'targetCount'>,
  tokenizer: Pick<Tokenizer, 'byteLengths'>,
): { tokens: number; bytes: number } {
  let bytes = 0;
  for (let i = 0; i < batch.targets.length; i++) {
    if (batch.lossMask[i] !== 0) bytes += tokenizer.byteLengths[batch.targets[i]!]!;
  }
  return { tokens: batch.targetCount, bytes };
}

/** A micro-batch that is being filled. */
export interface GrowingBatch extends MicroBatch {
  targetCount: number;
  tokenCount: number;
}

export function emptyBatch(
  { microBatchSize, contextLength }: Pick<BatchOptions, 'microBatchSize' | 'contextLength'>,
  packing: Packing = 'concatenate',
): GrowingBatch {
  const length = microBatchSize * rowsPerWindow(packing) * contextLength;
  return {
    inputs: new Int32Array(length),
    targets: new Int32Array(length),
    lossMask: new Float32Array(length),
    ...(packing === 'documents' && { positions: new Int32Array(length) }),
    targetCount: 0,
    tokenCount: 0,
  };
}

/**
 * Puts a window into row `row`, its pieces side by side; a preference pair into the two rows from 2 · `row`. This is
 * the only function that shifts targets: the target of an input is the token after it, so the last token of a piece is
 * only a target.
 * @returns false, and adds nothing, if no target of the window counts towards the loss
 */
function addWindow(
  batch: GrowingBatch,
  row: number,
  { tokenIds, lossMask: tokenMask, packed }: Windows,
  window: number,
  { contextLength, packing }: { contextLength: number; packing?: Packing | undefined },
): boolean {
  const { inputs, targets, lossMask, positions } = batch;
  const pieces = piecesOf({ packed }, window, contextLength);
  if (!pieces.some((piece) => hasTarget(piece, tokenMask))) return false;
  let offset = row * rowsPerWindow(packing) * contextLength;
  for (const [i, { startToken, endToken }] of pieces.entries()) {
    if (packing === 'preferences') offset = (2 * row + i) * contextLength;
    const ids = tokenIds.subarray(startToken, endToken);
    const length = ids.length - 1;
    inputs.set(ids.subarray(0, length), offset);
    targets.set(ids.subarray(1), offset);
    if (tokenMask === null) lossMask.fill(1, offset, offset + length);
    else lossMask.set(tokenMask.subarray(startToken + 1, endToken), offset);
    for (let i = offset; i < offset + length; i++) batch.targetCount += lossMask[i]!;
    batch.tokenCount += length;
    if (positions !== undefined) for (let t = 0; t < length; t++) positions[offset + t] = t;
    offset += length;
  }
  return true;
}
