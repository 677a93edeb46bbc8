/** Pairs of ids, indexed in order of occurrence, and their counts: a hash table in typed arrays. */
import { pairHash } from '../mergeTable.ts';
import { grown } from './wordCounts.ts';

export interface PairTable {
  /** The index of a pair, which is added if it is new. */
  of(left: number, right: number): number;
  left(pair: number): number;
  right(pair: number): number;
  readonly counts: Float64Array;
}

export function pairTable(): PairTable {
  let slots = new Int32Array(2 ** 16); // pair + 1
  let ids = new Int32Array(2 ** 15); // left and right of each pair
  let counts = new Float64Array(2 ** 14);
  let size = 0;
  const slotOf = (left: number, right: number): number => {
    const mask = slots.length - 1;
    let slot = pairHash(left, right) & mask;
    for (; slots[slot] !== 0; slot = (slot + 1) & mask) {
      const pair = slots[slot]! - 1;
      if (ids[2 * pair] === left && ids[2 * pair + 1] === right) break;
    }
    return slot;
  };
  return {
    of: (left, right) => {
      const slot = slotOf(left, right);
      if (slots[slot] !== 0) return slots[slot]! - 1;
      if (size === counts.length) {
        counts = grown(counts, 2 * size);
        ids = grown(ids, 4 * size);
      }
      ids[2 * size] = left;
      ids[2 * size + 1] = right;
      slots[slot] = ++size;
      if (2 * size > slots.length) {
        slots = new Int32Array(2 * slots.length);
        for (let pair = 0; pair < size; pair++) slots[slotOf(ids[2 * pair]!, ids[2 * pair + 1]!)] = pair + 1;
      }
      return size - 1;
    },
    left: (pair) => ids[2 * pair]!,
    right: (pair) => ids[2 * pair + 1]!,
    get counts() {
      return counts;
    },
  };
}
