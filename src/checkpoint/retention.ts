/** Which checkpoints to keep: the newest, the best by validation loss, and those at multiples of some steps. */
import { ExpectedError } from '../errors.ts';
import { readState } from './checkpointFiles.ts';
import { removeFolder } from '../storage/durable.ts';
import { listCheckpoints, type CheckpointPlace } from '../run/findCheckpoint.ts';

export interface Retention {
  /** Number of newest ones to keep, including the one just saved; null: all. */
  keepLast: number | null;
  /** Number to keep for their validation loss, besides the newest; null: none. */
  keepBest?: number | null;
  /** Keep those at multiples of this many steps; null: none. */
  keepEvery?: number | null;
}

/**
 * Deletes the checkpoints that are not to be kept, oldest first. Checkpoints of later steps (from before resuming at an
 * earlier one) are neither counted nor deleted.
 * @throws environmentFailure if the disk refuses
 */
export async function pruneCheckpoints(runDirectory: string, step: number, retention: Retention): Promise<void> {
  const { keepLast, keepBest = null, keepEvery = null } = retention;
  if (keepLast === null) return;
  const upToHere = (await listCheckpoints(runDirectory)).filter((place) => place.step <= step);
  const best = keepBest === null ? [] : (await byValidationLoss(upToHere)).slice(0, keepBest);
  for (const older of upToHere.slice(0, -keepLast)) {
    if (keepEvery !== null && older.step % keepEvery === 0) continue;
    if (best.some((place) => place.step === older.step)) continue;
    await removeFolder(older.path);
  }
}

/** The checkpoint with the lowest validation loss, or undefined if none was evaluated at its step. */
export async function bestCheckpoint(runDirectory: string): Promise<CheckpointPlace | undefined> {
  return (await byValidationLoss(await listCheckpoints(runDirectory)))[0];
}

/** Those evaluated at their own step, by loss, then by step; damaged ones are left out. */
async function byValidationLoss(places: readonly CheckpointPlace[]): Promise<CheckpointPlace[]> {
  const evaluated: (CheckpointPlace & { loss: number })[] = [];
  for (const place of places) {
    const loss = await validationLossOf(place.path);
    if (loss !== undefined) evaluated.push({ ...place, loss });
  }
  return evaluated.sort((a, b) => a.loss - b.loss || a.step - b.step).map(({ step, path }) => ({ step, path }));
}

/** The validation loss that a checkpoint was evaluated with at its own step; undefined if it was not, or is damaged. */
export async function validationLossOf(path: string): Promise<number | undefined> {
  try {
    const { record } = await readState(path);
    const loss = (record['validation'] as { loss?: unknown } | undefined)?.loss;
    return typeof loss === 'number' ? loss : undefined;
  } catch (error) {
    if (error instanceof ExpectedError && error.kind === 'wrongInput') return undefined;
    throw error;
  }
}
