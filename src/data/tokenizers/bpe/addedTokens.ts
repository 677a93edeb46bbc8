/** Added tokens are found in a text as a whole, before it is split into words. */
import { codePointAt, previousCharacter, sequenceLength } from '../../utf8.ts';
import { characterFlags, space } from './characterClasses.ts';

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Text that spells it is ordinary text unless the caller asks for special tokens. */
  readonly isSpecial: boolean;
  /** Searched for after normalization. */
  readonly isNormalized: boolean;
  /** Includes the whitespace before it, or after it. */
  readonly stripsLeft: boolean;
  readonly stripsRight: boolean;
  /** Not matched inside a word. */
  readonly isSingleWord: boolean;
}

/** Calls `piece` in order for the added tokens in utf8[start, end) and for the text between them. */
export type CutTokens = (
  utf8: Uint8Array,
  start: number,
  end: number,
  piece: (start: number, end: number, tokenId: number) => void,
) => void;

/** The id passed for text between added tokens. */
export const noToken = -1;

/**
 * Finds the leftmost token, and of several there the longest. undefined without tokens.
 * @param spelt changes the spelling that is searched for
 * @param stripsSpaces whether a space is whitespace; it is not where it stands for ▁
 */
export function tokenCutter(
  tokens: readonly AddedToken[],
  spelt: (content: Uint8Array) => Uint8Array = (content) => content,
  stripsSpaces = true,
): CutTokens | undefined {
  if (tokens.length === 0) return undefined;
  const byFirstByte: { token: AddedToken; utf8: Uint8Array }[][] = Array.from({ length: 256 }, () => []);
  for (const token of tokens) {
    const utf8 = spelt(Buffer.from(token.content));
    byFirstByte[utf8[0]!]!.push({ token, utf8 });
  }
  for (const list of byFirstByte) list.sort((a, b) => b.utf8.length - a.utf8.length);
  const begins = Uint8Array.from(byFirstByte, (list) => (list.length > 0 ? 1 : 0));
  return (utf8, start, end, piece) => {
    let pieceStart = start;
    for (let at = start; at < end; ) {
      const found =
        begins[utf8[at]!] === 0
          ? undefined
          : byFirstByte[utf8[at]!]!.find((candidate) => matchesAt(candidate.utf8, utf8, at, end));
      if (found === undefined) {
        at++;
        continue;
      }
      const { id, isSingleWord, stripsLeft, stripsRight } = found.token;
      const after = at + found.utf8.length;
      if (isSingleWord && (isWordCharacter(utf8, at, start, -1) || isWordCharacter(utf8, after, end, 1))) {
        at = after;
        continue;
      }
      const from = stripsLeft ? whitespaceStart(utf8, at, pieceStart, stripsSpaces) : at;
      const to = stripsRight ? whitespaceEnd(utf8, after, end, stripsSpaces) : after;
      if (from > pieceStart) piece(pieceStart, from, noToken);
      piece(from, to, id);
      at = pieceStart = to;
    }
    if (pieceStart < end) piece(pieceStart, end, noToken);
  };
}

/** The start of the whitespace before `at`, not before `first`. */
function whitespaceStart(utf8: Uint8Array, at: number, first: number, withSpaces = true): number {
  const flags = characterFlags();
  while (at > first) {
    const before = previousCharacter(utf8, at);
    if ((flags[codePointAt(utf8, before)]! & space) === 0 || (utf8[before] === 0x20 && !withSpaces)) break;
    at = before;
  }
  return at;
}

/** The end of the whitespace at `at`. */
function whitespaceEnd(utf8: Uint8Array, at: number, end: number, withSpaces = true): number {
  const flags = characterFlags();
  while (at < end && (flags[codePointAt(utf8, at)]! & space) !== 0 && (withSpaces || utf8[at] !== 0x20))
    at += sequenceLength(utf8[at]!);
  return at;
}

/** \w of Hugging Face's tokenizers. */
const wordCharacter = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;

/**
 * Whether there is a word character before `at` (direction −1) or at it (1), in a text that ends at `limit`.
 */
function isWordCharacter(utf8: Uint8Array, at: number, limit: number, direction: -1 | 1): boolean {
  if (at === limit) return false;
  return wordCharacter.test(
    String.fromCodePoint(codePointAt(utf8, direction === 1 ? at : previousCharacter(utf8, at))),
  );
}

/**
 * Whether a cut at `at` would fall inside one of the tokens, or right after one: the rest of the text must be known to
 * follow a token.
 */
export function splitsToken(tokens: readonly Uint8Array[], utf8: Uint8Array, at: number): boolean {
  return tokens.some((token) => {
    for (let start = Math.max(0, at - token.length); start < at; start++) {
      if (matchesAt(token, utf8, start, utf8.length)) return true;
    }
    return false;
  });
}

/** Whether a cut at `at` would split whitespace, all of which a token may include. */
export function splitsWhitespace(utf8: Uint8Array, at: number): boolean {
  return whitespaceEnd(utf8, at, utf8.length) > at && whitespaceStart(utf8, at, 0) < at;
}

function matchesAt(token: Uint8Array, utf8: Uint8Array, at: number, end: number): boolean {
  if (at + token.length > end) return false;
  for (let i = 0; i < token.length; i++) if (utf8[at + i] !== token[i]) return false;
  return true;
}
