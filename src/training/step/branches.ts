/**
 * The parts of a micro-batch that are computed in parallel in the graph. Small operations do not occupy several cores,
 * but several branches do, with one or a few threads each: a step on two cores takes a quarter less time. Loads nothing
 * native, because the plan of a run needs it too.
 */
import type { Config } from '../../config/schema.ts';

/** Rows of a micro-batch, each of T positions: one for each window; of preference pairs two. */
export const microBatchRows = ({ microBatchSize, objective }: Config['training']): number =>
  microBatchSize * (objective.kind === 'dpo' ? 2 : 1);

/** How many branches a micro-batch has, at most one a window; with a single branch, its operations use all cores. */
export const branchCount = ({ branches, microBatchSize }: { branches: number; microBatchSize: number }): number =>
  Math.min(branches, microBatchSize);

/** The windows of each branch, as equal as possible; every branch has at least one. */
export function branchWindows(microBatchSize: number, branches: number): { start: number; windows: number }[] {
  const count = branchCount({ branches, microBatchSize });
  const border = (branch: number): number => Math.floor((branch * microBatchSize) / count);
  return Array.from({ length: count }, (_, branch) => ({
    start: border(branch),
    windows: border(branch + 1) - border(branch),
  }));
}
