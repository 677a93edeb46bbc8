/** What speaks against training a prepared run with several processes, before any of them is started. */
import os from 'node:os';
import { environmentFailure, wrongInput } from '../../errors.ts';
import { bytesText } from '../../units.ts';
import type { PreparedTraining } from '../prepare.ts';
import { refuseIndivisible } from '../step/stepShare.ts';

/**
 * @param isLocal whether all processes are on this machine
 * @returns warnings
 * @throws wrong input if the steps cannot be shared out, or the corpus is standard input; environmentFailure if the
 *   machine has not the memory
 */
export function checkProcesses({ config, plan }: PreparedTraining, processes: number, isLocal: boolean): string[] {
  if (processes === 1) return [];
  refuseIndivisible(config.training, processes);
  if (config.corpus.sources.some(({ path }) => path === '-'))
    throw wrongInput(
      `corpus.sources has standard input (-), which ${processes} processes cannot all read: use a file.`,
    );
  if (!isLocal) return [];
  const warnings: string[] = [];
  const cores = os.availableParallelism();
  if (processes > cores)
    warnings.push(
      `${processes} processes share ${cores} ${cores === 1 ? 'core' : 'cores'}: one process a core is faster.`,
    );
  const { bytes, machineBytes, freeBytes } = plan;
  const needed = processes * bytes.total;
  const each = `${processes} processes need ${bytesText(bytes.total)} of memory each, ${bytesText(needed)} together`;
  if (needed > machineBytes)
    throw environmentFailure(`${each}, and this machine has ${bytesText(machineBytes)}: start fewer.`);
  if (needed > freeBytes) warnings.push(`${each}, and ${bytesText(freeBytes)} are free now.`);
  return warnings;
}
