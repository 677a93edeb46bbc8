/**
 * The tokenizer `characters`: a token is a Unicode code point of the corpus. Row 5 of the walk.
 * Works on UTF-8 bytes throughout, because making strings of a corpus would take most of the time.
 */
import { wrongInput } from '../../errors.ts';
import { checkTokenId, refuseLoneSurrogates, tokenizerFormat, tokenizerVersion } from './tokenizer.ts';
import type { TextOrigin, Tokenizer } from './tokenizer.ts';

const codePoints = 0x110000;

/** Notes which code points occur; one bit of work per character and 1.1 MB, whatever the size of the corpus. */
export interface CharacterCensus {
  /** Notes the characters of well-formed UTF-8 that splits none, and returns how many there are. */
  count(utf8: Uint8Array): number;
  /** The characters noted so far, by ascending code point. */
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
          at += byteLengthOfLead(lead);
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
 * The tokenizer whose ids are the places in `characters`.
 * @param characters at least one, each once, by ascending code point; what `CharacterCensus` gives.
 */
export function charactersTokenizer(characters: string): Tokenizer {
  const list = [...characters];
  const codes = list.map((character) => character.codePointAt(0)!);
  if (list.length === 0 || codes.some((code, i) => i > 0 && code <= codes[i - 1]!)) {
    throw new Error('a vocabulary has at least one character, each once, by ascending code point');
  }
  const idByCode = new Int32Array(Math.max(0x80, codes.at(-1)! + 1)).fill(-1);
  for (const [id, code] of codes.entries()) idByCode[code] = id;
  const textOf = (tokenId: number): string => {
    checkTokenId(tokenId, list.length);
    return list[tokenId]!;
  };
  const encodeUtf8 = (utf8: Uint8Array, origin: TextOrigin) => encodeWith(idByCode, utf8, origin);
  return {
    kind: 'characters',
    vocabularySize: list.length,
    byteLengths: Uint8Array.from(list, (character) => Buffer.byteLength(character)),
    encode: (text) => {
      refuseLoneSurrogates(text);
      const utf8 = Buffer.from(text);
      const place = (index: number) => `at character ${[...utf8.toString('utf8', 0, index)].length} of the text`;
      return encodeUtf8(utf8, { place, remedy: 'Leave it out, or train on a corpus that contains it.' });
    },
    encodeUtf8,
    decode: (tokenIds) => Array.from(tokenIds, textOf).join(''),
    decoder: () => ({ write: textOf, end: () => '' }),
    toJSON: () => ({ format: tokenizerFormat, version: tokenizerVersion, kind: 'characters', characters }),
  };
}

function encodeWith(idByCode: Int32Array, utf8: Uint8Array, origin: TextOrigin): Int32Array {
  const tokenIds = new Int32Array(utf8.length); // as long as it can get; most texts are nearly all ASCII
  let tokens = 0;
  for (let at = 0; at < utf8.length; ) {
    const lead = utf8[at]!;
    const code = lead < 0x80 ? lead : codePointAt(utf8, at);
    const id = code < idByCode.length ? idByCode[code]! : -1;
    if (id < 0) throw unknownCharacter(code, origin.place(at), origin.remedy);
    tokenIds[tokens++] = id;
    at += lead < 0x80 ? 1 : byteLengthOfLead(lead);
  }
  return tokenIds.subarray(0, tokens);
}

function unknownCharacter(code: number, place: string, remedy: string): Error {
  const name = `U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
  return wrongInput(
    `The character ${JSON.stringify(String.fromCodePoint(code))} (${name}) ${place} is not in the vocabulary: ` +
      `the model was trained without it. ${remedy}`,
  );
}

const byteLengthOfLead = (lead: number): number => (lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4);

/** The code point whose sequence of two to four bytes begins at `at` of well-formed UTF-8 (RFC 3629, section 3). */
function codePointAt(utf8: Uint8Array, at: number): number {
  const lead = utf8[at]!;
  const second = utf8[at + 1]! & 0x3f;
  if (lead < 0xe0) return ((lead & 0x1f) << 6) | second;
  const third = utf8[at + 2]! & 0x3f;
  if (lead < 0xf0) return ((lead & 0x0f) << 12) | (second << 6) | third;
  return ((lead & 0x07) << 18) | (second << 12) | (third << 6) | (utf8[at + 3]! & 0x3f);
}
