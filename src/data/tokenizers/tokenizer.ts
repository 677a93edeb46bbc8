/**
 * What a tokenizer is: text to token ids and back. Row 5 of the walk. The kinds stand beside this file; a tokenizer's
 * file on disk is read and written in tokenizerFile.ts.
 */
import { wrongInput } from '../../errors.ts';

export interface Tokenizer {
  readonly kind: 'bytes' | 'characters' | 'bpe';
  /** Token ids are 0 … vocabularySize − 1. */
  readonly vocabularySize: number;
  /**
   * UTF-8 bytes that each token id stands for; 0 for special tokens. A text has as many bytes as its tokens together,
   * unless the tokenizer changes texts before it cuts them (normalisation, the space before a text of SentencePiece).
   */
  readonly byteLengths: Uint16Array;
  /** The id that ends a document; no text is encoded to it unless asked for. null where there is none. */
  readonly endOfText: number | null;
  /**
   * One whole text. Begins with the tokens that the tokenizer puts before every text, if any.
   * @throws wrongInput where the text holds a lone surrogate, or something the vocabulary lacks.
   */
  encode(text: string, options?: EncodeOptions): Int32Array;
  /**
   * The fast way for files: one whole document. `utf8` is well formed and splits no character.
   * @throws wrongInput naming what the vocabulary lacks, its place and the remedy, both as told by `origin`.
   */
  encodeUtf8(utf8: Uint8Array, origin: TextOrigin): Int32Array;
  /**
   * A document that comes in chunks. The ids of all chunks together are those of the whole document, whatever the
   * chunks, if what is left of one (`utf8` from `bytes` on) is put before the next.
   * @throws wrongInput as `encodeUtf8`
   */
  encodeChunk(utf8: Uint8Array, part: DocumentPart, origin: TextOrigin): EncodedChunk;
  /**
   * How many bytes of a chunk `encodeChunk` would encode where the document does not end with it. Costs next to
   * nothing.
   */
  certainBytes(utf8: Uint8Array): number;
  /** @throws wrongInput for a token id that is not in the vocabulary. */
  decode(tokenIds: ArrayLike<number>, options?: DecodeOptions): string;
  /** Decodes a completion while it is being written. */
  decoder(options?: DecodeOptions): StreamingDecoder;
  /** What is kept on disk; `tokenizerFromFile` makes the same tokenizer of it. */
  toJSON(): object;
}

export interface EncodeOptions {
  /** Text that spells a special token becomes that token; by default it is text like any other. */
  readonly specialTokens?: boolean;
}

export interface DecodeOptions {
  /** Special tokens are spelt out; by default they are no text. */
  readonly specialTokens?: boolean;
  /** The tokens go on with a text: a space that SentencePiece put before a whole text is then one of the text's own. */
  readonly continuesText?: boolean;
}

export interface DocumentPart {
  /** The document begins with this chunk: so do all its chunks until one gives tokens. */
  readonly startsText: boolean;
  /** The document ends with this chunk. */
  readonly endsText: boolean;
}

export interface EncodedChunk {
  readonly tokenIds: Int32Array;
  /**
   * How much of the chunk the ids stand for: all of it where the document ends, else at least one byte if the chunk
   * has `longestHeldBytes`. Encoding may begin anew at that place, with `startsText: false` and equal ids.
   */
  readonly bytes: number;
}

/** A chunk of this many bytes always gives tokens, so that a reader need not keep more. */
export const longestHeldBytes = 65_536;

/** What can be said to the user about a text that cannot be encoded. */
export interface TextOrigin {
  /** Where the byte at `index` of the text is, e.g. "at byte 17 of a.txt". */
  location(index: number): string;
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

/** How the special token that ends a document is spelt wherever clm names it itself. */
export const endOfTextToken = '<|endoftext|>';

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

/** The origin of a text that was given by hand. */
export const originOfText = (utf8: Buffer, remedy: string): TextOrigin => ({
  location: (index) => `at character ${[...utf8.toString('utf8', 0, index)].length} of the text`,
  remedy,
});

/** @throws wrongInput for ids that a tokenizer with `vocabularySize` ids does not have. */
export function checkTokenId(tokenId: number, vocabularySize: number): void {
  if (Number.isInteger(tokenId) && tokenId >= 0 && tokenId < vocabularySize) return;
  throw wrongInput(`${tokenId} is no token id: the vocabulary has the ids 0 … ${vocabularySize - 1}.`);
}
