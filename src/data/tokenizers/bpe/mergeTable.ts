/** The merges of a BPE as a hash table of pairs of ids: which two tokens become which, and their ranks. */

export interface Merge {
  readonly left: number;
  readonly right: number;
  readonly merged: number;
}

export interface MergeTable {
  /** The index of a pair in the list of merges, lowest merged first; −1 for a pair that is never merged. */
  rank(left: number, right: number): number;
  /** The resulting token of each merge, by rank. */
  readonly merged: Int32Array;
}

/** Pairs of ids below this, usually single bytes, are looked up without hashing. */
const smallIds = 288;

/** Open addressing with linear probing, at most half full. For a pair listed twice the later rank counts. */
export function mergeTable(merges: readonly Merge[]): MergeTable {
  let size = 16;
  while (size < 2 * merges.length) size *= 2;
  const mask = size - 1;
  const slots = new Int32Array(4 * size).fill(-1); // left, right, rank, unused: slots then do not straddle cache lines
  const find = (left: number, right: number): number => {
    let slot = pairHash(left, right) & mask;
    while (slots[4 * slot] !== -1 && (slots[4 * slot] !== left || slots[4 * slot + 1] !== right))
      slot = (slot + 1) & mask;
    return 4 * slot;
  };
  const smallRanks = new Int32Array(smallIds * smallIds).fill(-1);
  for (const [rank, { left, right }] of merges.entries()) {
    if (left < smallIds && right < smallIds) smallRanks[left * smallIds + right] = rank;
    const slot = find(left, right);
    slots[slot] = left;
    slots[slot + 1] = right;
    slots[slot + 2] = rank;
  }
  return {
    rank: (left, right) =>
      left < smallIds && right < smallIds ? smallRanks[left * smallIds + right]! : slots[find(left, right) + 2]!,
    merged: Int32Array.from(merges, ({ merged }) => merged),
  };
}

/** Mixes two token ids into 32 bits (multipliers of the finalizers of murmur3 and xxHash). */
export function pairHash(left: number, right: number): number {
  let hash = Math.imul(left, 0x85ebca6b) ^ Math.imul(right, 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return hash ^ (hash >>> 13);
}
