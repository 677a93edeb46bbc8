/**
 * Reads the parts of a tokenizer.json that are specific to SentencePiece's BPE (Llama 2, Mistral): tokens are text with
 * ▁ for a space, and characters that are not in the vocabulary fall back to one token per byte. clm uses plain spaces
 * inside.
 */
import { codePointAt, sequenceLength } from '../../../utf8.ts';
import type { BpeDescription, FileParts } from '../bpeTokenizer.ts';
import type { Fields } from './fileFields.ts';
import { shown } from './fileFields.ts';
import { spaceBorder } from '../segments.ts';
import type { FirstTokens } from '../wordEncoder.ts';

const mark = '▁';
const markUtf8 = Buffer.from(mark);

export function sentencePieceParts(file: Fields, model: Fields, vocabulary: ReadonlyMap<string, number>): FileParts {
  const normalizers = readNormalizers(file);
  const metaspace = normalizers === undefined ? readMetaspace(file) : undefined;
  if (normalizers === undefined && metaspace === undefined)
    throw file.refusal('normalizer', `nothing replaces spaces by ${mark}.`);
  const splits = metaspace?.splits === true;
  const byteTokens = Int32Array.from({ length: 256 }, (_, byte) => vocabulary.get(byteSpelling(byte)) ?? -1);
  if (byteTokens.includes(-1))
    throw model.refusal('vocab', `lacks ${byteSpelling(byteTokens.indexOf(-1))}, which byte_fallback needs.`);
  const spanning = [...vocabulary.keys()].find((token) => /[^▁]▁/u.test(token));
  if (spanning !== undefined && !splits)
    throw model.refusal('vocab', `the token ${shown(spanning)} spans a space, which clm does not support.`);
  model.only('ignore_merges', false, null);
  const byteOfSpelling = new Map(Array.from({ length: 256 }, (_, byte) => [byteSpelling(byte), byte]));
  return {
    firstTokens: tokensOfCharacters(vocabulary, byteTokens),
    words: (utf8, start, end, word) => {
      let wordStart = start;
      for (let at = start + 1; at < end; at++) {
        if (utf8[at] !== 0x20 || (utf8[at - 1] === 0x20 && !splits)) continue;
        word(wordStart, at);
        wordStart = at;
      }
      if (start < end) word(wordStart, end);
    },
    normalize: normalizers && ((utf8, startsPiece) => withPlainSpaces(utf8, normalizers.prepends && startsPiece)),
    normalizesSpaces: normalizers !== undefined,
    withPlainSpaces: metaspace && ((utf8) => withPlainSpaces(utf8, false)),
    firstSpace: metaspace?.firstSpace ?? 'never',
    isBorder: (utf8, at) =>
      spaceBorder(utf8, at) && !(at >= 3 && markUtf8.every((byte, i) => utf8[at - 3 + i] === byte)),
    dropsFirstSpace: readDecoder(file),
    wholeWords: undefined,
    bytesOfToken: (spelling) => {
      const byte = byteOfSpelling.get(spelling);
      return byte === undefined ? Buffer.from(spelling.replaceAll(mark, ' ')) : Uint8Array.of(byte);
    },
  };
}

const byteSpelling = (byte: number): string => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;

function tokensOfCharacters(vocabulary: ReadonlyMap<string, number>, byteTokens: Int32Array): FirstTokens {
  const idOfCode = new Map<number, number>();
  for (const [token, id] of vocabulary) {
    const code = token.codePointAt(0);
    if (code !== undefined && token.length === (code > 0xffff ? 2 : 1)) idOfCode.set(token === mark ? 0x20 : code, id);
  }
  return (utf8, start, end, word) => {
    let count = 0;
    for (let at = start; at < end; ) {
      const next = at + sequenceLength(utf8[at]!);
      const id = idOfCode.get(codePointAt(utf8, at));
      if (id !== undefined) word[count++] = id;
      else for (let byte = at; byte < next; byte++) word[count++] = byteTokens[utf8[byte]!]!;
      at = next;
    }
    return count;
  };
}

/** ▁ in a text is treated as a space. */
function withPlainSpaces(utf8: Uint8Array, withFirstSpace: boolean): Uint8Array {
  let text = Buffer.from(utf8.buffer, utf8.byteOffset, utf8.length);
  if (text.includes(markUtf8)) text = Buffer.from(text.toString().replaceAll(mark, ' '));
  return withFirstSpace && text.length > 0 ? Buffer.concat([Buffer.of(0x20), text]) : text;
}

/** Reads Prepend and Replace; undefined without a normalizer. */
function readNormalizers(file: Fields): { prepends: boolean } | undefined {
  const top = file.fields('normalizer');
  if (top === undefined) return undefined;
  const isSequence = top.value('type') === 'Sequence';
  const steps = isSequence ? top.list('normalizers') : [top];
  if (isSequence) top.finish();
  let prepends = false;
  let replaces = false;
  for (const step of steps) {
    step.only('type', 'Prepend', 'Replace');
    if (step.value('type') === 'Prepend') {
      step.only('prepend', mark);
      prepends = true;
    } else {
      const pattern = step.fields('pattern');
      pattern?.only('String', ' ');
      pattern?.finish();
      step.only('content', mark);
      replaces = true;
    }
    step.finish();
  }
  if (!replaces) throw file.refusal('normalizer', `nothing replaces spaces by ${mark}.`);
  if (file.fields('pre_tokenizer') !== undefined)
    throw file.refusal('pre_tokenizer', 'must be null if the normalizer replaces spaces.');
  return { prepends };
}

function readMetaspace(file: Fields): { firstSpace: BpeDescription['firstSpace']; splits: boolean } | undefined {
  const step = file.fields('pre_tokenizer');
  if (step === undefined) return undefined;
  step.only('type', 'Metaspace');
  step.only('replacement', mark);
  step.only('prepend_scheme', 'always', 'first', 'never');
  const firstSpace = step.value('prepend_scheme') as BpeDescription['firstSpace'];
  const splits = step.flag('split', true);
  step.finish();
  return { firstSpace, splits };
}

/** Whether decoding drops the first space of a text. */
function readDecoder(file: Fields): boolean {
  const decoder = file.fields('decoder');
  if (decoder === undefined) throw file.refusal('decoder', 'is missing.');
  decoder.only('type', 'Sequence');
  const steps = decoder.list('decoders');
  decoder.finish();
  let drops = false;
  for (const step of steps) {
    step.only('type', 'Replace', 'ByteFallback', 'Fuse', 'Strip');
    const type = step.value('type');
    if (type === 'Replace') {
      step.fields('pattern')?.only('String', mark);
      step.only('content', ' ');
    } else if (type === 'Strip') {
      step.only('content', ' ');
      step.only('start', 1);
      step.only('stop', 0);
      drops = true;
    }
    step.finish();
  }
  return drops;
}
