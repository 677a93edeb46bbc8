/**
 * The interface of tokenizers: text to token ids and back. The kinds are in the files beside this one; tokenizerFile.ts
 * reads and writes them.
 */
import { z } from 'zod';
import { wrongInput } from '../../errors.ts';

/** Text to token ids and back. */
export interface Tokenizer {
  readonly kind: 'bytes' | 'characters' | 'bpe';
  /** Token ids are 0 … vocabularySize − 1. */
  readonly vocabularySize: number;
  /**
   * UTF-8 bytes of each token's text, by id; 0 for special tokens. The bytes of a text's tokens add up to its bytes,
   * unless the tokenizer changes the text first (normalization, the space that SentencePiece puts before it).
   */
  readonly byteLengths: Uint16Array;
  /** The id that ends a document, or null. Text is not encoded to it unless `specialTokens` is set. */
  readonly endOfText: number | null;
  /** Further ids that end a completion, e.g. the end of a turn. */
  readonly otherEnds: readonly number[];
  /** Ids below `vocabularySize` that no token has. They are never drawn. */
  readonly unusedIds: readonly number[];
  /** How chats are written for the model; null if it has no format of its own. */
  readonly chat: ChatFormat | null;
  /** The UTF-8 that a token spells, also of a special one; empty for an unused id. */
  spelling(tokenId: number): Uint8Array;
  /**
   * Encodes one whole text, with the tokens that the tokenizer puts before and after every text, if any.
   * @throws wrongInput for a lone surrogate, or text that is not in the vocabulary
   */
  encode(text: string, options?: EncodeOptions): Int32Array;
  /**
   * Encodes one whole document: faster than `encode` for files. `utf8` is well formed and of whole characters.
   * @throws wrongInput naming text that is not in the vocabulary, with location and remedy from `origin`
   */
  encodeUtf8(utf8: Uint8Array, origin: TextOrigin): Int32Array;
  /**
   * Encodes a document that comes in chunks, without a token after it. The ids of all chunks together are those of the
   * whole document, however it is cut, if the caller puts the rest of a chunk (`utf8` from `bytes` on) before the next
   * chunk.
   * @throws wrongInput as `encodeUtf8`
   */
  encodeChunk(utf8: Uint8Array, part: DocumentPart, origin: TextOrigin): EncodedChunk;
  /**
   * How many bytes of a chunk `encodeChunk` would encode if the document does not end with it. Very cheap.
   */
  certainBytes(utf8: Uint8Array): number;
  /** @throws wrongInput for a token id that is not in the vocabulary */
  decode(tokenIds: ArrayLike<number>, options?: DecodeOptions): string;
  /** Decodes a completion while it is being generated. */
  decoder(options?: DecodeOptions): StreamingDecoder;
  /** The content of its file, from which `tokenizerFromFile` makes the same tokenizer. */
  toJSON(): object;
}

/** See `ChatFormat`. */
export const chatFormat = z.strictObject({ template: z.string(), specialTokens: z.record(z.string(), z.string()) });

/**
 * The Jinja template of a model's chats, and the spellings of the special tokens that it may write by the names that
 * templates know: `bos_token`, `eos_token`, …
 */
export type ChatFormat = Readonly<z.output<typeof chatFormat>>;

export interface EncodeOptions {
  /** Text that spells a special token becomes that token; by default it is ordinary text. */
  readonly specialTokens?: boolean;
  /** The text is to be continued, so no token that the tokenizer puts after a text follows it. */
  readonly isContinued?: boolean;
  /** The text is that of a rendered chat, as in `DocumentPart`. */
  readonly isChat?: boolean;
}

export interface DecodeOptions {
  /** Special tokens are spelled out; by default they decode to nothing. */
  readonly specialTokens?: boolean;
  /** The tokens continue a text, so a leading space belongs to it and was not put there by SentencePiece. */
  readonly continuesText?: boolean;
}

export interface DocumentPart {
  /** The document starts with this chunk. Stays true until a chunk has yielded tokens. */
  readonly startsText: boolean;
  /** The document ends with this chunk. */
  readonly endsText: boolean;
  /** A rendered chat: its text spells its special tokens, and the tokenizer puts none before or after it. */
  readonly isChat?: boolean | undefined;
}

export interface EncodedChunk {
  readonly tokenIds: Int32Array;
  /**
   * How many bytes of the chunk are encoded: all if the document ends, else at least one if the chunk has
   * `longestHeldBytes`. Encoding can restart there, with `startsText: false` and equal ids.
   */
  readonly bytes: number;
}

/** A chunk of this many bytes always yields tokens, so that a reader does not have to keep more. */
export const longestHeldBytes = 65_536;

/** For messages about text that cannot be encoded. */
export interface TextOrigin {
  /** Where the byte at `index` of the text is, e.g. "at byte 17 of a.txt". */
  location(index: number): string;
  readonly remedy: string;
}

/** The returned texts, joined, are `decode` of all ids written. */
export interface StreamingDecoder {
  /** The text that is complete after this token; empty while a character is incomplete. */
  write(tokenId: number): string;
  /** The rest of the text; U+FFFD for a character that was never completed. */
  end(): string;
}

export const tokenizerFormat = 'clm-tokenizer';
export const tokenizerVersion = 1;

/** The spelling of the special token that ends a document in clm's own tokenizers. */
export const endOfTextToken = '<|endoftext|>';

/** Half of a UTF-16 surrogate pair without the other half: not a character, and not encodable as UTF-8. */
export const loneSurrogate = /\p{Surrogate}/u;

/** @throws wrongInput for a text with a lone surrogate, which UTF-8 cannot encode */
export function refuseLoneSurrogates(text: string): void {
  const index = text.search(loneSurrogate);
  if (index < 0) return;
  const code = text.charCodeAt(index).toString(16).toUpperCase();
  throw wrongInput(`The text is not well formed: a lone surrogate (U+${code}) at character ${countOf(text, index)}.`);
}

/** The number of characters before `index`, which counts UTF-16 units. */
const countOf = (text: string, index: number): number => [...text.slice(0, index)].length;

/** The origin of a text from the command line or the API. */
export const originOfText = (utf8: Buffer, remedy: string): TextOrigin => ({
  location: (index) => `at character ${[...utf8.toString('utf8', 0, index)].length} of the text`,
  remedy,
});

/** @throws wrongInput for an id outside of the vocabulary */
export function checkTokenId(tokenId: number, vocabularySize: number): void {
  if (Number.isInteger(tokenId) && tokenId >= 0 && tokenId < vocabularySize) return;
  throw wrongInput(`${tokenId} is not a token id: the vocabulary has the ids 0 … ${vocabularySize - 1}.`);
}
