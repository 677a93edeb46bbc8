/** What a run needs if several processes train it: memory, traffic, and how well they use the time. */
import { lastStageConfig } from './stages.ts';
import type { Config } from '../../config/schema.ts';
import { parameterRoles } from '../../model/trainedParameters.ts';
import { branchCount, branchWindows } from '../step/branches.ts';
import { refuseIndivisible, stepShare } from '../step/stepShare.ts';
import { countWhere, memoryPlan } from './memory.ts';

export interface ProcessesPlan {
  processes: number;
  /** Predicted peak of rank 0, which also copies checkpoints. */
  bytesPerProcess: number;
  /** Gradients that a process sends in a step; it receives as many. */
  bytesSentPerStep: number;
  networkGigabits: number;
  /** How long sending them takes at that speed. */
  exchangeMs: number;
  /** Of a process, in a step; null if the time is not known. */
  computeMs: number | null;
  /** The share of the time in which the processes compute rather than wait for gradients. */
  efficiency: number | null;
}

const floatBytes = 4;
const bytesPerGigabitMs = 1e9 / 8 / 1000;

/**
 * @param alone how long a step takes one process of this machine, ms; null if that is not known
 * @param networkGigabits between the processes, in each direction
 * @throws wrong input if the steps cannot be shared out
 */
export function processesPlan(
  run: Config,
  vocabularySize: number,
  { processes, networkGigabits, alone }: { processes: number; networkGigabits: number; alone: number | null },
): ProcessesPlan {
  refuseIndivisible(run.training, processes);
  const config = lastStageConfig(run);
  const { training } = config;
  const { microBatches, branches } = stepShare(training, branchCount(training), 0, processes);
  const windows = branchWindows(training.microBatchSize, training.branches).slice(0, branches);
  const microBatchSize = windows.reduce((sum, each) => sum + each.windows, 0);
  const own = { ...config, training: { ...training, microBatchSize, branches, microBatchesPerStep: microBatches } };
  const roles = parameterRoles(config, vocabularySize);
  const gradientBytes = floatBytes * countWhere(roles.trained, () => true);
  const bytesSentPerStep = Math.log2(processes) * gradientBytes;
  const exchangeMs = bytesSentPerStep / (networkGigabits * bytesPerGigabitMs);
  const computeMs = alone === null ? null : alone / processes;
  return {
    processes,
    bytesPerProcess: memoryPlan(own, roles, vocabularySize).total + (processes > 1 ? gradientBytes : 0),
    bytesSentPerStep,
    networkGigabits,
    exchangeMs,
    computeMs,
    efficiency: computeMs === null ? null : computeMs / (computeMs + exchangeMs),
  };
}
