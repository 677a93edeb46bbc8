/**
 * Stage: token windows (`corpus.packing: documents`; windows.ts is the other form). Packs whole documents into windows
 * of T positions. The pieces in a window neither attend to each other nor predict each other's tokens.
 *
 * A document whose first token counts towards the loss gets an end-of-text before it, so that this token is a target
 * too, as it is under `concatenate`. A document of more than T + 1 tokens is cut into pieces that share a token, the
 * last target of one and the first input of the next, so that every token is a target exactly once. Pieces in which no
 * target counts towards the loss (prompts) are left out.
 *
 * A block is the unit of packing and shuffling: consecutive pieces that together fit in `shuffleTokens` tokens. Packing
 * depends only on them, so a cursor needs to name only the block.
 */
import { bestFit } from './bestFit.ts';
import type { Tokenizer } from '../tokenizers/tokenizer.ts';
import { positionOf } from '../tokens/tokens.ts';
import type { TokenChunk, TokenPosition } from '../tokens/tokens.ts';
import { hasTarget } from './windows.ts';
import type { Block } from './windows.ts';

interface DocumentBlockOptions {
  readonly contextLength: number;
  readonly shuffleTokens: number;
  /** Index of the block that the chunks start with. */
  readonly firstBlock: number;
  /** Whether the chunks start inside a document, with the token that two pieces of it share. */
  readonly insideDocument: boolean;
  /** Incremented while reading. */
  readonly counts?: PackingCounts | undefined;
}

interface PackingCounts {
  /** Documents longer than a window. */
  splitDocuments: number;
  /** Tokens in no window: pieces of long prompts without a completion, and single tokens, which have no target. */
  leftoverTokens: number;
}

/** The blocks of one epoch, from `firstBlock` on. Each has its own memory and at least one window. */
export async function* documentBlocks(
  chunks: AsyncIterable<TokenChunk>,
  tokenizer: Pick<Tokenizer, 'byteLengths' | 'endOfText'>,
  options: DocumentBlockOptions,
): AsyncGenerator<Block, void, void> {
  const { contextLength, firstBlock, counts } = options;
  const longestPiece = contextLength + 1;
  let isInside = options.insideDocument;
  let isSplit = isInside;
  let index = firstBlock;
  let pieces = openPieces(Math.max(options.shuffleTokens, longestPiece));
  let position: TokenPosition | undefined;
  let beginsInside = isInside;
  let before: TokenChunk | undefined;
  const closed = (): Block[] => {
    const block = pieces.packed(contextLength);
    const inside = beginsInside ? { insideDocument: true as const } : {};
    return block === null ? [] : [{ ...position!, ...inside, index, ...block }];
  };
  const openNext = (next: TokenPosition, inside: boolean): void => {
    index++;
    pieces = openPieces(Math.max(options.shuffleTokens, longestPiece));
    position = next;
    beginsInside = inside;
  };
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.tokenIds.length; ) {
      position ??= positionOf(chunk, at, tokenizer);
      if (!isInside) {
        if (!pieces.hasRoom(longestPiece)) {
          yield* closed();
          openNext(positionOf(chunk, at, tokenizer), false);
        }
        pieces.begin(tokenBefore(chunk, at, tokenizer));
        isInside = true;
        isSplit = false;
      } else if (pieces.openTokens() === longestPiece) {
        const shared = pieces.last();
        pieces.end(counts);
        if (pieces.hasRoom(longestPiece)) pieces.continue();
        else {
          yield* closed();
          // The next block starts with the token before this one, which may be in the chunk before.
          openNext(
            at > 0 ? positionOf(chunk, at - 1, tokenizer) : positionOf(before!, before!.tokenIds.length - 1, tokenizer),
            true,
          );
          pieces.begin(shared);
        }
        if (!isSplit && counts) counts.splitDocuments++;
        isSplit = true;
      }
      const taken = Math.min(chunk.tokenIds.length - at, longestPiece - pieces.openTokens());
      pieces.add(chunk.tokenIds.subarray(at, at + taken), chunk.lossMask?.subarray(at, at + taken) ?? null);
      at += taken;
    }
    if (chunk.endsDocument && isInside) {
      pieces.end(counts);
      isInside = false;
    }
    before = chunk;
  }
  if (isInside) pieces.end(counts);
  yield* closed();
}

/**
 * The token put before a document that begins with token `index` of a chunk, so that this token is a target too; or
 * null.
 */
function tokenBefore(
  { tokenIds, lossMask }: TokenChunk,
  index: number,
  { byteLengths, endOfText }: Pick<Tokenizer, 'byteLengths' | 'endOfText'>,
): number | null {
  const isText = byteLengths[tokenIds[index]!] !== 0; // a special token can start a text itself
  return isText && (lossMask?.[index] ?? 1) === 1 ? endOfText : null;
}

/** The same tokens, with an end-of-text before documents as in packing, and marks where a new text starts. */
export async function* documentsApart(
  chunks: AsyncIterable<TokenChunk>,
  tokenizer: Pick<Tokenizer, 'byteLengths' | 'endOfText'>,
): AsyncGenerator<{ tokenIds: Int32Array; lossMask: Uint8Array | null; startsText: boolean }, void, void> {
  let isInside = false;
  for await (const chunk of chunks) {
    const before = isInside ? null : tokenBefore(chunk, 0, tokenizer);
    if (before !== null) yield { tokenIds: Int32Array.of(before), lossMask: null, startsText: true };
    yield { tokenIds: chunk.tokenIds, lossMask: chunk.lossMask, startsText: !isInside && before === null };
    isInside = !chunk.endsDocument;
  }
}

/** Collects the pieces of a block of at most `maximumTokens` tokens. */
function openPieces(maximumTokens: number) {
  let tokenIds = new Int32Array(Math.min(maximumTokens, 4096));
  let lossMask: Uint8Array | null = null;
  let filled = 0;
  let pieceStart = 0; // of the open piece
  let ownTokens = 0; // of the open piece, without a first token that is context only
  const startTokens: number[] = [];
  const endTokens: number[] = [];
  const grow = (tokens: number): void => {
    if (tokens <= tokenIds.length) return;
    const size = Math.min(maximumTokens, Math.max(tokens, 2 * tokenIds.length));
    const [largerIds, largerMask] = [new Int32Array(size), lossMask && new Uint8Array(size).fill(1)];
    largerIds.set(tokenIds);
    largerMask?.set(lossMask!);
    [tokenIds, lossMask] = [largerIds, largerMask];
  };
  return {
    hasRoom: (tokens: number): boolean => filled + tokens <= maximumTokens,
    openTokens: (): number => filled - pieceStart,
    /** Begins a piece, perhaps with a token that is context only. */
    begin: (first: number | null): void => {
      pieceStart = filled;
      if (first === null) return;
      grow(filled + 1);
      tokenIds[filled++] = first;
    },
    /** Begins a piece at the last token of the piece before. */
    continue: (): void => {
      pieceStart = filled - 1;
    },
    add: (ids: Int32Array, idsMask: Uint8Array | null): void => {
      grow(filled + ids.length);
      tokenIds.set(ids, filled);
      if (idsMask !== null) (lossMask ??= new Uint8Array(tokenIds.length).fill(1)).set(idsMask, filled);
      filled += ids.length;
      ownTokens += ids.length;
    },
    last: (): number => tokenIds[filled - 1]!,
    end: (counts: PackingCounts | undefined): void => {
      const piece = { startToken: pieceStart, endToken: filled };
      if (filled - pieceStart >= 2 && hasTarget(piece, lossMask)) {
        startTokens.push(pieceStart);
        endTokens.push(filled);
      } else if (counts) counts.leftoverTokens += ownTokens;
      ownTokens = 0;
    },
    packed: (contextLength: number): Omit<Block, 'index' | 'startByte' | 'skipTokens'> | null => {
      if (startTokens.length === 0) return null;
      const packed = bestFit(
        startTokens.map((start, piece) => endTokens[piece]! - start - 1),
        contextLength,
      );
      const windows = packed.firstPiece.length - 1;
      return { windows, tokenIds, lossMask, packed: { ...packed, startTokens, endTokens } };
    },
  };
}
