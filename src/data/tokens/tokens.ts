/**
 * Stage: token ids. The tokens of a part of the corpus, from the token cache or the text, as a stream that can be
 * resumed at any token.
 */
import { rm } from 'node:fs/promises';

import type { CorpusPart, ReadableCorpus } from '../files/corpus.ts';
import { encodedText } from './encodedText.ts';
import type { EncodedText, EncodeOptions } from './encodedText.ts';
import { characterStart } from '../files/validationSplit.ts';
import { tokenFileOf } from './tokenCache.ts';
import { readTokenFile } from './tokenCacheFile.ts';
import type { Tokenizer } from '../tokenizers/tokenizer.ts';

/** The position of a token: reading starts at `startByte` of the corpus and skips `skipTokens` tokens. */
export interface TokenPosition {
  readonly startByte: number;
  readonly skipTokens?: number | undefined;
}

export interface TokenChunk extends TokenPosition, EncodedText {
  /** Whether the byte lengths of tokens give their positions, so that reading can start at any token. */
  readonly isExact: boolean;
}

/**
 * The tokens of `part` without the first `skipTokens`. If the corpus has documents and the tokenizer an end-of-text
 * token, it follows every document. With `bytes`, a part of running text may start inside a character; it ends between
 * characters.
 * @throws wrongInput for unreadable text, or a character that is not in the vocabulary
 */
export async function* tokenChunks(
  corpus: ReadableCorpus,
  part: CorpusPart & { readonly skipTokens?: number | undefined },
  tokenizer: Tokenizer,
  options?: EncodeOptions,
): AsyncGenerator<TokenChunk, void, void> {
  if (part.parts !== undefined) {
    for (const one of part.parts) yield* tokenChunks(corpus, one, tokenizer, options);
    return;
  }
  const isRunning = corpus.separatesDocuments !== true;
  const isExact = isRunning && tokenizer.kind !== 'bpe' && (corpus.encodingErrors ?? 'error') === 'error';
  let skip = part.skipTokens ?? 0;
  for await (const text of cachedOrEncoded(corpus, part, tokenizer, isExact, options)) {
    const chunk = { ...text, isExact };
    const first = isExact
      ? tokensBefore(chunk.tokenIds, tokenizer, part.startByte - chunk.startByte)
      : Math.min(skip, chunk.tokenIds.length);
    if (!isExact) skip -= first;
    if (first >= chunk.tokenIds.length) continue;
    if (first === 0) yield chunk;
    else {
      const position = isExact
        ? { startByte: Math.max(chunk.startByte, part.startByte) }
        : { startByte: chunk.startByte, skipTokens: first };
      yield {
        ...chunk,
        ...position,
        startsDocument: false,
        tokenIds: chunk.tokenIds.subarray(first),
        lossMask: chunk.lossMask?.subarray(first) ?? null,
      };
    }
  }
}

/** From the token cache; from the text without a cache, or from where it is damaged on. */
async function* cachedOrEncoded(
  corpus: ReadableCorpus,
  part: CorpusPart,
  tokenizer: Tokenizer,
  isExact: boolean,
  options?: EncodeOptions,
): AsyncGenerator<EncodedText, void, void> {
  let from = part.startByte;
  const file = tokenFileOf(corpus, part);
  if (file !== undefined) {
    const damagedFrom = yield* readTokenFile(file, from, isExact);
    if (damagedFrom === null) return;
    from = damagedFrom;
    await rm(file, { force: true }).catch(() => undefined); // the next run rebuilds it
    options?.onWarning?.(
      `the token cache ${file} is damaged or missing; the rest of the text is tokenized again, and the next run ` +
        'rebuilds the cache',
    );
  }
  const startByte = isExact ? await characterStart(corpus, from) : from;
  yield* encodedText(corpus, { ...part, startByte }, tokenizer, options);
}

/** The position of token `index` of a chunk. */
export function positionOf(chunk: TokenChunk, index: number, tokenizer: Pick<Tokenizer, 'byteLengths'>): TokenPosition {
  if (chunk.isExact)
    return { startByte: chunk.startByte + bytesOfTokens(chunk.tokenIds.subarray(0, index), tokenizer) };
  const skipTokens = (chunk.skipTokens ?? 0) + index;
  return skipTokens === 0 ? { startByte: chunk.startByte } : { startByte: chunk.startByte, skipTokens };
}

/** The number of tokens in a part: one pass over it, except for `bytes` of running text. */
export async function countTokens(
  corpus: ReadableCorpus,
  part: CorpusPart,
  tokenizer: Tokenizer,
  options?: EncodeOptions,
): Promise<number> {
  const isCounted = corpus.separatesDocuments !== true && (corpus.encodingErrors ?? 'error') === 'error';
  if (tokenizer.kind === 'bytes' && isCounted) {
    return (part.parts ?? [part]).reduce((sum, { startByte, endByte }) => sum + endByte - startByte, 0);
  }
  let tokens = 0;
  for await (const { tokenIds } of tokenChunks(corpus, part, tokenizer, options)) tokens += tokenIds.length;
  return tokens;
}

/** Whether any token of a part counts towards the loss. Reads up to the first one. */
export async function hasLossTokens(corpus: ReadableCorpus, part: CorpusPart, tokenizer: Tokenizer): Promise<boolean> {
  for await (const { lossMask } of tokenChunks(corpus, part, tokenizer))
    if (lossMask === null || lossMask.includes(1)) return true;
  return false;
}

/** Bytes of the tokens' text. */
export function bytesOfTokens(tokenIds: Int32Array, { byteLengths }: Pick<Tokenizer, 'byteLengths'>): number {
  let bytes = 0;
  for (let i = 0; i < tokenIds.length; i++) bytes += byteLengths[tokenIds[i]!]!;
  return bytes;
}

function tokensBefore(tokenIds: Int32Array, { byteLengths }: Tokenizer, bytes: number): number {
  let tokens = 0;
  for (let passed = 0; passed < bytes && tokens < tokenIds.length; tokens++) passed += byteLengths[tokenIds[tokens]!]!;
  return tokens;
}
