/** Training in a process that is not rank 0: the same loop, which keeps, shows and writes nothing. */
import type { Session } from '../../runtime/session.ts';
import { openStepWatch } from '../divergence.ts';
import type { PreparedTraining } from '../prepare.ts';
import { recordPrograms } from '../programs.ts';
import type { Saves } from '../saves.ts';
import { openStepBatches } from '../stepBatches.ts';
import { pauseAt, type PausePoint } from '../timeLimit.ts';
import { train, type TrainingOutcome } from '../train.ts';

/** Trains a prepared run with the other processes, until rank 0 ends it. */
export async function trainAsRank(
  session: Session,
  prepared: PreparedTraining,
  { signal, pause }: { signal: AbortSignal; pause?: PausePoint | undefined },
): Promise<TrainingOutcome> {
  const { config, plan, progress } = prepared;
  const programs = await recordPrograms(session, prepared, () => {});
  const start = { ...progress, logged: new Set<string>() };
  await programs.reference?.complete(signal, () => {});
  const parts = {
    ...{ config, plan, programs, saves: noSaves },
    watch: openStepWatch(config.training.guard.maxSkips, start.cursor),
    report: () => {},
    sample: () => Promise.resolve({ prompt: '', completion: '' }),
    batches: openStepBatches(prepared, start.cursor),
  };
  const pauseReason = pauseAt(pause, 0, performance.now());
  return train(parts, start, { signal, takeSave: () => false, pauseReason });
}

const noSaves: Saves = {
  begin: () => Promise.resolve(),
  finished: () => Promise.resolve(),
  failAfterSaving: (failure) => Promise.reject(failure as Error),
};
