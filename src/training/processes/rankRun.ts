/** Training in a process that is not rank 0: the same loop, which keeps, shows and writes nothing. */
import type { ProcessGroup } from '../../processes/group.ts';
import type { Session } from '../../runtime/session.ts';
import { openStepWatch } from '../divergence.ts';
import type { PreparedTraining } from '../prepare.ts';
import { recordPrograms } from '../programs.ts';
import { afterUpdate } from '../progress.ts';
import { openStepBatches } from '../stepBatches.ts';
import { pauseAt, type PausePoint } from '../timeLimit.ts';
import { train, type TrainingOutcome } from '../train.ts';
import { groupBatches, groupPrograms, noSaves } from './groupParts.ts';
import { groupStops } from './stopAgreement.ts';

/** Trains a prepared run with the other processes. */
export async function trainAsRank(
  session: Session,
  prepared: PreparedTraining,
  group: ProcessGroup,
  { signal, pause }: { signal: AbortSignal; pause?: PausePoint | undefined },
): Promise<TrainingOutcome> {
  const { config, plan, progress } = prepared;
  const programs = groupPrograms(await recordPrograms(session, prepared, () => {}), group);
  const logged = new Set(await beginTogether(group));
  const isUnlogged = prepared.resumedFrom !== undefined && !logged.has('evaluation');
  const start = {
    ...progress,
    validation: isUnlogged ? afterUpdate(progress.validation) : progress.validation,
    logged,
  };
  const requests = groupStops(group, signal, pause, pauseAt(pause, 0, performance.now()));
  await programs.reference?.complete(requests.signal, () => {});
  const parts = {
    ...{ config, plan, programs, saves: noSaves },
    watch: openStepWatch(config.training.guard.maxSkips, start.cursor),
    report: () => {},
    sample: () => Promise.resolve({ prompt: '', completion: '' }),
    batches: groupBatches(openStepBatches(prepared, start.cursor, start.step), group, progress.step),
  };
  return train(parts, start, { ...requests, takeSave: () => false });
}

/**
 * Waits until rank 0 has opened the run directory and all are ready. @param logged what rank 0 knows; absent in others
 * @returns the kinds of the records of the present step that are in the log already
 */
export async function beginTogether(group: ProcessGroup, logged: ReadonlySet<string> = new Set()): Promise<string[]> {
  const [first] = await group.exchange('begin', [...logged]);
  return first!;
}
