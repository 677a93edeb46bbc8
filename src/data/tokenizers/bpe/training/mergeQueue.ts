/**
 * The pairs that wait to be merged, the most frequent first, among equals the one with the smaller ids; and in which
 * words each is to be looked for. An entry holds the words that one step brought it; a pair may have several entries.
 * Counts change while entries wait: one that comes up with an old count goes back with the new one.
 */
import type { PairTable } from './pairTable.ts';
import { grown } from './wordCounts.ts';

interface MergeQueue {
  /** The pair now also stands in `word`. */
  note(pair: number, word: number): void;
  /** Makes entries of what was noted since the last time. */
  pushNoted(): void;
  /** The pair to merge next; −1 where none is left. Its words are then taken one by one. */
  pop(): number;
  /** A word of the entry that came last; −1 after all of them. */
  takeWord(): number;
}

export function mergeQueue(pairs: PairTable): MergeQueue {
  // Words of entries: linked lists of nodes, which are used again.
  let nodeWords = new Int32Array(2 ** 16);
  let nodeNext = new Int32Array(2 ** 16);
  let nodes = 0;
  let freeNode = -1;
  // Lists in the making, by pair.
  let noted = new Int32Array(2 ** 14).fill(-1);
  const notedPairs: number[] = [];
  // Entries, and the heap of their numbers.
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

  /** Lets the entry, which takes the place of the first, sink to where it belongs. */
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
