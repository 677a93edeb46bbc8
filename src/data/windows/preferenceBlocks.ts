/**
 * Stage: token windows. Preference pairs: a window is a pair: two rows of T positions, the conversation with the
 * chosen completion and the one with the rejected completion, each from its start and padded at its end.
 *
 * A conversation of more than T + 1 tokens is cut there (TRL's `max_length` of T + 1, `keep_start`). A pair whose
 * prompt leaves no room for a completion is left out.
 *
 * A block is the unit of shuffling: consecutive pairs that together fit in `shuffleTokens` tokens, but at least one.
 */
import type { TokenChunk } from '../tokens/tokens.ts';
import { hasTarget } from './windows.ts';
import type { Block } from './windows.ts';

interface PreferenceBlockOptions {
  readonly contextLength: number;
  readonly shuffleTokens: number;
  /** Index of the block that the chunks start with. */
  readonly firstBlock: number;
  /** Incremented while reading. */
  readonly counts?: PairCounts | undefined;
}

export interface PairCounts {
  /** Pairs of which a conversation is longer than a row and was cut. */
  truncatedPairs: number;
  /** Pairs without a target that counts: the prompt fills the row. */
  omittedPairs: number;
  /** Tokens in no window: what was cut, and those of pairs left out. */
  leftoverTokens: number;
}

/** @param chunks two for each pair, each a whole conversation */
export async function* preferenceBlocks(
  chunks: AsyncIterable<TokenChunk>,
  { contextLength, shuffleTokens, firstBlock, counts }: PreferenceBlockOptions,
): AsyncGenerator<Block, void, void> {
  let index = firstBlock;
  let rows: TokenChunk[] = [];
  let tokens = 0;
  let chosen: TokenChunk | undefined;
  for await (const chunk of chunks) {
    if (chosen === undefined) {
      chosen = chunk;
      continue;
    }
    const pair = [fitted(chosen, contextLength), fitted(chunk, contextLength)];
    const whole = chosen.tokenIds.length + chunk.tokenIds.length;
    chosen = undefined;
    const kept = pair.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
    const isScored = pair.some(({ tokenIds, lossMask }) =>
      hasTarget({ startToken: 0, endToken: tokenIds.length }, lossMask),
    );
    if (counts) {
      counts.leftoverTokens += isScored ? whole - kept : whole;
      if (!isScored) counts.omittedPairs++;
      else if (kept < whole) counts.truncatedPairs++;
    }
    if (!isScored) continue;
    if (rows.length > 0 && tokens + kept > shuffleTokens) {
      yield blockOf(rows, tokens, index++);
      rows = [];
      tokens = 0;
    }
    rows.push(...pair);
    tokens += kept;
  }
  if (rows.length > 0) yield blockOf(rows, tokens, index);
}

const fitted = (chunk: TokenChunk, contextLength: number): TokenChunk => ({
  ...chunk,
  tokenIds: chunk.tokenIds.subarray(0, contextLength + 1),
  lossMask: chunk.lossMask?.subarray(0, contextLength + 1) ?? null,
});

/** A block begins where its first pair does. @param tokens of all rows */
function blockOf(rows: readonly TokenChunk[], tokens: number, index: number): Block {
  const tokenIds = new Int32Array(tokens);
  const lossMask = new Uint8Array(tokens);
  const [startTokens, endTokens]: [number[], number[]] = [[], []];
  let at = 0;
  for (const row of rows) {
    tokenIds.set(row.tokenIds, at);
    lossMask.set(row.lossMask!, at);
    startTokens.push(at);
    endTokens.push((at += row.tokenIds.length));
  }
  const windows = rows.length / 2;
  return {
    ...{ startByte: rows[0]!.startByte, index, windows, tokenIds, lossMask },
    packed: {
      pieces: Uint32Array.from(rows, (_, row) => row),
      firstPiece: Uint32Array.from({ length: windows + 1 }, (_, window) => 2 * window),
      ...{ startTokens, endTokens },
    },
  };
}
