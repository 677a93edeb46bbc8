/**
 * The patterns by which well-known tokenizers split a text into words before merging, each as a handwritten scanner of
 * UTF-8: many times faster than the regular expression, and linear for every text. Tests compare each scanner with its
 * expression.
 */
import { codePointAt, sequenceLength } from '../../utf8.ts';
import {
  casedCharacterFlags,
  characterFlags,
  letter,
  lower,
  newline,
  number,
  space,
  upper,
} from './characterClasses.ts';
import { contractionBytes, runEnd, spaceEnd, nonLetterEnd } from './scanning.ts';

/** The end of the word that starts at `start`; the text ends at `end`, and start < end. */
export type WordEnd = (utf8: Uint8Array, start: number, end: number) => number;

/** The name of a pattern, for other files that name patterns instead of spelling them. */
export type PatternName = 'gpt2' | 'llama3' | 'qwen2' | 'o200k';

interface Pattern {
  readonly name: PatternName;
  /** The expression as tokenizer files spell it. Its matches are the words, and together they are the whole text. */
  readonly expressions: readonly string[];
  readonly scanner: () => WordEnd;
}

/** GPT-2; also the default of Hugging Face's `ByteLevel`. */
export const gpt2Pattern: Pattern = {
  name: 'gpt2',
  expressions: [
    String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
    String.raw`'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
  ],
  scanner: gpt2Scanner,
};

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const rest = String.raw` ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;

/** GPT-4 (cl100k), Llama 3, SmolLM3. */
const llama3Pattern: Pattern = {
  name: 'llama3',
  expressions: [String.raw`${contractions}|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|${rest}`],
  scanner: () => newlineScanner(3),
};

/** Qwen 2 and 3: every digit is a word. */
const qwen2Pattern: Pattern = {
  name: 'qwen2',
  expressions: [String.raw`${contractions}|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|${rest}`],
  scanner: () => newlineScanner(1),
};

const [capitals, others] = [String.raw`[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`, String.raw`[\p{Ll}\p{Lm}\p{Lo}\p{M}]`];

/** GPT-4o and gpt-oss (o200k), Llama 4: words are also split before capitals, and keep their contraction. */
const o200kPattern: Pattern = {
  name: 'o200k',
  expressions: [
    [
      String.raw`[^\r\n\p{L}\p{N}]?${capitals}*${others}+${contractions}?`,
      String.raw`[^\r\n\p{L}\p{N}]?${capitals}+${others}*${contractions}?`,
      String.raw`\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
    ].join('|'),
  ],
  scanner: casedScanner,
};

/** Every pattern that tokenizer files may use. */
export const patterns: readonly Pattern[] = [gpt2Pattern, llama3Pattern, qwen2Pattern, o200kPattern];

/** Hugging Face's `Digits`: splits between numbers and other characters, and with `individually` between digits. */
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
        return runEnd(
          flags,
          utf8,
          at + sequenceLength(utf8[at]!),
          end,
          letter | number | space,
          kind & (letter | number),
        );
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
    const leads = (kind & (number | newline)) === 0 && next < end && (flags[codePointAt(utf8, next)]! & letter) !== 0;
    return leads
      ? runEnd(flags, utf8, next, end, letter, letter)
      : nonLetterEnd(flags, utf8, start, end, longestNumber, false);
  };
}

/** The capitals of a word come before its small letters; letters without case and marks count as both. */
function casedScanner(): WordEnd {
  const flags = casedCharacterFlags();
  return (utf8, start, end) => {
    const kind = flags[codePointAt(utf8, start)]!;
    const next = start + sequenceLength(utf8[start]!);
    const isMark = (kind & (upper | lower)) !== 0 && (kind & letter) === 0;
    const leads = (kind & (letter | number | newline)) === 0 && next < end;
    // As in the expression: first words with small letters, after another character or not, then capitals alone.
    const led = leads ? casedEnd(flags, utf8, next, end) : nothing(next);
    const bare = (kind & letter) !== 0 || (isMark && led < 0) ? casedEnd(flags, utf8, start, end) : nothing(start);
    const word = [led, bare, capitalsEnd(led, next), capitalsEnd(bare, start)].find((found) => found >= 0);
    if (word === undefined) return nonLetterEnd(flags, utf8, start, end, 3, true);
    return word < end && utf8[word] === 0x27 ? word + contractionBytes(utf8, word, end, 0x20) : word;
  };
}

/** The result of `casedEnd` if there is not even a capital at `at`. */
const nothing = (at: number): number => -1 - at;

/** The end of the capitals that a result of `casedEnd` encodes; −1 if there are none. */
const capitalsEnd = (result: number, at: number): number => (result < nothing(at) ? -1 - result : -1);

/** The end of `[capital]*[small]+` at `start`; if there is no match, −1 − the end of the capitals. */
function casedEnd(flags: Uint8Array, utf8: Uint8Array, start: number, end: number): number {
  let at = start;
  let endOfBoth = -1;
  while (at < end) {
    const kind = flags[codePointAt(utf8, at)]!;
    if ((kind & upper) === 0) break;
    at += sequenceLength(utf8[at]!);
    if ((kind & lower) !== 0) endOfBoth = at;
  }
  const smallEnd = runEnd(flags, utf8, at, end, lower, lower);
  if (smallEnd > at) return smallEnd;
  return endOfBoth >= 0 ? endOfBoth : -1 - at;
}
