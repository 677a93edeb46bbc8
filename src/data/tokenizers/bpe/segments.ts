/**
 * Cuts a text into segments of bounded length that are encoded each on its own, so that a line of gigabytes needs no
 * more memory than any other text. The cuts depend on nothing but the text, and where one is safe the ids stay those of
 * the whole: no pattern of patterns.ts has a word that goes on with a space after anything but whitespace, or with
 * whitespace after a letter or a number. Only where 64 KiB hold no such place is a word cut in two.
 */
import { longestHeldBytes } from '../tokenizer.ts';
import { codePointAt, previousCharacter } from '../../utf8.ts';
import { characterFlags, letter, number, space } from './characterClasses.ts';

/** The longest segment. A chunk that is longer has a segment whose end is certain. */
const segmentBytes = longestHeldBytes - 1;

/** Whether a word surely begins at `at`, whatever stands around the characters on both sides of it. */
export type IsBorder = (utf8: Uint8Array, at: number) => boolean;

/** For the patterns of byte-level BPE. */
export function wordBorder(): IsBorder {
  const flags = characterFlags();
  return (utf8, at) => {
    const after = codePointAt(utf8, at);
    if ((flags[after]! & space) === 0) return false;
    const before = flags[codePointAt(utf8, previousCharacter(utf8, at))]!;
    return after === 0x20 ? (before & space) === 0 : (before & (letter | number)) !== 0;
  };
}

/** For SentencePiece: a space after another character. */
export const spaceBorder: IsBorder = (utf8, at) => utf8[at] === 0x20 && utf8[at - 1] !== 0x20;

/**
 * The end of the segment that begins at `start` of a document's text, or −1 where that depends on what follows `utf8`.
 * @param endsText the document ends with `utf8`
 */
export function segmentEnd(utf8: Uint8Array, start: number, endsText: boolean, isBorder: IsBorder): number {
  const left = utf8.length - start;
  if (left <= segmentBytes) return endsText ? utf8.length : -1;
  let end = start + segmentBytes;
  while (isContinuation(utf8[end]!)) end--;
  for (let at = end; at > start; at--) if (!isContinuation(utf8[at]!) && isBorder(utf8, at)) return at;
  return end;
}

const isContinuation = (byte: number): boolean => (byte & 0xc0) === 0x80;
