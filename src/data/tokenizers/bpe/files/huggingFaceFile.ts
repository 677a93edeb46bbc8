/**
 * Hugging Face's tokenizer.json, as far as it describes byte-pair encoding, read into a tokenizer. Whatever in a file
 * clm does not know is refused by name, because passing over it would give other ids.
 */
import type { Tokenizer } from '../../tokenizer.ts';
import { bpeTokenizer } from '../bpeTokenizer.ts';
import type { AddedToken } from '../addedTokens.ts';
import { byteLevelParts } from './byteLevelFile.ts';
import { fieldsOf, shown } from './fileFields.ts';
import type { Fields } from './fileFields.ts';
import { readAddedTokens, readMerges, readVocabulary } from './fileVocabulary.ts';
import { sentencePieceParts } from './sentencePieceFile.ts';

/** Special tokens that end a document, the likeliest first; the file itself does not say which it is. */
const usualEnds = ['<|endoftext|>', '<|end_of_text|>', '</s>', '<eos>', '<|im_end|>'];

/** Whether this JSON wants to be a tokenizer.json, judged by what clm's own format has not. */
export const looksLikeHuggingFace = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, 'model') && !Object.hasOwn(value, 'format');

/**
 * @param json the parsed file; the tokenizer keeps it and is written as it
 * @param path only for messages
 * @param endOfText spelling of the token that ends a document, null for none; by default what the file's own "clm"
 *   says, else the first of the usual ones
 * @throws wrongInput naming the file, the field and what clm cannot do with it
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
  model.value('unk_token'); // never needed: either every byte is a token, or clm says that one is not
  model.value('fuse_unk');
  const vocabulary = readVocabulary(model);
  const merges = readMerges(model, vocabulary);
  const addedTokens = readAddedTokens(file);
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
      throw file.refusal('added_tokens', `${shown(content)} is special and normalized, which clm cannot do.`);
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
    `${shown(wanted)}, which is to end documents, is no special token; there are: ${known}.`,
  );
}

/** The ids that every text begins with. */
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
    const places = template.map((item) => item.fields('Sequence') ?? item.fields('SpecialToken'));
    if (template.findIndex((item) => item.value('Sequence') !== undefined) !== template.length - 1) {
      throw step.refusal(
        'single',
        'tokens behind the text are nothing clm can do; give the end of a document as tokenizer.endOfText.',
      );
    }
    return places.slice(0, -1).map((place) => {
      const name = place?.text('id') ?? '';
      const id = addedTokens.find(({ content }) => content === name)?.id ?? vocabulary.get(name);
      if (id === undefined) throw step.refusal('single', `${shown(name)} is no token.`);
      return id;
    });
  });
}
