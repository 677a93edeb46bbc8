/**
 * Cuts a text into segments of bounded length that are encoded separately, so that memory is bounded even for a line of
 * gigabytes. The cuts depend only on the text, and are at word boundaries, which keeps the ids those of the whole text:
 * in no pattern of patterns.ts does a word continue with a space after a non-whitespace character, or with whitespace
 * after a letter or number. Only in 64 KiB without such a boundary is a word cut in two.
 */
import { longestHeldBytes } from '../tokenizer.ts';
import { codePointAt, previousCharacter } from '../../utf8.ts';
import { characterFlags, letter, number, space } from './characterClasses.ts';

/** The longest segment, so that a chunk of `longestHeldBytes` always has a complete segment. */
const segmentBytes = longestHeldBytes - 1;

/** Whether a word certainly starts at `at`, judged by the characters before and after it alone. */
export type IsBorder = (utf8: Uint8Array, at: number) => boolean;

/** Word boundaries for the patterns of byte-level BPE. */
export function wordBorder(): IsBorder {
  const flags = characterFlags();
  return (utf8, at) => {
    const after = codePointAt(utf8, at);
    if ((flags[after]! & space) === 0) return false;
    const before = flags[codePointAt(utf8, previousCharacter(utf8, at))]!;
    return after === 0x20 ? (before & space) === 0 : (before & (letter | number)) !== 0;
  };
}

/** Word boundaries for SentencePiece: a space after another character. */
export const spaceBorder: IsBorder = (utf8, at) => utf8[at] === 0x20 && utf8[at - 1] !== 0x20;

/**
 * The end of the segment that starts at `start` of a document's text, or −1 if it depends on text after `utf8`.
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
