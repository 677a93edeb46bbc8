/** Reads the parts of a tokenizer.json that are specific to byte-level BPE: GPT-2, Llama 3, Qwen, SmolLM. */
import type { BpeDescription, FileParts } from '../bpeTokenizer.ts';
import { bytesOfSpelling, characterOfByte } from '../byteAlphabet.ts';
import type { Fields } from './fileFields.ts';
import { shown } from './fileFields.ts';
import { digitsScanner, gpt2Pattern, patterns } from '../patterns.ts';
import type { WordEnd } from '../patterns.ts';
import { wordBorder } from '../segments.ts';
import type { FirstTokens } from '../wordEncoder.ts';

type Normalize = NonNullable<BpeDescription['normalize']>;

export function byteLevelParts(file: Fields, model: Fields, vocabulary: ReadonlyMap<string, number>): FileParts {
  const { scanners, addsSpace } = readPreTokenizer(file);
  const normalizers = readNormalizer(file);
  model.only('byte_fallback', false, null);
  const decoder = file.fields('decoder');
  if (decoder === undefined) throw file.refusal('decoder', 'is missing; byte-level BPE needs ByteLevel.');
  decoder.only('type', 'ByteLevel');
  decoder.finish('add_prefix_space', 'trim_offsets', 'use_regex'); // these do not affect decoding
  const ignoresMerges = model.flag('ignore_merges');
  return {
    firstTokens: tokensOfBytes(vocabulary),
    words: wordsBy(scanners),
    normalize:
      normalizers.length === 0
        ? undefined
        : (utf8, startsPiece) => normalizers.reduce((text, normalize) => normalize(text, startsPiece), utf8),
    normalizesSpaces: false,
    withPlainSpaces: undefined,
    firstSpace: addsSpace ? 'always' : 'never',
    isBorder: wordBorder(),
    dropsFirstSpace: false,
    wholeWords: ignoresMerges ? wordsOfVocabulary(vocabulary) : undefined,
    bytesOfToken: bytesOfSpelling,
  };
}

function tokensOfBytes(vocabulary: ReadonlyMap<string, number>): FirstTokens {
  const idOfByte = Int32Array.from(characterOfByte, (character) => vocabulary.get(character) ?? -1);
  return (utf8, start, end, word) => {
    for (let at = start; at < end; at++) {
      const id = idOfByte[utf8[at]!]!;
      if (id < 0) return start - at - 1;
      word[at - start] = id;
    }
    return end - start;
  };
}

function wordsOfVocabulary(vocabulary: ReadonlyMap<string, number>): Map<string, number> {
  const words = new Map<string, number>();
  for (const [spelling, id] of vocabulary) {
    const bytes = bytesOfSpelling(spelling);
    if (bytes !== undefined) words.set(Buffer.from(bytes).toString('latin1'), id);
  }
  return words;
}

/** Nested scanners: each splits the words of the one before. */
export function wordsBy(scanners: readonly WordEnd[]): BpeDescription['words'] {
  const [wordEnd, ...inner] = scanners;
  if (wordEnd === undefined) return (_, start, end, word) => word(start, end);
  if (inner.length === 0) {
    return (utf8, start, end, word) => {
      for (let at = start; at < end; ) {
        const next = wordEnd(utf8, at, end);
        word(at, next);
        at = next;
      }
    };
  }
  const outerWords = wordsBy([wordEnd]);
  const innerWords = wordsBy(inner);
  return (utf8, start, end, word) => outerWords(utf8, start, end, (from, to) => innerWords(utf8, from, to, word));
}

function readPreTokenizer(file: Fields): { scanners: WordEnd[]; addsSpace: boolean } {
  const top = file.fields('pre_tokenizer');
  if (top === undefined)
    throw file.refusal('pre_tokenizer', 'is missing; clm supports ByteLevel, alone or at the end of a Sequence.');
  const isSequence = top.value('type') === 'Sequence';
  const steps = isSequence ? top.list('pretokenizers') : [top];
  if (isSequence) top.finish();
  const scanners: WordEnd[] = [];
  let addsSpace = false;
  for (const [i, step] of steps.entries()) {
    const type = step.value('type');
    if (type === 'ByteLevel') {
      if (i !== steps.length - 1) throw step.refusal('type', 'ByteLevel must come last.');
      if (step.flag('use_regex', true)) scanners.push(gpt2Pattern.scanner());
      addsSpace = step.flag('add_prefix_space', true);
      if (addsSpace && i > 0)
        throw step.refusal('add_prefix_space', 'true is not supported after another pre-tokenizer.');
      step.finish('trim_offsets'); // about offsets in the text, which clm does not compute
    } else if (type === 'Digits') {
      scanners.push(digitsScanner(step.flag('individual_digits')));
      step.finish();
    } else if (type === 'Split') {
      scanners.push(readSplit(step));
    } else {
      throw step.refusal('type', `${shown(type)} is not supported; clm supports ByteLevel, Digits, Split, Sequence.`);
    }
  }
  if (steps.at(-1)?.value('type') !== 'ByteLevel') throw file.refusal('pre_tokenizer', 'does not end with ByteLevel.');
  return { scanners, addsSpace };
}

/** Matches of the known patterns cover the whole text, so keeping matches is the same as splitting at them. */
function readSplit(step: Fields): WordEnd {
  const expression = step.fields('pattern')?.value('Regex');
  const pattern = patterns.find(({ expressions }) => expressions.some((known) => known === expression));
  if (pattern === undefined) {
    throw step.refusal(
      'pattern',
      `${shown(step.value('pattern'))} is a pattern clm does not support; docs/add-a-tokenizer.md says how to add one.`,
    );
  }
  const isInverted = step.flag('invert');
  const behavior = step.value('behavior');
  if (behavior !== (isInverted ? 'Removed' : 'Isolated')) {
    throw step.refusal(
      'behavior',
      `${shown(behavior)} with invert ${isInverted} is not supported; clm supports Isolated, and Removed with invert.`,
    );
  }
  step.finish();
  return pattern.scanner();
}

function readNormalizer(file: Fields): Normalize[] {
  const top = file.fields('normalizer');
  if (top === undefined) return [];
  const isSequence = top.value('type') === 'Sequence';
  const steps = isSequence ? top.list('normalizers') : [top];
  if (isSequence) top.finish();
  return steps.map((step) => {
    step.only('type', 'NFC');
    step.finish();
    return composed;
  });
}

/** Unicode normalization form C, by the tables of the running Node. */
const composed: Normalize = (utf8) => {
  if (utf8.every((byte) => byte < 0x80)) return utf8;
  const text = Buffer.from(utf8.buffer, utf8.byteOffset, utf8.length).toString();
  const normal = text.normalize('NFC');
  return normal === text ? utf8 : Buffer.from(normal);
};
