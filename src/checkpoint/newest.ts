/** Where resuming begins: the newest checkpoint of a run that is whole. */
import { ExpectedError } from '../errors.ts';
import { loadCheckpoint, type Checkpoint } from './checkpoint.ts';
import { listCheckpoints } from '../run/findCheckpoint.ts';

/** A checkpoint that cannot be used, and why. */
export interface SkippedCheckpoint {
  path: string;
  reason: string;
}

/**
 * Loads the newest checkpoint, optimizer included, that passes every check; reports the newer ones that do
 * not. No checkpoint but some skipped means that all are damaged: not a run to be started afresh silently.
 * @throws environmentFailure when the disk refuses, which says nothing about the checkpoint
 */
export async function newestValidCheckpoint(
  runDirectory: string,
): Promise<{ checkpoint: Checkpoint | undefined; skipped: SkippedCheckpoint[] }> {
  const skipped: SkippedCheckpoint[] = [];
  for (const { path } of (await listCheckpoints(runDirectory)).reverse()) {
    try {
      return { checkpoint: await loadCheckpoint(path, { optimizer: true }), skipped };
    } catch (error) {
      if (!(error instanceof ExpectedError) || error.kind !== 'wrongInput') throw error;
      skipped.push({ path, reason: error.message });
    }
  }
  return { checkpoint: undefined, skipped };
}
