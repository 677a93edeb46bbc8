/**
 * Hashes of texts with the place where each was first seen, in bounded memory. When more than `most` different hashes
 * have come, the table keeps a sample: every second of them, then every fourth, and so on. A hash itself decides
 * whether it is in the sample, so the sample does not depend on the order of the texts, and all copies are in it.
 */
import { grown } from '../tokenizers/bpe/training/wordCounts.ts';

export interface HashTable {
  /** Whether the hash belongs to the sample; all do until the table is full. */
  isSampled(low: number): boolean;
  /** Counts a hash of the sample. @returns the position of its first occurrence, or −1 if this is the first */
  add(high: number, low: number, position: number): number;
  /** Marks a hash as seen elsewhere too. @returns the position of its first occurrence, or −1 if it is unknown */
  mark(high: number, low: number): number;
  /** Estimates if the table is a sample: numbers in the sample times `every`. */
  totals(): { distinct: number; occurrences: number; marked: number; every: number };
}

/** About 30 MB when full. */
const defaultMost = 2 ** 20;

/** @param most different hashes to keep: a power of two, at least 32 */
export function openHashTable(most = defaultMost): HashTable {
  let slots = new Int32Array(64); // entry + 1
  let keys = new Uint32Array(64); // high and low of each entry
  let positions = new Float64Array(32);
  let counts = new Uint32Array(32);
  let marks = new Uint8Array(32);
  let size = 0;
  let every = 1;

  const slotOf = (high: number, low: number): number => {
    const mask = slots.length - 1;
    let slot = (Math.imul(high ^ (low >>> 7), 0x9e3779b1) >>> 7) & mask;
    for (; slots[slot] !== 0; slot = (slot + 1) & mask) {
      const entry = slots[slot]! - 1;
      if (keys[2 * entry] === high && keys[2 * entry + 1] === low) break;
    }
    return slot;
  };
  const rebuildSlots = (length: number): void => {
    slots = new Int32Array(length);
    for (let entry = 0; entry < size; entry++) slots[slotOf(keys[2 * entry]!, keys[2 * entry + 1]!)] = entry + 1;
  };
  const isSampled = (low: number): boolean => (low & (every - 1)) === 0;
  const halveSample = (): void => {
    every *= 2;
    let kept = 0;
    for (let entry = 0; entry < size; entry++) {
      if (!isSampled(keys[2 * entry + 1]!)) continue;
      keys[2 * kept] = keys[2 * entry]!;
      keys[2 * kept + 1] = keys[2 * entry + 1]!;
      positions[kept] = positions[entry]!;
      counts[kept] = counts[entry]!;
      marks[kept++] = marks[entry]!;
    }
    size = kept;
    rebuildSlots(slots.length);
  };
  const grow = (): void => {
    keys = grown(keys, 4 * size);
    positions = grown(positions, 2 * size);
    counts = grown(counts, 2 * size);
    marks = grown(marks, 2 * size);
    rebuildSlots(4 * size);
  };

  return {
    isSampled,
    add: (high, low, position) => {
      const slot = slotOf((high >>>= 0), (low >>>= 0));
      const known = slots[slot]! - 1;
      if (known >= 0) {
        counts[known]!++;
        return positions[known]!;
      }
      keys[2 * size] = high;
      keys[2 * size + 1] = low;
      positions[size] = position;
      counts[size] = 1;
      marks[size] = 0;
      slots[slot] = ++size;
      if (size === counts.length) (size < most ? grow : halveSample)();
      return -1;
    },
    mark: (high, low) => {
      const entry = slots[slotOf(high >>> 0, low >>> 0)]! - 1;
      if (entry < 0) return -1;
      marks[entry] = 1;
      return positions[entry]!;
    },
    totals: () => {
      let [occurrences, marked] = [0, 0];
      for (let entry = 0; entry < size; entry++) {
        occurrences += counts[entry]!;
        marked += marks[entry]!;
      }
      return { distinct: every * size, occurrences: every * occurrences, marked: every * marked, every };
    },
  };
}
