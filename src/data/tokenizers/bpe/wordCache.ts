/**
 * The words that were encoded before, with their ids: most words of a text are among them. A hash table over the bytes
 * of the words in flat arrays; when it is full it is emptied, so its memory is bounded (about 12 MB) whatever the text.
 */

const slotCount = 2 ** 18;
const mostWords = slotCount / 2;
const keyBytes = 2 ** 22;
const idCount = 2 ** 20;
/** Longer words are rarely met again. */
const longestWord = 128;

export interface WordCache {
  /** Copies the ids of the word to `ids` from `count` on and returns the new count; −1 for a word that is not there. */
  find(utf8: Uint8Array, start: number, end: number, ids: Int32Array, count: number): number;
  /** Stores the word that the last `find` did not find, with its ids, which lie in `ids` from `from` to `to`. */
  store(utf8: Uint8Array, start: number, end: number, ids: Int32Array, from: number, to: number): void;
}

export function wordCache(): WordCache {
  const slots = new Int32Array(4 * slotCount); // start of the key + 1, its bytes, start of the ids, their count
  const keys = new Uint8Array(keyBytes);
  const idsOfWords = new Int32Array(idCount);
  let words = 0;
  let keyEnd = 0;
  let idsEnd = 0;
  let freeSlot = 0;
  return {
    find: (utf8, start, end, ids, count) => {
      let hash = 0x811c9dc5;
      for (let at = start; at < end; at++) hash = Math.imul(hash ^ utf8[at]!, 0x01000193);
      let slot = ((hash ^ (hash >>> 15)) & (slotCount - 1)) << 2;
      for (; slots[slot] !== 0; slot = (slot + 4) & (4 * slotCount - 1)) {
        if (slots[slot + 1] !== end - start) continue;
        let key = slots[slot]! - 1;
        let at = start;
        while (at < end && keys[key] === utf8[at]) {
          key++;
          at++;
        }
        if (at < end) continue;
        const first = slots[slot + 2]!;
        const last = first + slots[slot + 3]!;
        for (let i = first; i < last; i++) ids[count++] = idsOfWords[i]!;
        return count;
      }
      freeSlot = slot;
      return -1;
    },
    store: (utf8, start, end, ids, from, to) => {
      if (end - start > longestWord) return;
      if (words === mostWords || keyEnd + end - start > keyBytes || idsEnd + to - from > idCount) {
        slots.fill(0);
        words = keyEnd = idsEnd = 0;
        return;
      }
      slots[freeSlot] = keyEnd + 1;
      slots[freeSlot + 1] = end - start;
      slots[freeSlot + 2] = idsEnd;
      slots[freeSlot + 3] = to - from;
      for (let at = start; at < end; at++) keys[keyEnd++] = utf8[at]!;
      for (let i = from; i < to; i++) idsOfWords[idsEnd++] = ids[i]!;
      words++;
    },
  };
}
