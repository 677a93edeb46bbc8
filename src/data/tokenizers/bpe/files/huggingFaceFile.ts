/**
 * Reads a tokenizer from Hugging Face's tokenizer.json, if it describes byte-pair encoding. Anything in the file that
 * clm does not support is refused by name, because ignoring it would change the token ids.
 */
import type { Tokenizer } from '../../tokenizer.ts';
import { bpeTokenizer } from '../bpeTokenizer.ts';
import type { AddedToken } from '../addedTokens.ts';
import { byteLevelParts } from './byteLevelFile.ts';
import { fieldsOf, shown } from './fileFields.ts';
import type { Fields } from './fileFields.ts';
import { readAddedTokens, readMerges, readVocabulary } from './fileVocabulary.ts';
import { sentencePieceParts } from './sentencePieceFile.ts';

/** Special tokens that usually end a document, most likely first; the file itself does not name one. */
const usualEnds = ['<|endoftext|>', '<|end_of_text|>', '</s>', '<eos>', '<|im_end|>'];

/** Whether this JSON is in Hugging Face's format: it has fields that clm's own format does not have. */
export const looksLikeHuggingFace = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, 'model') && !Object.hasOwn(value, 'format');

/**
 * @param json the parsed file; the tokenizer keeps it and is saved as it
 * @param path only for messages
 * @param endOfText spelling of the token that ends a document, null for none; by default the one in the file's "clm"
 *   field, else the first of the usual ones
 * @throws wrongInput naming the file, the field and what is wrong with it
 */
export function tokenizerFromHuggingFace(json: object, path: string, endOfText?: string | null): Tokenizer {
  const file = fieldsOf(json, path);
  file.only('version', '1.0');
  file.only('truncation', null);
  file.only('padding', null);
  const model = file.fields('model');
  if (model === undefined) throw file.refusal('model', 'is missing.');
  model.only('type', 'BPE', null);
  model.only('dropout', null, 0);
  model.only('continuing_subword_prefix', null, '');
  model.only('end_of_word_suffix', null, '');
  model.value('unk_token'); // never needed: every byte is a token, or clm refuses the text
  model.value('fuse_unk');
  const vocabulary = readVocabulary(model);
  const merges = readMerges(model, vocabulary);
  const addedTokens = readAddedTokens(file, vocabulary);
  const { bytesOfToken, ...parts } =
    model.value('byte_fallback') === true
      ? sentencePieceParts(file, model, vocabulary)
      : byteLevelParts(file, model, vocabulary);
  model.finish();

  const tokens: (Uint8Array | undefined)[] = [];
  for (const [spelling, id] of vocabulary) tokens[id] = bytesOfToken(spelling) ?? Buffer.from(spelling);
  for (const { id, content, isSpecial, isNormalized } of addedTokens) {
    tokens[id] = Buffer.from(content);
    if (isNormalized && isSpecial && parts.normalize !== undefined) {
      throw file.refusal('added_tokens', `${shown(content)} is special and normalized, which clm does not support.`);
    }
  }
  const startTokenIds = readPostProcessor(file, vocabulary, addedTokens);
  const clm = file.fields('clm');
  const wantedEnd = endOfText === undefined ? clm?.value('endOfText') : endOfText;
  clm?.finish();
  file.finish();
  return bpeTokenizer({
    ...parts,
    tokens: Array.from(tokens),
    merges,
    addedTokens,
    startTokenIds,
    endOfText: endOfTextId(file, addedTokens, wantedEnd),
    json: endOfText === undefined ? json : { ...json, clm: { endOfText } },
  });
}

function endOfTextId(file: Fields, addedTokens: readonly AddedToken[], wanted: unknown): number | null {
  if (wanted === null) return null;
  const special = new Map(addedTokens.filter(({ isSpecial }) => isSpecial).map(({ content, id }) => [content, id]));
  if (wanted === undefined) return special.get(usualEnds.find((end) => special.has(end)) ?? '') ?? null;
  const id = special.get(String(wanted));
  if (id !== undefined) return id;
  const known = [...special.keys()].slice(0, 8).map(shown).join(', ') || 'none';
  throw file.refusal(
    'added_tokens',
    `${shown(wanted)}, which should end documents, is not a special token; the file has ${known}.`,
  );
}

/** The ids that every text starts with. */
function readPostProcessor(
  file: Fields,
  vocabulary: ReadonlyMap<string, number>,
  addedTokens: readonly AddedToken[],
): number[] {
  const top = file.fields('post_processor');
  if (top === undefined) return [];
  const isSequence = top.value('type') === 'Sequence';
  const steps = isSequence ? top.list('processors') : [top];
  if (isSequence) top.finish();
  return steps.flatMap((step) => {
    step.only('type', 'ByteLevel', 'TemplateProcessing');
    if (step.value('type') === 'ByteLevel') return []; // adjusts offsets only
    const template = step.list('single');
    const items = template.map((item) => item.fields('Sequence') ?? item.fields('SpecialToken'));
    if (template.findIndex((item) => item.value('Sequence') !== undefined) !== template.length - 1) {
      throw step.refusal(
        'single',
        'tokens after the text are not supported; set the token that ends a document with tokenizer.endOfText.',
      );
    }
    return items.slice(0, -1).map((item) => {
      const name = item?.text('id') ?? '';
      const id = addedTokens.find(({ content }) => content === name)?.id ?? vocabulary.get(name);
      if (id === undefined) throw step.refusal('single', `${shown(name)} is not a token.`);
      return id;
    });
  });
}
