/**
 * The tree in which gradients are added up. Its leaves are the micro-batches of a step: of an even number of them each
 * half is summed by itself, and so on, and an odd number is summed in order. So a process that computes a half, or a
 * quarter, adds it up as one process alone would, and the sums of the processes are then added in the same tree.
 * Inside a micro-batch the branches are added in the same way (`sumOfProducts`).
 *
 * One process adds as a binary counter counts: the sum of every two sums of a level becomes one of the next. That takes
 * a variable of every parameter's size for each level, and one for what is summed in order.
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

/** How many sums are kept while the micro-batches of the tree are computed one after the other. */
export const sumsOf = ({ inOrder, blocks }: SumTree): number => Math.max(1, Math.log2(blocks) + (inOrder > 1 ? 1 : 0));

/**
 * What happens to the gradient of micro-batch `index` (from 0): the first `adds` sums are added to it, and the result
 * becomes sum `into`. After the last micro-batch the last sum is that of all.
 */
export function accumulation(tree: SumTree, index: number): { adds: number; into: number } {
  const { inOrder } = tree;
  if ((index + 1) % inOrder > 0) return { adds: index % inOrder > 0 ? 1 : 0, into: 0 };
  const ended = (index + 1) / inOrder; // blocks
  const adds = Math.log2(ended & -ended) + (inOrder > 1 ? 1 : 0);
  return { adds, into: Math.min(adds, sumsOf(tree) - 1) };
}
