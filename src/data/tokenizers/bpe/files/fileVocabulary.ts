/** Reads vocabulary, merges and added tokens of a tokenizer.json. */
import { loneSurrogate } from '../../tokenizer.ts';
import type { AddedToken } from '../addedTokens.ts';
import type { Fields } from './fileFields.ts';
import { shown } from './fileFields.ts';
import type { Merge } from '../mergeTable.ts';

const maximumTokens = 2 ** 22;
const maximumMerges = 2 ** 22;
/** Bytes; words of more are cut (segments.ts). */
export const longestToken = 65_535;

/** Ids by the spelling of their tokens. @throws wrongInput for ids that are out of range or used twice */
export function readVocabulary(model: Fields): Map<string, number> {
  const value = model.value('vocab');
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw model.refusal('vocab', 'is not an object of tokens and ids. Get a fresh copy of the file.');
  }
  const entries = Object.entries(value);
  if (entries.length === 0) throw model.refusal('vocab', 'is empty.');
  const seen = new Set<number>();
  for (const [token, id] of entries) {
    if (!isTokenId(id))
      throw model.refusal('vocab', `${shown(token)} has the id ${shown(id)}; ids are 0 … ${maximumTokens - 1}.`);
    if (seen.has(id)) throw model.refusal('vocab', `the id ${id} is used twice, the second time for ${shown(token)}.`);
    seen.add(id);
  }
  return new Map(entries as [string, number][]);
}

const isTokenId = (id: unknown): id is number =>
  Number.isInteger(id) && (id as number) >= 0 && (id as number) < maximumTokens;

/**
 * Merges are "left right" or ["left", "right"]. @throws wrongInput if a part or the result is not in the vocabulary
 */
export function readMerges(model: Fields, vocabulary: ReadonlyMap<string, number>): Merge[] {
  const list = model.value('merges');
  if (!Array.isArray(list)) throw model.refusal('merges', 'is not an array. Get a fresh copy of the file.');
  if (list.length > maximumMerges)
    throw model.refusal('merges', `has ${list.length} merges; the maximum is ${maximumMerges}.`);
  return list.map((merge: unknown, i) => {
    const parts: unknown = typeof merge === 'string' ? merge.split(' ') : merge;
    if (!Array.isArray(parts) || parts.length !== 2 || parts.some((part) => typeof part !== 'string')) {
      throw model.refusal(`merges[${i}]`, `${shown(merge)} is not a pair of tokens. Get a fresh copy of the file.`);
    }
    const [left, right] = parts as [string, string];
    const ids = [left, right, left + right].map((token) => vocabulary.get(token));
    const missing = ids.indexOf(undefined);
    if (missing >= 0) {
      throw model.refusal(
        `merges[${i}]`,
        `${shown([left, right, left + right][missing])} is not in the vocabulary. Get a fresh copy of the file.`,
      );
    }
    return { left: ids[0]!, right: ids[1]!, merged: ids[2]! };
  });
}

/**
 * Hugging Face's tokenizers do not read the ids of added tokens: one that is in the vocabulary has its id there, the
 * others follow the vocabulary in their order.
 * @throws wrongInput for tokens with options that clm does not support, or with another id than Hugging Face gives them
 */
export function readAddedTokens(file: Fields, vocabulary: ReadonlyMap<string, number>): AddedToken[] {
  const assigned = new Map(vocabulary);
  const used = new Set(vocabulary.values());
  let next = vocabulary.size;
  return file.list('added_tokens').map((token) => {
    const id = token.value('id');
    const content = token.text('content');
    if (!isTokenId(id)) throw token.refusal('id', `${shown(id)} is not an id; ids are 0 … ${maximumTokens - 1}.`);
    if (content === '' || loneSurrogate.test(content) || Buffer.byteLength(content) > longestToken) {
      throw token.refusal('content', `${shown(content)} cannot be a token.`);
    }
    const isNew = !assigned.has(content);
    if (isNew) assigned.set(content, next++);
    if (assigned.get(content) !== id) {
      throw token.refusal(
        'id',
        `is ${id}, but Hugging Face's tokenizers give ${shown(content)} the id ${assigned.get(content)}. ` +
          'Correct it, or get a fresh copy of the file.',
      );
    }
    if (isNew && used.has(id)) throw token.refusal('id', `is ${id}, which another token of the vocabulary has.`);
    const isSpecial = token.flag('special');
    const isNormalized = token.flag('normalized', !isSpecial);
    const [isSingleWord, stripsLeft, stripsRight] = [
      token.flag('single_word'),
      token.flag('lstrip'),
      token.flag('rstrip'),
    ];
    token.finish();
    return { id, content, isSpecial, isNormalized, isSingleWord, stripsLeft, stripsRight };
  });
}
