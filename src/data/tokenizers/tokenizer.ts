/**
 * What a tokenizer is: text to token ids and back. Row 5 of the walk. The kinds stand beside this file; a tokenizer's
 * file on disk is read and written in tokenizerFile.ts.
 */
import { wrongInput } from '../../errors.ts';

export interface Tokenizer {
  readonly kind: TokenizerFile['kind'];
  /** Token ids are 0 … vocabularySize − 1. */
  readonly vocabularySize: number;
  /** UTF-8 bytes that each token id stands for. A text has as many bytes as its tokens together. */
  readonly byteLengths: Uint8Array;
  /** @throws wrongInput where the text holds a lone surrogate, or something the vocabulary lacks. */
  encode(text: string): Int32Array;
  /**
   * The fast way for files. `utf8` is well formed and splits no character.
   * @throws wrongInput naming what the vocabulary lacks, its place and the remedy, both as told by `origin`.
   */
  encodeUtf8(utf8: Uint8Array, origin: TextOrigin): Int32Array;
  /** @throws wrongInput for a token id that is not in the vocabulary. */
  decode(tokenIds: ArrayLike<number>): string;
  /** Decodes a completion while it is being written. */
  decoder(): StreamingDecoder;
  /** What is kept on disk; `tokenizerFromFile` makes the same tokenizer of it. */
  toJSON(): TokenizerFile;
}

/** What can be said to the user about a text that cannot be encoded. */
export interface TextOrigin {
  /** The place of the byte at `index` of the text, as in "at byte 17 of a.txt". */
  place(index: number): string;
  readonly remedy: string;
}

/** The texts given out, joined, are `decode` of all ids written. */
export interface StreamingDecoder {
  /** The text that is certain after this token: empty while a character is incomplete. */
  write(tokenId: number): string;
  /** The text still held back; U+FFFD for a character that never became complete. */
  end(): string;
}

export const tokenizerFormat = 'clm-tokenizer';
export const tokenizerVersion = 1;

interface TokenizerFileHeader {
  format: typeof tokenizerFormat;
  version: typeof tokenizerVersion;
}

export interface BytesFile extends TokenizerFileHeader {
  kind: 'bytes';
}

export interface CharactersFile extends TokenizerFileHeader {
  kind: 'characters';
  /** All characters by ascending code point; a token id is a character's place in this list. */
  characters: string;
}

export type TokenizerFile = BytesFile | CharactersFile;

/** Half of a pair of UTF-16 units without the other half: no character, and nothing UTF-8 can hold. */
export const loneSurrogate = /\p{Surrogate}/u;

/** @throws wrongInput for a text that is no Unicode text, because UTF-8 has no bytes for a lone surrogate. */
export function refuseLoneSurrogates(text: string): void {
  const index = text.search(loneSurrogate);
  if (index < 0) return;
  const code = text.charCodeAt(index).toString(16).toUpperCase();
  throw wrongInput(`The text is not well formed: a lone surrogate (U+${code}) at character ${countOf(text, index)}.`);
}

/** How many characters stand before `index`, which counts UTF-16 units. */
const countOf = (text: string, index: number): number => [...text.slice(0, index)].length;

/** @throws wrongInput for ids that a tokenizer with `vocabularySize` ids does not have. */
export function checkTokenId(tokenId: number, vocabularySize: number): void {
  if (Number.isInteger(tokenId) && tokenId >= 0 && tokenId < vocabularySize) return;
  throw wrongInput(`${tokenId} is no token id: the vocabulary has the ids 0 … ${vocabularySize - 1}.`);
}
