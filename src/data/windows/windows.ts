/**
 * Stage: token windows (`corpus.packing: concatenate`; documentBlocks.ts is the other form) and shuffle order. Cuts the
 * tokens of an epoch into windows and groups the windows into blocks.
 *
 * A window has T + 1 tokens (T = contextLength): T inputs and, shifted by one, T targets. Windows advance by T, so
 * neighbours share a token and every token after the first of an epoch is a target exactly once. Each epoch starts at a
 * random offset below T, so that the cuts differ from epoch to epoch. The tokens before the offset, and those at the
 * end that do not fill a window, are left out: fewer than T at each end.
 *
 * A block is the unit of shuffling: consecutive windows that together fit in `shuffleTokens` tokens, but at least one.
 * Only the last block of an epoch may have fewer.
 */
import { wrongInput } from '../../errors.ts';
import { randomStream } from '../../random.ts';
import type { PackedWindows } from './bestFit.ts';
import type { Tokenizer } from '../tokenizers/tokenizer.ts';
import { positionOf } from '../tokens/tokens.ts';
import type { TokenChunk, TokenPosition } from '../tokens/tokens.ts';

/** Its position is where reading of the block starts; see `Cursor`. */
export interface Block extends TokenPosition {
  /** Number of the block within its epoch. */
  readonly index: number;
  readonly windows: number;
  readonly tokenIds: Int32Array;
  /** 1 for each token that counts towards the loss, 0 for those of prompts; null if all count. */
  readonly lossMask: Uint8Array | null;
  /** Where the windows are in `tokenIds`; null if they are consecutive: window w is the T + 1 ids from w · T. */
  readonly packed: PackedPieces | null;
  /** Whether the block begins inside a document; its first token is then context only, not a target. */
  readonly insideDocument?: true | undefined;
}

/** Pieces of documents, and which of them share a window. */
interface PackedPieces extends PackedWindows {
  /** For each piece: its first token in the block, and the token after its last. */
  readonly startTokens: ArrayLike<number>;
  readonly endTokens: ArrayLike<number>;
}

/** 2 … T + 1 consecutive tokens of a block, in one window, that cannot attend to the other pieces of that window. */
export interface Piece {
  readonly startToken: number;
  readonly endToken: number;
}

/** The pieces in a window: one that fills it, or pieces of documents. */
export function piecesOf({ packed }: Pick<Block, 'packed'>, window: number, contextLength: number): Piece[] {
  if (packed === null) return [{ startToken: window * contextLength, endToken: (window + 1) * contextLength + 1 }];
  const { pieces, firstPiece, startTokens, endTokens } = packed;
  return Array.from(pieces.subarray(firstPiece[window], firstPiece[window + 1]), (piece) => ({
    startToken: startTokens[piece]!,
    endToken: endTokens[piece]!,
  }));
}

/** Whether a target of a piece counts towards the loss. */
export const hasTarget = ({ startToken, endToken }: Piece, lossMask: Uint8Array | null): boolean =>
  lossMask === null || lossMask.subarray(startToken + 1, endToken).includes(1);

/** Windows of a full block. */
export function windowsPerBlock(contextLength: number, shuffleTokens: number): number {
  return Math.max(1, Math.floor((shuffleTokens - 1) / contextLength));
}

/**
 * Tokens skipped at the start of an epoch, in [0, T). For a short text, modulo the number of possible offsets, so that
 * every epoch has a window.
 * @param tokens of the training text, at least T + 1
 */
export function windowOffset(seed: number, epoch: number, contextLength: number, tokens: number): number {
  return drawnOffset(seed, epoch, contextLength) % (tokens - contextLength);
}

const drawnOffset = (seed: number, epoch: number, contextLength: number): number =>
  randomStream(seed, 'window offset', epoch).below(contextLength);

/** Windows of one epoch; differs by at most one from epoch to epoch. `tokens` as in `windowOffset`. */
export function windowsInEpoch(seed: number, epoch: number, contextLength: number, tokens: number): number {
  return Math.floor((tokens - windowOffset(seed, epoch, contextLength, tokens) - 1) / contextLength);
}

/**
 * The order in which the windows of a block are trained on: a permutation of 0 … windows − 1 that depends only on the
 * arguments (Fisher–Yates; Knuth, The Art of Computer Programming, volume 2, algorithm 3.4.2P).
 */
export function windowOrder(seed: number, epoch: number, block: number, windows: number): Uint32Array {
  const order = new Uint32Array(windows);
  for (let window = 0; window < windows; window++) order[window] = window;
  const random = randomStream(seed, 'shuffle', epoch, block);
  for (let last = windows - 1; last > 0; last--) {
    const other = random.below(last + 1);
    const window = order[last]!;
    order[last] = order[other]!;
    order[other] = window;
  }
  return order;
}

interface BlockOptions {
  readonly seed: number;
  readonly epoch: number;
  readonly contextLength: number;
  readonly shuffleTokens: number;
  /** Index of the block that `chunks` start with. */
  readonly firstBlock: number;
  /** Upper bound on the tokens of `chunks`, so that a short text does not allocate a full block. */
  readonly maximumTokens: number;
}

/**
 * The blocks of one epoch, from `firstBlock` on. Each has its own memory.
 * @param chunks the tokens from the start of the training text if `firstBlock` is 0, else from that block's first token
 * @throws wrongInput for a training text that is shorter than a window
 */
export async function* epochBlocks(
  chunks: AsyncIterable<TokenChunk>,
  tokenizer: Tokenizer,
  options: BlockOptions,
): AsyncGenerator<Block, void, void> {
  const { contextLength, firstBlock, maximumTokens } = options;
  const windows = windowsPerBlock(contextLength, options.shuffleTokens);
  // Block 0 also reads the tokens before the offset: a text that is too short for the offset needs them.
  let offset = firstBlock === 0 ? drawnOffset(options.seed, options.epoch, contextLength) : 0;
  const blockTokens = windows * contextLength + 1;
  let index = firstBlock;
  let buffer = new Int32Array(Math.min(offset + blockTokens, maximumTokens));
  let lossMask: Uint8Array | null = null;
  let filled = 0;
  let position: TokenPosition | undefined;
  let tokensLeft = maximumTokens;
  let before: TokenChunk | undefined;
  for await (const chunk of chunks) {
    position ??= positionOf(chunk, 0, tokenizer);
    if (chunk.lossMask !== null) lossMask ??= new Uint8Array(buffer.length).fill(1);
    for (let at = 0; at < chunk.tokenIds.length; ) {
      if (filled === offset + blockTokens) {
        yield {
          ...position,
          index,
          windows,
          tokenIds: buffer.subarray(offset),
          lossMask: lossMask?.subarray(offset) ?? null,
          packed: null,
        };
        const lastToken = buffer[filled - 1]!;
        // The first token of a block is the last token of the block before, which may be in the chunk before.
        position =
          at > 0 ? positionOf(chunk, at - 1, tokenizer) : positionOf(before!, before!.tokenIds.length - 1, tokenizer);
        offset = 0;
        index++;
        buffer = new Int32Array(Math.min(blockTokens, tokensLeft + 1));
        if (lossMask !== null) lossMask = new Uint8Array(buffer.length).fill(1);
        buffer[0] = lastToken;
        filled = 1;
      }
      const taken = Math.min(chunk.tokenIds.length - at, offset + blockTokens - filled);
      buffer.set(chunk.tokenIds.subarray(at, at + taken), filled);
      if (chunk.lossMask !== null) lossMask!.set(chunk.lossMask.subarray(at, at + taken), filled);
      filled += taken;
      at += taken;
      tokensLeft -= taken;
    }
    before = chunk;
  }
  if (index === 0) {
    if (filled <= contextLength) throw tooShort(filled, contextLength);
    offset %= filled - contextLength;
  }
  const left = Math.floor((filled - offset - 1) / contextLength);
  if (left > 0) {
    yield {
      ...position!,
      index,
      windows: left,
      tokenIds: buffer.subarray(offset, filled),
      lossMask: lossMask?.subarray(offset, filled) ?? null,
      packed: null,
    };
  }
}

/** The error for a training text that is shorter than a window. */
export const tooShort = (tokens: number, contextLength: number): Error =>
  wrongInput(
    `The training text has ${tokens} token${tokens === 1 ? '' : 's'}, fewer than one window of ` +
      `model.contextLength + 1 = ${contextLength + 1}. Shorten model.contextLength or add text to corpus.sources.`,
  );
