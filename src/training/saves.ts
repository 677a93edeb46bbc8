/**
 * Saving while training goes on: the state is read between two steps (the snapshot), hashed and written while the next
 * ones run. Never two at once: a checkpoint that is due while one is still being written waits for it. A save that
 * the disk refuses is reported and left to the next one that is due; only the last of a run must succeed.
 */
import { ExpectedError, environmentFailure } from '../errors.ts';
import type { Report } from './sinks/facts.ts';

export interface Saves {
  /** Takes the snapshot of `step` and goes on writing it after the promise settles. */
  begin(step: number, report: Report): Promise<void>;
  /** Waits for the save under way. @throws environmentFailure where the newest one failed */
  finished(): Promise<void>;
}

/**
 * @param snapshot reads the state from the session; no program may run meanwhile
 * @param write makes the checkpoint, returns its folder
 * @param permit is asked before anything is written, and throws where that may not be
 */
export function backgroundSaves<Snapshot>(
  snapshot: (step: number) => Promise<Snapshot>,
  write: (content: Snapshot) => Promise<string>,
  permit: () => Promise<void> = async () => {},
): Saves {
  let underWay: Promise<void> = Promise.resolve();
  let failure: ExpectedError | undefined;
  let bug: unknown;
  const attempt = async (step: number, report: Report, save: () => Promise<void>): Promise<void> => {
    try {
      await save();
      failure = undefined;
    } catch (error) {
      if (!(error instanceof ExpectedError) || error.kind !== 'environment') throw error;
      failure = error;
      report({ kind: 'saveFailed', step, message: error.message });
    }
  };
  return {
    begin: async (step, report) => {
      await underWay;
      if (bug !== undefined) throw bug;
      await attempt(step, report, async () => {
        await permit();
        report({ kind: 'saving', step });
        const content = await snapshot(step);
        underWay = attempt(step, report, async () => {
          const path = await write(content);
          report({ kind: 'checkpoint', step, path });
        }).catch((error: unknown) => void (bug = error));
      });
    },
    finished: async () => {
      await underWay;
      if (bug !== undefined) throw bug;
      if (failure === undefined) return;
      throw environmentFailure(`The last checkpoint could not be saved, the one before it stays. ${failure.message}`, {
        cause: failure.cause,
      });
    },
  };
}
