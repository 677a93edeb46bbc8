/**
 * Caches the ids of words, because most words of a text have occurred before. A hash table over the bytes of the words
 * in flat arrays. It is emptied when it is full, so its memory is bounded (about 12 MB).
 */

const slotCount = 2 ** 18;
const maximumWords = slotCount / 2;
const keyBytes = 2 ** 22;
const idCount = 2 ** 20;
/** Longer words rarely occur again, so they are not cached. */
const longestWord = 127;
/** Slots have four numbers: hash, length + 256 · ids, start of the key, the id itself or the start of the ids. */
const lastSlot = 4 * slotCount - 4;

interface WordCache {
  /** Copies the ids of the word to `ids` from `count` on. @returns the new count; −1 if the word is not cached */
  find(utf8: Uint8Array, start: number, end: number, ids: Int32Array, count: number): number;
  /** Stores the word that the last `find` did not find, with the ids from index `from` to `to` of `ids`. */
  store(utf8: Uint8Array, start: number, end: number, ids: Int32Array, from: number, to: number): void;
}

export function wordCache(): WordCache {
  const slots = new Int32Array(4 * slotCount);
  const keys = new Uint8Array(keyBytes);
  const idsOfWords = new Int32Array(idCount);
  let words = 0;
  let keyEnd = 0;
  let idsEnd = 0;
  let freeSlot = 0;
  let lastHash = 0;
  return {
    find: (utf8, start, end, ids, count) => {
      const length = end - start;
      if (length > longestWord) return -1;
      let hash = length;
      for (let at = start; at < end; at++) hash = Math.imul(hash ^ utf8[at]!, 0x01000193);
      hash ^= hash >>> 15;
      let slot = (hash << 2) & lastSlot;
      for (; slots[slot + 1] !== 0; slot = (slot + 4) & lastSlot) {
        if (slots[slot] !== hash) continue;
        const sizes = slots[slot + 1]!;
        if ((sizes & 0xff) !== length) continue;
        let key = slots[slot + 2]!;
        let at = start;
        while (at < end && keys[key] === utf8[at]) {
          key++;
          at++;
        }
        if (at < end) continue;
        const first = slots[slot + 3]!;
        if (sizes >> 8 === 1) {
          ids[count] = first;
          return count + 1;
        }
        const last = first + (sizes >> 8);
        for (let i = first; i < last; i++) ids[count++] = idsOfWords[i]!;
        return count;
      }
      freeSlot = slot;
      lastHash = hash;
      return -1;
    },
    store: (utf8, start, end, ids, from, to) => {
      if (end - start > longestWord) return;
      if (words === maximumWords || keyEnd + end - start > keyBytes || idsEnd + to - from > idCount) {
        slots.fill(0);
        words = keyEnd = idsEnd = 0;
        return;
      }
      slots[freeSlot] = lastHash;
      slots[freeSlot + 1] = end - start + 256 * (to - from);
      slots[freeSlot + 2] = keyEnd;
      for (let at = start; at < end; at++) keys[keyEnd++] = utf8[at]!;
      if (to - from === 1) {
        slots[freeSlot + 3] = ids[from]!;
      } else {
        slots[freeSlot + 3] = idsEnd;
        for (let i = from; i < to; i++) idsOfWords[idsEnd++] = ids[i]!;
      }
      words++;
    },
  };
}
