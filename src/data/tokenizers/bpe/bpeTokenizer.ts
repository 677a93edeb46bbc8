/** The byte-pair encoding tokenizer: text → segments → words → merged tokens, and back. */
import { wrongInput } from '../../../errors.ts';
import { decodeAll } from '../bytes.ts';
import { checkTokenId, originOfText, refuseLoneSurrogates } from '../tokenizer.ts';
import type {
  ChatFormat,
  DecodeOptions,
  DocumentPart,
  EncodedChunk,
  StreamingDecoder,
  TextOrigin,
  Tokenizer,
} from '../tokenizer.ts';
import { splitsToken, splitsWhitespace, noToken, tokenCutter } from './addedTokens.ts';
import type { AddedToken, CutTokens } from './addedTokens.ts';
import { mergeTable } from './mergeTable.ts';
import type { Merge } from './mergeTable.ts';
import { segmentEnd } from './segments.ts';
import type { IsBorder } from './segments.ts';
import { wordEncoder } from './wordEncoder.ts';
import type { FirstTokens } from './wordEncoder.ts';

export interface BpeDescription {
  /** The bytes of each token, by id; undefined for an unused id. */
  readonly tokens: readonly (Uint8Array | undefined)[];
  readonly merges: readonly Merge[];
  readonly firstTokens: FirstTokens;
  /** Tokens that are used for whole words without merging, by their bytes as Latin-1; undefined for none. */
  readonly wholeWords: ReadonlyMap<string, number> | undefined;
  /** Calls `word` for each word of a piece of normalised text. */
  readonly words: (utf8: Uint8Array, start: number, end: number, word: (start: number, end: number) => void) => void;
  /**
   * Normalizes a piece of text before tokens of normalized text are cut out; `startsPiece` at the start of a text and
   * after an added token. Those tokens are searched for in their normalized spelling.
   */
  readonly normalize: ((utf8: Uint8Array, startsPiece: boolean) => Uint8Array) | undefined;
  /** Replaces ▁ in the text between added tokens, where `normalize` has not done so. */
  readonly withPlainSpaces: ((utf8: Uint8Array) => Uint8Array) | undefined;
  /** Whether a space is put before every piece between added tokens that has none, or only at the start of a text. */
  readonly firstSpace: 'always' | 'first' | 'never';
  /** Whether `normalize` makes ▁ of spaces, for which plain spaces stand here. */
  readonly normalizesSpaces: boolean;
  readonly isBorder: IsBorder;
  readonly addedTokens: readonly AddedToken[];
  /** Ids that every text starts with. */
  readonly startTokenIds: readonly number[];
  /** Whether `endOfText` follows every text that is not continued. */
  readonly endsTexts: boolean;
  readonly endOfText: number | null;
  readonly otherEnds: readonly number[];
  readonly chat: ChatFormat | null;
  /** Whether decoding drops a leading space, because `normalize` put it there. */
  readonly dropsFirstSpace: boolean;
  /** The content of the tokenizer's file. */
  readonly json: object;
}

/** What a tokenizer.json describes in another way for byte-level BPE than for SentencePiece's; see files/. */
export interface FileParts
  extends Pick<
    BpeDescription,
    | 'firstTokens'
    | 'words'
    | 'normalize'
    | 'normalizesSpaces'
    | 'withPlainSpaces'
    | 'firstSpace'
    | 'isBorder'
    | 'dropsFirstSpace'
    | 'wholeWords'
  > {
  /** The bytes of a token as the file spells it; undefined if the spelling is plain text. */
  readonly bytesOfToken: (spelling: string) => Uint8Array | undefined;
}

type EncodeInto = (ids: IdList, utf8: Uint8Array, startsPiece: boolean, origin: TextOrigin, offset: number) => void;

/** A growing buffer of ids. */
interface IdList {
  ids: Int32Array;
  count: number;
}

/** A longer buffer, e.g. after one large text, is released after use. */
const maximumKeptIds = 2 ** 20;

export function bpeTokenizer(description: BpeDescription): Tokenizer {
  const { tokens, addedTokens, startTokenIds, endOfText, otherEnds, isBorder } = description;
  const endTokenIds = description.endsTexts && endOfText !== null ? [endOfText] : [];
  const byteLengths = Uint16Array.from(tokens, (bytes) => bytes?.length ?? 0);
  const special = new Set(addedTokens.filter(({ isSpecial }) => isSpecial).map(({ id }) => id));
  for (const id of special) byteLengths[id] = 0;
  const ordinary = addedTokens.filter(({ isSpecial }) => !isSpecial);
  // Made when first used, because their caches take memory.
  const encodePlain = lazily(() => pieceEncoder(description, ordinary));
  const encodeSpecial = lazily(() => pieceEncoder(description, addedTokens));
  const outside = (cutters: readonly AddedToken[]): IsBorder => {
    const spellings = cutters.map(({ content }) => Buffer.from(content));
    const strips = cutters.some(({ stripsLeft, stripsRight }) => stripsLeft || stripsRight);
    return (text, at) =>
      isBorder(text, at) && !(strips && splitsWhitespace(text, at)) && !splitsToken(spellings, text, at);
  };
  const isBorderOfAll = outside(addedTokens);
  const isBorderOfPlain = outside(ordinary);
  const list: IdList = { ids: new Int32Array(0), count: 0 }; // reused for every text, because most are short

  function encodePart(
    utf8: Uint8Array,
    part: DocumentPart & { isWhole?: boolean },
    origin: TextOrigin,
    withSpecial: boolean,
  ): EncodedChunk {
    const encode = withSpecial ? encodeSpecial() : encodePlain();
    const isSafe = withSpecial ? isBorderOfAll : isBorderOfPlain;
    list.count = 0;
    const givesTokens = part.endsText || segmentEnd(utf8, 0, false, isSafe) > 0;
    if (part.startsText && givesTokens && !part.isChat) {
      reserve(list, startTokenIds.length);
      for (const id of startTokenIds) list.ids[list.count++] = id;
    }
    let start = 0;
    while (start < utf8.length) {
      const end = segmentEnd(utf8, start, part.endsText, isSafe);
      if (end < 0) break;
      encode(list, utf8.subarray(start, end), part.startsText && start === 0, origin, start);
      start = end;
    }
    if (part.isWhole) {
      reserve(list, endTokenIds.length);
      for (const id of endTokenIds) list.ids[list.count++] = id;
    }
    const tokenIds = list.ids.slice(0, list.count);
    if (list.ids.length > maximumKeptIds) list.ids = new Int32Array(0);
    return { tokenIds, bytes: start };
  }

  const whole = { startsText: true, endsText: true, isWhole: true };
  const decoder = (options?: DecodeOptions) => streamingDecoder(description, special, options);
  return {
    kind: 'bpe',
    vocabularySize: tokens.length,
    byteLengths,
    endOfText,
    otherEnds,
    unusedIds: tokens.flatMap((bytes, id) => (bytes === undefined ? id : [])),
    chat: description.chat,
    spelling: (tokenId) => tokens[tokenId] ?? new Uint8Array(0),
    encode: (text, { specialTokens = false, isContinued = false, isChat = false } = {}) => {
      refuseLoneSurrogates(text);
      const utf8 = Buffer.from(text);
      const origin = originOfText(utf8, 'Leave it out, or use another tokenizer.');
      const part = { ...whole, isWhole: !isContinued && !isChat, isChat };
      return encodePart(utf8, part, origin, specialTokens || isChat).tokenIds;
    },
    encodeUtf8: (utf8, origin) => encodePart(utf8, whole, origin, false).tokenIds,
    encodeChunk: (utf8, part, origin) => encodePart(utf8, part, origin, part.isChat === true),
    certainBytes: (utf8) => {
      let start = 0;
      for (let end = 0; end >= 0; end = segmentEnd(utf8, start, false, isBorderOfPlain)) start = end;
      return start;
    },
    decode: (tokenIds, options) => decodeAll(decoder(options), tokenIds),
    decoder,
    toJSON: () => description.json,
  };
}

/** Encodes a segment: added tokens, normalization, added tokens of normalized text, words. */
function pieceEncoder(description: BpeDescription, tokens: readonly AddedToken[]): EncodeInto {
  const { normalize, withPlainSpaces, words, firstSpace } = description;
  const cutRaw = tokenCutter(tokens.filter(({ isNormalized }) => !isNormalized));
  const cutNormalized = tokenCutter(
    tokens.filter(({ isNormalized }) => isNormalized),
    (spelling) => normalize?.(spelling, true) ?? spelling,
    !description.normalizesSpaces,
  );
  const encodeWord = wordEncoder(mergeTable(description.merges), description.firstTokens, description.wholeWords);

  return (list, raw, startsText, origin, offset) => {
    const cut = (
      by: CutTokens | undefined,
      utf8: Uint8Array,
      start: number,
      end: number,
      text: (start: number, end: number) => void,
    ) => {
      if (by === undefined) return text(start, end);
      by(utf8, start, end, (from, to, tokenId) => {
        if (tokenId === noToken) return text(from, to);
        reserve(list, 1);
        list.ids[list.count++] = tokenId;
      });
    };
    cut(cutRaw, raw, 0, raw.length, (start, end) => {
      const isNew = start > 0 || startsText;
      const utf8 = normalize === undefined ? raw : normalize(raw.subarray(start, end), isNew);
      // for messages, offsets in a normalized piece are taken for those of the text
      const shift = normalize === undefined ? 0 : start;
      const [from, to] = normalize === undefined ? [start, end] : [0, utf8.length];
      const encodeWords = (text: Uint8Array, textStart: number, textEnd: number): void => {
        reserve(list, textEnd - textStart);
        words(text, textStart, textEnd, (wordStart, wordEnd) => {
          const count = encodeWord(text, wordStart, wordEnd, list.ids, list.count);
          if (count < 0) throw unknownByte(text, wordStart - 1 - count, origin, offset + shift);
          list.count = count;
        });
      };
      cut(cutNormalized, utf8, from, to, (pieceStart, pieceEnd) => {
        const isFirst = start === 0 && pieceStart === from;
        const mayAdd = isFirst ? startsText && firstSpace !== 'never' : firstSpace === 'always';
        if (withPlainSpaces === undefined && !mayAdd) return encodeWords(utf8, pieceStart, pieceEnd);
        const piece = utf8.subarray(pieceStart, pieceEnd);
        const plain = withPlainSpaces?.(piece) ?? piece;
        const spaced = mayAdd && plain[0] !== 0x20 ? Buffer.concat([Buffer.of(0x20), plain]) : plain;
        encodeWords(spaced, 0, spaced.length);
      });
    });
  };
}

/** A word has at most as many tokens as bytes. */
function reserve(list: IdList, tokens: number): void {
  if (list.count + tokens <= list.ids.length) return;
  const larger = new Int32Array(2 * list.ids.length + tokens);
  larger.set(list.ids);
  list.ids = larger;
}

function unknownByte(utf8: Uint8Array, at: number, origin: TextOrigin, offset: number): Error {
  const byte = `0x${utf8[at]!.toString(16).padStart(2, '0').toUpperCase()}`;
  return wrongInput(
    `The byte ${byte} ${origin.location(offset + at)} is not in the tokenizer's vocabulary. ${origin.remedy}`,
  );
}

function streamingDecoder(
  description: BpeDescription,
  special: ReadonlySet<number>,
  options: DecodeOptions = {},
): StreamingDecoder {
  const { specialTokens = false, continuesText = false } = options;
  const { tokens } = description;
  const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
  let dropsSpace = description.dropsFirstSpace && !continuesText;
  return {
    write: (tokenId) => {
      checkTokenId(tokenId, tokens.length);
      const bytes = tokens[tokenId];
      if (bytes === undefined) throw wrongInput(`${tokenId} is not a token id: the vocabulary does not use it.`);
      if (special.has(tokenId)) return utf8.decode() + (specialTokens ? Buffer.from(bytes).toString() : '');
      if (!dropsSpace || bytes.length === 0) return utf8.decode(bytes, { stream: true });
      dropsSpace = false;
      return utf8.decode(bytes[0] === 0x20 ? bytes.subarray(1) : bytes, { stream: true });
    },
    end: () => utf8.decode(),
  };
}

function lazily<Value>(make: () => Value): () => Value {
  let value: Value | undefined;
  return () => (value ??= make());
}
