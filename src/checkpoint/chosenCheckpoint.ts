/** The checkpoint that `--checkpoint last|best|STEP` names. */
import { wrongInput } from '../errors.ts';
import { resolveCheckpoint } from '../run/findCheckpoint.ts';
import { bestCheckpoint } from './retention.ts';

/**
 * @param run a run directory or a checkpoint folder
 * @param which `last`, `best` (lowest validation loss) or the step of a checkpoint
 * @returns its folder, not yet checked
 * @throws wrongInput if there is no such checkpoint
 */
export async function checkpointFolder(run: string, which: string): Promise<string> {
  if (which === 'last') return resolveCheckpoint(run, which);
  if (/^\d+$/.test(which)) return resolveCheckpoint(run, Number(which));
  if (which !== 'best')
    throw wrongInput(
      `--checkpoint is ${which}; it must be last, best or the step of a checkpoint, e.g. --checkpoint 500`,
    );
  const best = await bestCheckpoint(run);
  if (best !== undefined) return best.path;
  await resolveCheckpoint(run, 'last'); // if there is none at all, that is the reason
  throw wrongInput(`${run} has no checkpoint with a validation loss; use --checkpoint last`);
}

/** How often a checkpoint is chosen anew; a training run deletes one at most per step. */
const mostChoices = 5;

/**
 * Reads the chosen checkpoint. If reading fails and `last` or `best` is another checkpoint by then, because the run is
 * being trained and deletes old ones, that one is read instead.
 *
 * @throws as `checkpointFolder` and `read`
 */
export async function withChosenCheckpoint<R>(
  run: string,
  which: string,
  read: (directory: string) => Promise<R>,
): Promise<R> {
  let directory = await checkpointFolder(run, which);
  for (let choices = 1; ; choices++) {
    try {
      return await read(directory);
    } catch (error) {
      if (choices === mostChoices) throw error;
      const now = await checkpointFolder(run, which).catch(() => directory);
      if (now === directory) throw error;
      directory = now;
    }
  }
}
