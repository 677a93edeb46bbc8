/** Which checkpoints stay: the newest, the best by validation loss, and those of every so many steps. */
import { ExpectedError } from '../errors.ts';
import { readState } from './checkpointFiles.ts';
import { removeFolder } from '../storage/durable.ts';
import { listCheckpoints, type CheckpointPlace } from '../run/findCheckpoint.ts';

export interface Retention {
  /** How many of the newest stay, the one just saved included; null = all. */
  keepLast: number | null;
  /** How many stay for their validation loss, besides the newest; null = none. */
  keepBest?: number | null;
  /** Those of a multiple of so many steps stay; null = none. */
  keepEvery?: number | null;
}

/**
 * Deletes what the retention does not keep, oldest first. Checkpoints of later steps (left from before a resume at an
 * earlier one) are neither counted nor deleted.
 * @throws environmentFailure when the disk refuses
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

/** The checkpoint with the lowest validation loss, or undefined where none was evaluated at its step. */
export async function bestCheckpoint(runDirectory: string): Promise<CheckpointPlace | undefined> {
  return (await byValidationLoss(await listCheckpoints(runDirectory)))[0];
}

/** Those evaluated at their own step, lowest loss first, of equal ones the earlier; damaged ones are left out. */
async function byValidationLoss(places: readonly CheckpointPlace[]): Promise<CheckpointPlace[]> {
  const evaluated: (CheckpointPlace & { loss: number })[] = [];
  for (const place of places) {
    const loss = await validationLossOf(place.path);
    if (loss !== undefined) evaluated.push({ ...place, loss });
  }
  return evaluated.sort((a, b) => a.loss - b.loss || a.step - b.step).map(({ step, path }) => ({ step, path }));
}

async function validationLossOf(path: string): Promise<number | undefined> {
  try {
    const { record } = await readState(path);
    const loss = (record['validation'] as { loss?: unknown } | undefined)?.loss;
    return typeof loss === 'number' ? loss : undefined;
  } catch (error) {
    if (error instanceof ExpectedError && error.kind === 'wrongInput') return undefined;
    throw error;
  }
}
