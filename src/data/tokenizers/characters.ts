/**
 * The tokenizer `characters`: a token is a Unicode code point of the corpus. Works on UTF-8 bytes, because converting a
 * corpus to strings would take most of the time.
 */
import { wrongInput } from '../../errors.ts';
import {
  checkTokenId,
  endOfTextToken,
  originOfText,
  refuseLoneSurrogates,
  tokenizerFormat,
  tokenizerVersion,
} from './tokenizer.ts';
import type { DecodeOptions, TextOrigin, Tokenizer } from './tokenizer.ts';
import { codePointAt, sequenceLength } from '../utf8.ts';

const codePoints = 0x110000;

/** Records which code points occur, in 1.1 MB whatever the size of the corpus. */
interface CharacterCensus {
  /** Records the characters of well-formed UTF-8. @returns their number */
  count(utf8: Uint8Array): number;
  /** The characters so far, by ascending code point. */
  characters(): string;
}

export function characterCensus(): CharacterCensus {
  const occurs = new Uint8Array(codePoints);
  return {
    count: (utf8) => {
      let characters = 0;
      for (let at = 0; at < utf8.length; characters++) {
        const lead = utf8[at]!;
        if (lead < 0x80) {
          occurs[lead] = 1;
          at++;
        } else {
          occurs[codePointAt(utf8, at)] = 1;
          at += sequenceLength(lead);
        }
      }
      return characters;
    },
    characters: () => {
      let found = '';
      for (let code = 0; code < codePoints; code++) if (occurs[code] === 1) found += String.fromCodePoint(code);
      return found;
    },
  };
}

/**
 * The tokenizer whose ids are the indices in `characters`, and with `endOfText` one more that ends a document.
 * @param characters at least one, each once, by ascending code point, as from `CharacterCensus`
 */
export function charactersTokenizer(
  characters: string,
  { endOfText: hasEnd = false }: { endOfText?: boolean } = {},
): Tokenizer {
  const list = [...characters];
  const codes = list.map((character) => character.codePointAt(0)!);
  if (list.length === 0 || codes.some((code, i) => i > 0 && code <= codes[i - 1]!)) {
    throw new Error('a vocabulary must have at least one character, each once, by ascending code point');
  }
  const idByCode = new Int32Array(Math.max(0x80, codes.at(-1)! + 1)).fill(-1);
  for (const [id, code] of codes.entries()) idByCode[code] = id;
  const endOfText = hasEnd ? list.length : null;
  const vocabularySize = list.length + (hasEnd ? 1 : 0);
  const byteLengths = new Uint16Array(vocabularySize);
  for (const [id, character] of list.entries()) byteLengths[id] = Buffer.byteLength(character);
  const textOf = (tokenId: number, options?: DecodeOptions): string => {
    checkTokenId(tokenId, vocabularySize);
    return list[tokenId] ?? (options?.specialTokens === true ? endOfTextToken : '');
  };
  const encodeUtf8 = (utf8: Uint8Array, origin: TextOrigin) => encodeWith(idByCode, utf8, origin);
  /** Text that spells its special tokens. Offsets for messages are those within a piece between two of them. */
  const encodeWithEnds = (text: string, origin: (utf8: Buffer) => TextOrigin): Int32Array => {
    const pieces = endOfText === null ? [text] : text.split(endOfTextToken);
    const ids = pieces.map((piece) => {
      const utf8 = Buffer.from(piece);
      return [...encodeUtf8(utf8, origin(utf8))];
    });
    return Int32Array.from(ids.flatMap((piece, i) => (i === 0 ? piece : [endOfText!, ...piece])));
  };
  return {
    kind: 'characters',
    vocabularySize,
    byteLengths,
    endOfText,
    otherEnds: [],
    unusedIds: [],
    chat: null,
    spelling: (tokenId) => Buffer.from(list[tokenId] ?? endOfTextToken),
    encode: (text, { specialTokens = false, isChat = false } = {}) => {
      refuseLoneSurrogates(text);
      const remedy = 'Leave it out, or train on a corpus that contains it.';
      const utf8 = Buffer.from(text);
      if (!specialTokens && !isChat) return encodeUtf8(utf8, originOfText(utf8, remedy));
      return encodeWithEnds(text, (piece) => originOfText(piece, remedy));
    },
    encodeUtf8,
    encodeChunk: (utf8, { isChat }, origin) => ({
      tokenIds: isChat ? encodeWithEnds(Buffer.from(utf8).toString(), () => origin) : encodeUtf8(utf8, origin),
      bytes: utf8.length,
    }),
    certainBytes: (utf8) => utf8.length,
    decode: (tokenIds, options) => Array.from(tokenIds, (id) => textOf(id, options)).join(''),
    decoder: (options) => ({ write: (id) => textOf(id, options), end: () => '' }),
    toJSON: () => ({
      format: tokenizerFormat,
      version: tokenizerVersion,
      kind: 'characters',
      characters,
      ...(hasEnd ? { endOfText: true } : {}),
    }),
  };
}

function encodeWith(idByCode: Int32Array, utf8: Uint8Array, origin: TextOrigin): Int32Array {
  const tokenIds = new Int32Array(utf8.length); // the most there can be; most texts are nearly all ASCII
  let tokens = 0;
  for (let at = 0; at < utf8.length; ) {
    const lead = utf8[at]!;
    const code = lead < 0x80 ? lead : codePointAt(utf8, at);
    const id = code < idByCode.length ? idByCode[code]! : -1;
    if (id < 0) throw unknownCharacter(code, origin.location(at), origin.remedy);
    tokenIds[tokens++] = id;
    at += sequenceLength(lead);
  }
  return tokenIds.subarray(0, tokens);
}

function unknownCharacter(code: number, location: string, remedy: string): Error {
  const name = `U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
  return wrongInput(
    `The character ${JSON.stringify(String.fromCodePoint(code))} (${name}) ${location} is not in the vocabulary: ` +
      `the model was trained without it. ${remedy}`,
  );
}
