/** Which part of every step one of several processes computes: whole micro-batches, or branches of each. */
import type { Config } from '../../config/schema.ts';
import { constantOf } from '../../config/sections/stages.ts';
import { wrongInput } from '../../errors.ts';
import { branchCount } from './branches.ts';
import { sumTree } from './sumTree.ts';

export interface StepShare {
  /** Index in the step. */
  firstMicroBatch: number;
  microBatches: number;
  /** Of each of these micro-batches. */
  firstBranch: number;
  branches: number;
}

type Shared = Pick<Config['training'], 'microBatchesPerStep' | 'microBatchSize'>;

/**
 * The share of process `rank` of `size`, which are a power of two: as many micro-batches as each other process, next to
 * each other; if there are more processes than micro-batches, as many branches of one.
 *
 * @param branches of a micro-batch
 */
export function stepShare(training: Shared, branches: number, rank: number, size: number): StepShare {
  const microBatchesPerStep = constantOf(training.microBatchesPerStep);
  if (size <= microBatchesPerStep) {
    const microBatches = microBatchesPerStep / size;
    return { firstMicroBatch: rank * microBatches, microBatches, firstBranch: 0, branches };
  }
  const processes = size / microBatchesPerStep; // for each micro-batch
  return {
    firstMicroBatch: Math.floor(rank / processes),
    microBatches: 1,
    firstBranch: (rank % processes) * (branches / processes),
    branches: branches / processes,
  };
}

/**
 * Refuses a number of processes among which the steps of a config can't be shared out so that all numbers of processes
 * compute the same.
 *
 * @throws wrong input that names the key
 */
export function refuseIndivisible(training: Shared & { branches: number }, processes: number): void {
  if (processes === 1) return;
  const { microBatchesPerStep, microBatchSize } = training;
  if (typeof microBatchesPerStep !== 'number') {
    for (const { value } of microBatchesPerStep)
      refuseIndivisible({ ...training, microBatchesPerStep: value }, processes);
    return;
  }
  const { blocks } = sumTree(microBatchesPerStep);
  const branches = branchCount(training);
  const most = blocks === microBatchesPerStep ? blocks * (branches & -branches) : blocks;
  if ((processes & (processes - 1)) === 0 && processes <= most) return;
  const units = `training.microBatchesPerStep is ${microBatchesPerStep}`;
  const ofOne =
    branches === 1 ? '' : `, each of ${branches} branches (training.branches, and microBatchSize ${microBatchSize})`;
  const possible = Array.from({ length: Math.log2(most) + 1 }, (_, i) => 2 ** i).join(', ');
  throw wrongInput(
    `--processes ${processes}: ${units}${ofOne}, which can be divided among ${possible} ` +
      `process${most === 1 ? '' : 'es'}: powers of two that divide the micro-batches of a step. ` +
      `Set training.microBatchesPerStep to a multiple of ${2 ** Math.ceil(Math.log2(processes))}.`,
  );
}
