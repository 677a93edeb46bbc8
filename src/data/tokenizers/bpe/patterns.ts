/**
 * The patterns by which the well-known tokenizers cut a text into words before they merge, each as a scanner of UTF-8
 * written by hand: many times faster than the regular expression, and no text makes it slow. The expressions stand
 * beside the scanners; the tests hold the two against each other.
 */
import { codePointAt, previousCharacter, sequenceLength } from '../utf8.ts';
import { characterFlags, letter, newline, number, space } from './characterClasses.ts';

/** Where the word ends that begins at `start`; the text ends at `end`, and start < end. */
export type WordEnd = (utf8: Uint8Array, start: number, end: number) => number;

export interface Pattern {
  /** The expression as tokenizer files spell it; all matches are words, and together they are the text. */
  readonly expressions: readonly string[];
  readonly scanner: () => WordEnd;
}

/** GPT-2's, also what Hugging Face's `ByteLevel` uses by itself. */
export const gpt2Pattern: Pattern = {
  expressions: [
    String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
    String.raw`'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
  ],
  scanner: gpt2Scanner,
};

const contractions = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)`;
const rest = String.raw` ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;

/** cl100k of GPT-4, Llama 3, SmolLM3. */
export const llama3Pattern: Pattern = {
  expressions: [String.raw`${contractions}|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|${rest}`],
  scanner: () => newlineScanner(3),
};

/** Qwen 2 and 3: every digit on its own. */
export const qwen2Pattern: Pattern = {
  expressions: [String.raw`${contractions}|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|${rest}`],
  scanner: () => newlineScanner(1),
};

/** Every pattern that a tokenizer file may ask for. */
export const patterns: readonly Pattern[] = [gpt2Pattern, llama3Pattern, qwen2Pattern];

/** Each number on its own, or runs of them, between runs of everything else; Hugging Face's `Digits`. */
export function digitsScanner(individually: boolean): WordEnd {
  const flags = characterFlags();
  return (utf8, start, end) => {
    const first = flags[codePointAt(utf8, start)]! & number;
    const at = start + sequenceLength(utf8[start]!);
    return first !== 0 && individually ? at : runEnd(flags, utf8, at, end, number, first);
  };
}

function gpt2Scanner(): WordEnd {
  const flags = characterFlags();
  return (utf8, start, end) => {
    const first = utf8[start]!;
    if (first === 0x27) {
      const contraction = contractionBytes(utf8, start, end, 0);
      if (contraction > 0) return start + contraction;
    }
    const at = first === 0x20 ? start + 1 : start;
    if (at < end) {
      const kind = flags[codePointAt(utf8, at)]!;
      if ((kind & space) === 0) {
        return runEnd(flags, utf8, at + sequenceLength(utf8[at]!), end, letter | number | space, kind & (letter | number));
      }
    }
    return spaceEnd(flags, utf8, start, end);
  };
}

function newlineScanner(longestNumber: number): WordEnd {
  const flags = characterFlags();
  return (utf8, start, end) => {
    const first = utf8[start]!;
    if (first === 0x27) {
      const contraction = contractionBytes(utf8, start, end, 0x20);
      if (contraction > 0) return start + contraction;
    }
    const kind = flags[codePointAt(utf8, start)]!;
    const next = start + sequenceLength(first);
    if ((kind & letter) !== 0) return runEnd(flags, utf8, next, end, letter, letter);
    if ((kind & number) !== 0) {
      let at = next;
      for (let count = 1; count < longestNumber && at < end && flags[codePointAt(utf8, at)]! & number; count++) {
        at += sequenceLength(utf8[at]!);
      }
      return at;
    }
    const following = next < end ? flags[codePointAt(utf8, next)]! : space;
    if ((kind & newline) === 0 && (following & letter) !== 0) return runEnd(flags, utf8, next, end, letter, letter);
    const isSpaced = first === 0x20 && (following & (space | letter | number)) === 0;
    if ((kind & space) === 0 || isSpaced) {
      let at = runEnd(flags, utf8, next, end, letter | number | space, 0);
      while (at < end && (utf8[at] === 0x0a || utf8[at] === 0x0d)) at++;
      return at;
    }
    return lineEnd(flags, utf8, start, end);
  };
}

/** The end of the run of characters from `at` on whose flags, of those in `mask`, are `wanted`. */
function runEnd(flags: Uint8Array, utf8: Uint8Array, at: number, end: number, mask: number, wanted: number): number {
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

/** `\s+(?!\S)|\s+`: whitespace leaves its last character to the word behind it. */
function spaceEnd(flags: Uint8Array, utf8: Uint8Array, start: number, end: number): number {
  const run = runEnd(flags, utf8, start, end, space, space);
  if (run === end) return run;
  const last = previousCharacter(utf8, run);
  return last === start ? run : last;
}

/** `\s*[\r\n]+|\s+(?!\S)|\s+`: whitespace up to its last line end, if it has one. */
function lineEnd(flags: Uint8Array, utf8: Uint8Array, start: number, end: number): number {
  const run = runEnd(flags, utf8, start, end, space, space);
  for (let at = run - 1; at >= start; at--) if (utf8[at] === 0x0a || utf8[at] === 0x0d) return at + 1;
  if (run === end) return run;
  const last = previousCharacter(utf8, run);
  return last === start ? run : last;
}

/**
 * Bytes of 's, 't, 'm, 'd, 're, 've or 'll at `at`, else 0.
 * @param caseBit 0x20 where capitals count too; then so does the long s, U+017F, which is an s without its case
 */
function contractionBytes(utf8: Uint8Array, at: number, end: number, caseBit: number): number {
  if (at + 1 >= end) return 0;
  const first = utf8[at + 1]! | caseBit;
  if (first === 0x73 || first === 0x74 || first === 0x6d || first === 0x64) return 2;
  if (at + 2 >= end) return 0;
  if (caseBit !== 0 && utf8[at + 1] === 0xc5 && utf8[at + 2] === 0xbf) return 3;
  const second = utf8[at + 2]! | caseBit;
  if ((first === 0x72 || first === 0x76) && second === 0x65) return 3;
  return first === 0x6c && second === 0x6c ? 3 : 0;
}
