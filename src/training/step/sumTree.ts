/**
 * The tree in which gradients are added up. Its leaves are the micro-batches of a step: of an even number of them each
 * half is summed by itself, and so on, and an odd number is summed in order. So a process that computes a half, or a
 * quarter, adds it up as one process alone would, and the sums of the processes are then added in the same tree.
 * Inside a micro-batch the branches are added in the same way (`sumOfProducts`).
 *
 * One process adds as a binary counter counts: a stack has a sum for each block of micro-batches that is complete, and
 * its topmost sums become one as soon as they are of equal size. The stack grows to its full height only before the
 * last micro-batch; most of the time it has one or two sums.
 */

/** The most levels of halves, because of clm's kernel: it takes 8 sums. */
const mostLevels = 7;

export interface SumTree {
  /** Micro-batches that are summed in order. */
  inOrder: number;
  /** The largest number of processes, a power of two, among which the micro-batches can be shared out. */
  blocks: number;
}

/** @param microBatches of a step */
export function sumTree(microBatches: number): SumTree {
  const blocks = Math.min(microBatches & -microBatches, 2 ** mostLevels);
  return { inOrder: microBatches / blocks, blocks };
}

/** How many sums there are at most while the micro-batches of the tree are computed one after the other. */
export const sumsOf = ({ inOrder, blocks }: SumTree): number => Math.max(1, Math.log2(blocks) + (inOrder > 1 ? 1 : 0));

/**
 * What happens to the gradient of micro-batch `index` (from 0): `adds` sums, from the top of the stack down, are added
 * to it, and the result becomes sum `into`, the lowest of them or a new one. After the last micro-batch sum 0 is that
 * of all.
 */
export function accumulation({ inOrder }: SumTree, index: number): { adds: number; into: number } {
  const [before, inBlock] = [Math.floor(index / inOrder), index % inOrder];
  const started = inBlock > 0 ? 1 : 0;
  const ended = before + 1; // blocks, if this micro-batch ends one
  const adds = started + (inBlock + 1 === inOrder ? Math.log2(ended & -ended) : 0);
  return { adds, into: bitCount(before) + started - adds };
}

/** How many blocks of different sizes `blocks` are. */
const bitCount = (blocks: number): number => (blocks === 0 ? 0 : (blocks % 2) + bitCount(blocks >> 1));
