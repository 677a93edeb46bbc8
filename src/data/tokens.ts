/** The text of a stretch of the corpus as a stream of token ids, with positions in bytes. Row 5 of the walk. */
import { characterStart, placeInFile } from './corpus.ts';
import type { ByteRange, Corpus } from './corpus.ts';
import type { Tokenizer } from './tokenizers/tokenizer.ts';
import { utf8Chunks } from './utf8Chunks.ts';
import type { ReadOptions } from './utf8Chunks.ts';

export interface TokenChunk {
  /** Position in the corpus of the first byte of the first token. */
  readonly startByte: number;
  /** At least one. */
  readonly tokenIds: Int32Array;
}

/**
 * The tokens that begin in `range`. A range may begin inside a character where a token begins there too (`bytes`);
 * it ends at a character border.
 * @throws wrongInput for bad UTF-8, an unreadable file, or a character that the vocabulary lacks.
 */
export async function* tokenChunks(
  corpus: Pick<Corpus, 'files'>,
  range: ByteRange,
  tokenizer: Tokenizer,
  options?: ReadOptions,
): AsyncGenerator<TokenChunk, void, void> {
  const wholeCharacters = { ...range, startByte: await characterStart(corpus, range.startByte) };
  for await (const { file, startByte, bytes } of utf8Chunks(corpus, wholeCharacters, options)) {
    const tokenIds = tokenizer.encodeUtf8(bytes, {
      place: (index) => `at ${placeInFile(file, startByte + index)}`,
      remedy: 'The corpus is not the one whose vocabulary was counted: restore it, or start a new run.',
    });
    const first = tokensBefore(tokenIds, tokenizer, range.startByte - startByte);
    if (first < tokenIds.length) {
      yield { startByte: Math.max(startByte, range.startByte), tokenIds: tokenIds.subarray(first) };
    }
  }
}

/** How many tokens a stretch of the corpus has. A pass over it, but none for `bytes`. */
export async function countTokens(
  corpus: Pick<Corpus, 'files'>,
  range: ByteRange,
  tokenizer: Tokenizer,
  options?: ReadOptions,
): Promise<number> {
  if (tokenizer.kind === 'bytes') return range.endByte - range.startByte;
  let tokens = 0;
  for await (const { tokenIds } of tokenChunks(corpus, range, tokenizer, options)) tokens += tokenIds.length;
  return tokens;
}

/** Bytes of text that the tokens stand for. */
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
