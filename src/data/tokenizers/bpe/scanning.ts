/** Shared by the scanners of patterns.ts: where runs of a class of characters end in UTF-8. */
import { codePointAt, previousCharacter, sequenceLength } from '../../utf8.ts';
import { letter, number, space } from './characterClasses.ts';

/** The end of the run of characters from `at` on with `flags & mask === wanted`. */
export function runEnd(
  flags: Uint8Array,
  utf8: Uint8Array,
  at: number,
  end: number,
  mask: number,
  wanted: number,
): number {
  while (at < end) {
    const lead = utf8[at]!;
    if (lead < 0x80) {
      if ((flags[lead]! & mask) !== wanted) return at;
      at++;
    } else {
      if ((flags[codePointAt(utf8, at)]! & mask) !== wanted) return at;
      at += sequenceLength(lead);
    }
  }
  return at;
}

/** `\s+(?!\S)|\s+`: whitespace without its last character, which belongs to the next word. */
export function spaceEnd(flags: Uint8Array, utf8: Uint8Array, start: number, end: number): number {
  const run = runEnd(flags, utf8, start, end, space, space);
  if (run === end) return run;
  const last = previousCharacter(utf8, run);
  return last === start ? run : last;
}

/** `\s*[\r\n]+|\s+(?!\S)|\s+`: whitespace up to its last line end, if any. */
export function lineEnd(flags: Uint8Array, utf8: Uint8Array, start: number, end: number): number {
  const run = runEnd(flags, utf8, start, end, space, space);
  for (let at = run - 1; at >= start; at--) if (utf8[at] === 0x0a || utf8[at] === 0x0d) return at + 1;
  if (run === end) return run;
  const last = previousCharacter(utf8, run);
  return last === start ? run : last;
}

/**
 * Bytes of 's, 't, 'm, 'd, 're, 've or 'll at `at`, else 0.
 * @param caseBit 0x20 to ignore case, which also matches the long s (U+017F); else 0
 */
export function contractionBytes(utf8: Uint8Array, at: number, end: number, caseBit: number): number {
  if (at + 1 >= end) return 0;
  const first = utf8[at + 1]! | caseBit;
  if (first === 0x73 || first === 0x74 || first === 0x6d || first === 0x64) return 2;
  if (at + 2 >= end) return 0;
  if (caseBit !== 0 && utf8[at + 1] === 0xc5 && utf8[at + 2] === 0xbf) return 3;
  const second = utf8[at + 2]! | caseBit;
  if ((first === 0x72 || first === 0x76) && second === 0x65) return 3;
  return first === 0x6c && second === 0x6c ? 3 : 0;
}

/**
 * The part that the patterns since GPT-4 share: `\p{N}{1,n}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`, at a
 * character that does not start a word of letters.
 * @param longestNumber n
 * @param slash whether slashes may be among the line ends after punctuation
 */
export function nonLetterEnd(
  flags: Uint8Array,
  utf8: Uint8Array,
  start: number,
  end: number,
  longestNumber: number,
  slash: boolean,
): number {
  const first = utf8[start]!;
  const kind = flags[codePointAt(utf8, start)]!;
  const next = start + sequenceLength(first);
  if ((kind & number) !== 0) {
    let at = next;
    for (let count = 1; count < longestNumber && at < end && flags[codePointAt(utf8, at)]! & number; count++) {
      at += sequenceLength(utf8[at]!);
    }
    return at;
  }
  const following = next < end ? flags[codePointAt(utf8, next)]! : space;
  const isSpaced = first === 0x20 && (following & (space | letter | number)) === 0;
  if ((kind & space) !== 0 && !isSpaced) return lineEnd(flags, utf8, start, end);
  let at = runEnd(flags, utf8, next, end, letter | number | space, 0);
  while (at < end && (utf8[at] === 0x0a || utf8[at] === 0x0d || (slash && utf8[at] === 0x2f))) at++;
  return at;
}
