/**
 * The parts of a micro-batch that are computed side by side in the graph. Small operations do not fill several cores,
 * but several branches do: with a thread or a few to each, a step on two cores takes a quarter less time. Loads nothing
 * native, for the plan asks it too.
 */

/**
 * How many branches a micro-batch has: a window is never parted, and with a single branch its operations get all cores.
 */
export const branchCount = ({ branches, microBatchSize }: { branches: number; microBatchSize: number }): number =>
  Math.min(branches, microBatchSize);

/** The windows of each branch: as equal as they divide, none without one. */
export function branchWindows(microBatchSize: number, branches: number): { start: number; windows: number }[] {
  const count = branchCount({ branches, microBatchSize });
  const border = (branch: number): number => Math.floor((branch * microBatchSize) / count);
  return Array.from({ length: count }, (_, branch) => ({
    start: border(branch),
    windows: border(branch + 1) - border(branch),
  }));
}
