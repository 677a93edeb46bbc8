/**
 * Byte-pair encoding of one word: the pair of the lowest rank, leftmost first, is merged until no pair is left.
 */
import type { MergeTable } from './mergeTable.ts';

const none = 0x7fffffff;
/** Up to this length, checking every pair after every merge is faster than a heap. */
const shortWord = 48;
/** More than the length of any word (see segments.ts): a heap entry is rank · positionCount + position. */
const positionCount = 2 ** 18;

/** Merges the first `length` ids of `word` in place. @returns how many ids are left */
type MergeWord = (word: Int32Array, length: number) => number;

export function wordMerger(table: MergeTable): MergeWord {
  const ofShort = shortWordMerger(table);
  const ofLong = longWordMerger(table);
  return (word, length) => (length <= shortWord ? ofShort(word, length) : ofLong(word, length));
}

function shortWordMerger({ rank, merged }: MergeTable): MergeWord {
  const ranks = new Int32Array(shortWord); // ranks[i]: of the pair (i, i + 1)
  const rankOf = (left: number, right: number): number => {
    const found = rank(left, right);
    return found < 0 ? none : found;
  };
  return (word, length) => {
    for (let i = 0; i + 1 < length; i++) ranks[i] = rankOf(word[i]!, word[i + 1]!);
    for (;;) {
      let lowest = none;
      let at = 0;
      for (let i = 0; i + 1 < length; i++) {
        if (ranks[i]! < lowest) {
          lowest = ranks[i]!;
          at = i;
        }
      }
      if (lowest === none) return length;
      word[at] = merged[lowest]!;
      length--;
      for (let i = at + 1; i < length; i++) {
        word[i] = word[i + 1]!;
        ranks[i] = ranks[i + 1]!;
      }
      if (at > 0) ranks[at - 1] = rankOf(word[at - 1]!, word[at]!);
      if (at + 1 < length) ranks[at] = rankOf(word[at]!, word[at + 1]!);
    }
  };
}

/** The same in O(n log n): a heap of merges, some of them outdated, over a linked list of the remaining tokens. */
function longWordMerger({ rank, merged }: MergeTable): MergeWord {
  let next = new Int32Array(1024);
  let previous = new Int32Array(1024);
  const heap = numberHeap(2048);
  const gone = -1;
  return (word, length) => {
    if (next.length < length) {
      next = new Int32Array(2 * length);
      previous = new Int32Array(2 * length);
    }
    const propose = (left: number, right: number): void => {
      const found = rank(word[left]!, word[right]!);
      if (found >= 0) heap.push(found * positionCount + left);
    };
    for (let i = 0; i < length; i++) {
      next[i] = i + 1;
      previous[i] = i - 1;
      if (i > 0) propose(i - 1, i);
    }
    for (let top = heap.pop(); top >= 0; top = heap.pop()) {
      const left = top % positionCount;
      const right = next[left]!;
      const isCurrent =
        word[left] !== gone && right < length && rank(word[left]!, word[right]!) * positionCount + left === top;
      if (!isCurrent) continue;
      word[left] = merged[(top - left) / positionCount]!;
      word[right] = gone;
      next[left] = next[right]!;
      if (next[left]! < length) {
        previous[next[left]!] = left;
        propose(left, next[left]!);
      }
      if (previous[left]! >= 0) propose(previous[left]!, left);
    }
    let left = 0;
    for (let i = 0; i < length; i = next[i]!) word[left++] = word[i]!;
    return left;
  };
}

/** A binary min-heap of numbers ≥ 0. `pop` returns −1 if it is empty. */
function numberHeap(capacity: number): { push(value: number): void; pop(): number } {
  let values = new Float64Array(capacity);
  let count = 0;
  return {
    push: (value) => {
      if (count === values.length) {
        const larger = new Float64Array(2 * count);
        larger.set(values);
        values = larger;
      }
      let at = count++;
      while (at > 0) {
        const parent = (at - 1) >> 1;
        if (values[parent]! <= value) break;
        values[at] = values[parent]!;
        at = parent;
      }
      values[at] = value;
    },
    pop: () => {
      if (count === 0) return -1;
      const top = values[0]!;
      const last = values[--count]!;
      let at = 0;
      for (;;) {
        let child = 2 * at + 1;
        if (child >= count) break;
        if (child + 1 < count && values[child + 1]! < values[child]!) child++;
        if (values[child]! >= last) break;
        values[at] = values[child]!;
        at = child;
      }
      values[at] = last;
      return top;
    },
  };
}
