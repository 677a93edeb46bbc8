/**
 * Reads a tokenizer from Hugging Face's tokenizer.json, if it describes byte-pair encoding. Anything in the file that
 * clm does not support is refused by name, because ignoring it would change the token ids.
 */
import { chatFormat, type Tokenizer } from '../../tokenizer.ts';
import { bpeTokenizer } from '../bpeTokenizer.ts';
import type { AddedToken } from '../addedTokens.ts';
import { byteLevelParts } from './byteLevelFile.ts';
import { fieldsOf, shown } from './fileFields.ts';
import type { Fields } from './fileFields.ts';
import { longestToken, readAddedTokens, readMerges, readVocabulary } from './fileVocabulary.ts';
import { sentencePieceParts } from './sentencePieceFile.ts';

/** Special tokens that usually end a document, most likely first; the file itself does not name one. */
const usualEnds = ['<|endoftext|>', '<|end_of_text|>', '</s>', '<eos>', '<|im_end|>'];

/** Whether this JSON is in Hugging Face's format: it has fields that clm's own format does not have. */
export const looksLikeHuggingFace = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, 'model') && !Object.hasOwn(value, 'format');

/**
 * What the file asks for and clm does not do, in words: to cut texts to a length, and to fill them up to one.
 * A training script leaves its lengths in the file; the ids of a text do not depend on them. Undefined without any.
 */
export function ignoredParts(tokenizer: Tokenizer): string | undefined {
  const { truncation = null, padding = null } = tokenizer.toJSON() as {
    truncation?: { max_length?: unknown } | null;
    padding?: { strategy?: { Fixed?: unknown } } | null;
  };
  const length = padding?.strategy?.Fixed;
  const parts = [
    ...(truncation === null ? [] : [`truncation (to ${shown(truncation.max_length)} tokens)`]),
    ...(padding === null ? [] : [`padding${length === undefined ? '' : ` (to ${shown(length)} tokens)`}`]),
  ];
  if (parts.length === 0) return undefined;
  const verb = parts.length > 1 ? 'are' : 'is';
  return `${parts.join(' and ')} in the tokenizer's file ${verb} ignored: texts are neither cut nor padded`;
}

/**
 * @param json the parsed file; the tokenizer keeps it and is saved as it
 * @param path only for messages
 * @param endOfText spelling of the token that ends a document, null for none; by default the one in the file's "clm"
 *   field, else the first of the usual ones
 * @param otherEnds further ids that end a completion; by default those in the file's "clm" field
 * @throws wrongInput naming the file, the field and what is wrong with it
 */
export function tokenizerFromHuggingFace(
  json: object,
  path: string,
  endOfText?: string | null,
  otherEnds?: readonly number[],
): Tokenizer {
  const file = fieldsOf(json, path);
  file.only('version', '1.0');
  file.value('truncation'); // see ignoredParts
  file.value('padding');
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
  for (const [spelling, id] of vocabulary) {
    const bytes = bytesOfToken(spelling) ?? Buffer.from(spelling);
    if (bytes.length > longestToken)
      throw model.refusal('vocab', `the token ${id} is longer than ${longestToken} bytes.`);
    tokens[id] = bytes;
  }
  for (const { id, content, isSpecial, isNormalized } of addedTokens) {
    tokens[id] = Buffer.from(content);
    if (isNormalized && isSpecial && parts.normalize !== undefined) {
      throw file.refusal('added_tokens', `${shown(content)} is special and normalized, which clm does not support.`);
    }
  }
  const { before, after } = readPostProcessor(file, vocabulary, addedTokens);
  const clm = file.fields('clm');
  const wantedEnd = endOfText === undefined ? clm?.value('endOfText') : endOfText;
  const ends = otherEnds ?? ((clm?.value('otherEnds') ?? []) as number[]);
  const chat = chatFormat.nullable().safeParse(clm?.value('chat') ?? null);
  if (!chat.success) throw file.refusal('clm.chat', 'is not a template with special tokens.');
  clm?.finish();
  if (!Array.isArray(ends) || !ends.every((id) => Number.isInteger(id) && id >= 0))
    throw file.refusal('clm.otherEnds', `${shown(ends)} is not a list of token ids.`);
  file.finish();
  const end = wantedEnd === undefined && after !== null ? after : endOfTextId(file, addedTokens, vocabulary, wantedEnd);
  if (after !== null && after !== end) {
    throw file.refusal(
      'post_processor',
      `puts the token ${after} after every text, which is not the one that ends documents; clm supports only that one.`,
    );
  }
  return bpeTokenizer({
    ...parts,
    tokens: Array.from(tokens),
    merges,
    addedTokens,
    startTokenIds: before,
    endsTexts: after !== null,
    endOfText: end,
    otherEnds: ends.filter((id) => id !== end),
    chat: chat.data,
    json:
      endOfText === undefined && otherEnds === undefined
        ? json
        : {
            ...json,
            clm: {
              ...(wantedEnd !== undefined && { endOfText: wantedEnd }),
              ...(ends.length > 0 && { otherEnds: ends }),
              ...(chat.data && { chat: chat.data }),
            },
          },
  });
}

function endOfTextId(
  file: Fields,
  addedTokens: readonly AddedToken[],
  vocabulary: ReadonlyMap<string, number>,
  wanted: unknown,
): number | null {
  if (wanted === null) return null;
  const special = new Map(addedTokens.filter(({ isSpecial }) => isSpecial).map(({ content, id }) => [content, id]));
  if (wanted === undefined) return special.get(usualEnds.find((end) => special.has(end)) ?? '') ?? null;
  const added = addedTokens.find(({ content }) => content === wanted)?.id;
  const id = added ?? vocabulary.get(String(wanted));
  if (id !== undefined) return id;
  const known = [...special.keys()].slice(0, 8).map(shown).join(', ') || 'none';
  throw file.refusal(
    'added_tokens',
    `${shown(wanted)}, which should end documents, is not a token; the special tokens of the file are ${known}.`,
  );
}

/** The ids before every text, and the one after it, null for none. */
function readPostProcessor(
  file: Fields,
  vocabulary: ReadonlyMap<string, number>,
  addedTokens: readonly AddedToken[],
): { before: number[]; after: number | null } {
  const top = file.fields('post_processor');
  if (top === undefined) return { before: [], after: null };
  const isSequence = top.value('type') === 'Sequence';
  const steps = isSequence ? top.list('processors') : [top];
  if (isSequence) top.finish();
  const before: number[] = [];
  const after: number[] = [];
  for (const step of steps) {
    step.only('type', 'ByteLevel', 'TemplateProcessing', 'RobertaProcessing', 'BertProcessing');
    const type = step.value('type');
    if (type === 'ByteLevel') continue; // adjusts offsets only
    if (type !== 'TemplateProcessing') {
      before.unshift(pairedId(step, 'cls'));
      after.push(pairedId(step, 'sep'));
      step.finish('trim_offsets', 'add_prefix_space'); // about offsets
      continue;
    }
    const template = step.list('single');
    const items = template.map((item) => item.fields('Sequence') ?? item.fields('SpecialToken'));
    const ids = items.map((item, i) => {
      if (template[i]!.value('Sequence') !== undefined) return null;
      const name = item?.text('id') ?? '';
      const id = addedTokens.find(({ content }) => content === name)?.id ?? vocabulary.get(name);
      if (id === undefined) throw step.refusal('single', `${shown(name)} is not a token.`);
      return id;
    });
    const text = ids.indexOf(null);
    if (text < 0 || ids.lastIndexOf(null) !== text) throw step.refusal('single', 'does not have the text once.');
    before.unshift(...(ids.slice(0, text) as number[]));
    after.push(...(ids.slice(text + 1) as number[]));
  }
  if (after.length > 1) throw file.refusal('post_processor', 'several tokens after the text are not supported.');
  return { before, after: after[0] ?? null };

  /** The id of ["<s>", 0]. It counts, whatever token has it. */
  function pairedId(step: Fields, name: 'cls' | 'sep'): number {
    const pair = step.value(name);
    const id: unknown = Array.isArray(pair) ? pair[1] : undefined;
    const isToken = [...vocabulary.values()].some((one) => one === id) || addedTokens.some((one) => one.id === id);
    if (typeof id !== 'number' || !isToken) throw step.refusal(name, `${shown(pair)} is not a token and its id.`);
    return id;
  }
}
