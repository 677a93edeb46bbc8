/** Vocabulary, merges and added tokens of a tokenizer.json. */
import { loneSurrogate } from '../../tokenizer.ts';
import type { AddedToken } from '../addedTokens.ts';
import type { Fields } from './fileFields.ts';
import { shown } from './fileFields.ts';
import type { Merge } from '../mergeTable.ts';

const mostTokens = 2 ** 22;
const mostMerges = 2 ** 22;
const longestToken = 65_535;

/** Ids by the spelling of their tokens. @throws wrongInput for ids out of range or given twice. */
export function readVocabulary(model: Fields): Map<string, number> {
  const value = model.value('vocab');
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw model.refusal('vocab', 'is no mapping of tokens to ids. Take a fresh copy of the file.');
  }
  const entries = Object.entries(value);
  if (entries.length === 0) throw model.refusal('vocab', 'is empty.');
  const seen = new Set<number>();
  for (const [token, id] of entries) {
    if (!isTokenId(id))
      throw model.refusal('vocab', `${shown(token)} has the id ${shown(id)}; ids are 0 … ${mostTokens - 1}.`);
    if (seen.has(id)) throw model.refusal('vocab', `the id ${id} is given twice, the second time to ${shown(token)}.`);
    if (Buffer.byteLength(token) > longestToken)
      throw model.refusal('vocab', `the token ${id} is longer than ${longestToken} bytes.`);
    seen.add(id);
  }
  return new Map(entries as [string, number][]);
}

const isTokenId = (id: unknown): id is number =>
  Number.isInteger(id) && (id as number) >= 0 && (id as number) < mostTokens;

/**
 * Merges are written as "left right" or as ["left", "right"]. @throws wrongInput where a part or the whole is no token.
 */
export function readMerges(model: Fields, vocabulary: ReadonlyMap<string, number>): Merge[] {
  const list = model.value('merges');
  if (!Array.isArray(list)) throw model.refusal('merges', 'is no list. Take a fresh copy of the file.');
  if (list.length > mostMerges) throw model.refusal('merges', `has ${list.length} merges; clm takes ${mostMerges}.`);
  return list.map((merge: unknown, i) => {
    const parts: unknown = typeof merge === 'string' ? merge.split(' ') : merge;
    if (!Array.isArray(parts) || parts.length !== 2 || parts.some((part) => typeof part !== 'string')) {
      throw model.refusal(`merges[${i}]`, `${shown(merge)} are not two tokens. Take a fresh copy of the file.`);
    }
    const [left, right] = parts as [string, string];
    const ids = [left, right, left + right].map((token) => vocabulary.get(token));
    const missing = ids.indexOf(undefined);
    if (missing >= 0) {
      throw model.refusal(
        `merges[${i}]`,
        `${shown([left, right, left + right][missing])} is not in the vocabulary. Take a fresh copy of the file.`,
      );
    }
    return { left: ids[0]!, right: ids[1]!, merged: ids[2]! };
  });
}

/** @throws wrongInput for tokens with options that clm does not know */
export function readAddedTokens(file: Fields): AddedToken[] {
  return file.list('added_tokens').map((token) => {
    const id = token.value('id');
    const content = token.text('content');
    if (!isTokenId(id)) throw token.refusal('id', `${shown(id)} is no id; ids are 0 … ${mostTokens - 1}.`);
    if (content === '' || loneSurrogate.test(content) || Buffer.byteLength(content) > longestToken) {
      throw token.refusal('content', `${shown(content)} can be no token.`);
    }
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
