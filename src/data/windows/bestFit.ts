/**
 * Stage: token windows. Best-fit-decreasing bin packing of document pieces into windows, with little padding and
 * without cutting pieces (as in Ding et al. 2024, https://arxiv.org/abs/2404.10830). The longest pieces are placed
 * first, each into the window with the least room that suffices.
 */

/** Which pieces share a window: those of window w are `pieces[firstPiece[w]]` … `pieces[firstPiece[w + 1] − 1]`. */
export interface PackedWindows {
  readonly pieces: Uint32Array;
  /** One entry more than windows. */
  readonly firstPiece: Uint32Array;
}

/**
 * Packs pieces of these lengths, each 1 … `capacity`, into windows of `capacity`. Pieces of equal length are placed in
 * order. O(n log capacity).
 */
export function bestFit(lengths: ArrayLike<number>, capacity: number): PackedWindows {
  const windowOf = new Uint32Array(lengths.length);
  const windowsByRoom: number[][] = Array.from({ length: capacity + 1 }, () => []);
  const rooms = smallestFinder(capacity);
  let windows = 0;
  for (const piece of longestFirst(lengths, capacity)) {
    const length = lengths[piece]!;
    let room = rooms.smallestFrom(length);
    const window = room === null ? windows++ : windowsByRoom[room]!.pop()!;
    if (room !== null && windowsByRoom[room]!.length === 0) rooms.remove(room);
    windowOf[piece] = window;
    room = (room ?? capacity) - length;
    if (room === 0) continue;
    if (windowsByRoom[room]!.push(window) === 1) rooms.add(room);
  }
  return grouped(windowOf, windows);
}

/** The indices of the pieces, longest first, equal lengths in order: a counting sort. */
function longestFirst(lengths: ArrayLike<number>, longest: number): Uint32Array {
  return grouped(
    Uint32Array.from(lengths, (length) => longest - length),
    longest,
  ).pieces;
}

/** The pieces sorted by group, in order within a group. @param groupOf the group of each piece, below `groups` */
function grouped(groupOf: Uint32Array, groups: number): PackedWindows {
  const firstPiece = new Uint32Array(groups + 1);
  for (const group of groupOf) firstPiece[group + 1]!++;
  for (let group = 0; group < groups; group++) firstPiece[group + 1]! += firstPiece[group]!;
  const next = firstPiece.slice();
  const pieces = new Uint32Array(groupOf.length);
  for (let piece = 0; piece < groupOf.length; piece++) pieces[next[groupOf[piece]!]!++] = piece;
  return { pieces, firstPiece };
}

/** A set of integers 0 … maximum that finds its smallest member ≥ a value: a binary tree in an array. */
function smallestFinder(maximum: number) {
  const leaves = 2 ** Math.ceil(Math.log2(maximum + 1));
  const isHeld = new Uint8Array(2 * leaves); // node n has the children 2n and 2n + 1; the leaves are last
  const set = (value: number, held: 0 | 1): void => {
    let node = leaves + value;
    isHeld[node] = held;
    while (node > 1) {
      node >>= 1;
      isHeld[node] = isHeld[2 * node]! | isHeld[2 * node + 1]!;
    }
  };
  return {
    add: (value: number): void => set(value, 1),
    remove: (value: number): void => set(value, 0),
    smallestFrom: (value: number): number | null => {
      let node = leaves + value;
      while (isHeld[node] === 0) {
        while ((node & 1) === 1) node >>= 1; // up to the first node with a right sibling
        if (node === 0) return null;
        node++;
      }
      while (node < leaves) node = 2 * node + (isHeld[2 * node] === 1 ? 0 : 1);
      return node - leaves;
    },
  };
}
