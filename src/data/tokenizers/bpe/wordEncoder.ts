/** Encodes one word, from the cache or by merging. */
import type { MergeTable } from './mergeTable.ts';
import { wordMerger } from './mergeWord.ts';
import { wordCache } from './wordCache.ts';

/**
 * Writes the tokens of a word before any merge to `word`: one per byte or per character.
 * @returns their number; −1 − n if byte n of the word is not in the vocabulary
 */
export type FirstTokens = (utf8: Uint8Array, start: number, end: number, word: Int32Array) => number;

/**
 * Writes the ids of the word to `ids` from index `count` on. `ids` must have room for one id per byte.
 * @returns the new count; −1 − n if byte n of the word is not in the vocabulary
 */
type EncodeWord = (utf8: Uint8Array, start: number, end: number, ids: Int32Array, count: number) => number;

export function wordEncoder(
  table: MergeTable,
  firstTokens: FirstTokens,
  wholeWords: ReadonlyMap<string, number> | undefined,
): EncodeWord {
  const cache = wordCache();
  const merge = wordMerger(table);
  let word = new Int32Array(256);
  return (utf8, start, end, ids, count) => {
    const cached = cache.find(utf8, start, end, ids, count);
    if (cached >= 0) return cached;
    const wholeWord = wholeWords?.get(
      Buffer.from(utf8.buffer, utf8.byteOffset + start, end - start).toString('latin1'),
    );
    let to = count;
    if (wholeWord !== undefined) {
      ids[to++] = wholeWord;
    } else {
      if (word.length < end - start) word = new Int32Array(2 * (end - start));
      const first = firstTokens(utf8, start, end, word);
      if (first < 0) return first;
      const merged = merge(word, first);
      for (let i = 0; i < merged; i++) ids[to++] = word[i]!;
    }
    cache.store(utf8, start, end, ids, count, to);
    return to;
  };
}
