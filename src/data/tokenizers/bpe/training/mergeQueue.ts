/**
 * A priority queue of the pairs to merge, the most frequent first, then the smallest ids; with the words that each pair
 * may occur in. A pair has one entry for every step that added words to it. Counts change while entries wait, so an
 * entry that reaches the top with an outdated count is put back with the new one.
 */
import type { PairTable } from './pairTable.ts';
import { grown } from './wordCounts.ts';

interface MergeQueue {
  /** The pair now also occurs in `word`. */
  note(pair: number, word: number): void;
  /** Makes entries of everything noted since the last call. */
  pushNoted(): void;
  /** The pair to merge next; −1 if none is left. Take its words with `takeWord`. */
  pop(): number;
  /** The next word of the entry last popped; −1 after all of them. */
  takeWord(): number;
}

export function mergeQueue(pairs: PairTable): MergeQueue {
  // Words of entries: linked lists of nodes, which are reused.
  let nodeWords = new Int32Array(2 ** 16);
  let nodeNext = new Int32Array(2 ** 16);
  let nodes = 0;
  let freeNode = -1;
  // Lists of noted words, by pair.
  let noted = new Int32Array(2 ** 14).fill(-1);
  const notedPairs: number[] = [];
  // Entries, and the heap of their indices.
  let entryPairs = new Int32Array(2 ** 14);
  let entryCounts = new Float64Array(2 ** 14);
  let entryNodes = new Int32Array(2 ** 14);
  let entries = 0;
  const freeEntries: number[] = [];
  let heap = new Int32Array(2 ** 14);
  let waiting = 0;
  let taking = -1;

  const newNode = (word: number, next: number): number => {
    let node = freeNode;
    if (node >= 0) {
      freeNode = nodeNext[node]!;
    } else {
      if (nodes === nodeWords.length) {
        nodeWords = grown(nodeWords, Math.ceil(1.5 * nodes));
        nodeNext = grown(nodeNext, Math.ceil(1.5 * nodes));
      }
      node = nodes++;
    }
    nodeWords[node] = word;
    nodeNext[node] = next;
    return node;
  };

  const release = (node: number): number => {
    const next = nodeNext[node]!;
    nodeNext[node] = freeNode;
    freeNode = node;
    return next;
  };

  const comesFirst = (a: number, b: number): boolean => {
    if (entryCounts[a] !== entryCounts[b]) return entryCounts[a]! > entryCounts[b]!;
    const [pairA, pairB] = [entryPairs[a]!, entryPairs[b]!];
    const left = pairs.left(pairA) - pairs.left(pairB);
    return left !== 0 ? left < 0 : pairs.right(pairA) < pairs.right(pairB);
  };

  const push = (entry: number): void => {
    if (waiting === heap.length) heap = grown(heap, 2 * waiting);
    let at = waiting++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!comesFirst(entry, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = entry;
  };

  /** Replaces the top of the heap by `entry` and restores the heap order. */
  const sink = (entry: number): void => {
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= waiting) break;
      if (child + 1 < waiting && comesFirst(heap[child + 1]!, heap[child]!)) child++;
      if (!comesFirst(heap[child]!, entry)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = entry;
  };

  return {
    note: (pair, word) => {
      if (pair >= noted.length) {
        const before = noted.length;
        noted = grown(noted, 2 * Math.max(pair, before)).fill(-1, before);
      }
      const head = noted[pair]!;
      if (head >= 0 && nodeWords[head] === word) return;
      if (head < 0) notedPairs.push(pair);
      noted[pair] = newNode(word, head);
    },
    pushNoted: () => {
      for (const pair of notedPairs) {
        let node = noted[pair]!;
        noted[pair] = -1;
        if (!(pairs.counts[pair]! > 0)) {
          while (node >= 0) node = release(node);
          continue;
        }
        const entry = freeEntries.pop() ?? entries++;
        if (entry === entryPairs.length) {
          entryPairs = grown(entryPairs, 2 * entry);
          entryCounts = grown(entryCounts, 2 * entry);
          entryNodes = grown(entryNodes, 2 * entry);
        }
        entryPairs[entry] = pair;
        entryCounts[entry] = pairs.counts[pair]!;
        entryNodes[entry] = node;
        push(entry);
      }
      notedPairs.length = 0;
    },
    pop: () => {
      while (waiting > 0) {
        const entry = heap[0]!;
        const pair = entryPairs[entry]!;
        if (entryCounts[entry] !== pairs.counts[pair]) {
          entryCounts[entry] = pairs.counts[pair]!;
          sink(entry);
          continue;
        }
        if (entryCounts[entry]! < 1) return -1;
        waiting--;
        if (waiting > 0) sink(heap[waiting]!);
        freeEntries.push(entry);
        taking = entryNodes[entry]!;
        return pair;
      }
      return -1;
    },
    takeWord: () => {
      if (taking < 0) return -1;
      const word = nodeWords[taking]!;
      taking = release(taking);
      return word;
    },
  };
}
