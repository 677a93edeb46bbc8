/** The start of a run directory: where a run may start, and the files that a new run begins with. */
import { lstat, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { readBounded } from '../storage/boundedFile.ts';
import { wrongInput } from '../errors.ts';
import { shellPath } from '../shellWord.ts';
import { diskFailure, errorCode } from '../storage/diskFailure.ts';
import { entriesOf, leftoverOf, makeFolder, removeLeftovers, writeFileDurably } from '../storage/durable.ts';
import { program, type Environment } from './environment.ts';
import { listCheckpoints } from './findCheckpoint.ts';
import { lockFile } from './lock.ts';
import { runPaths, type RunPaths } from './runPaths.ts';

type DirectoryState = 'absent' | 'empty-or-no-checkpoint' | 'has-checkpoint';

/**
 * What exists at the path of a run. A damaged checkpoint counts as a checkpoint, since only the user may delete it.
 * @throws wrongInput if a file is in the way
 */
export async function directoryState(runDirectory: string): Promise<DirectoryState> {
  try {
    if (!(await stat(runDirectory)).isDirectory()) throw wrongInput(`${runDirectory} is a file, not a run directory.`);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return 'absent';
    if (errorCode(error) === 'ENOTDIR') throw wrongInput(`A part of the path ${runDirectory} is a file, not a folder.`);
    throw diskFailure(error, 'read', runDirectory);
  }
  return (await listCheckpoints(runDirectory)).length > 0 ? 'has-checkpoint' : 'empty-or-no-checkpoint';
}

/**
 * Checks, without writing, that a new run may start here: the directory is absent, empty, or a clm run that stopped
 * before its first checkpoint.
 * @param options.mayResume whether the command could continue a run
 * @throws wrongInput if it holds a checkpoint, or files that do not belong to a run
 */
export async function assertFreshStart(runDirectory: string, { mayResume = true } = {}): Promise<void> {
  const state = await directoryState(runDirectory);
  if (state === 'absent') return;
  if (state === 'has-checkpoint') {
    const shown = path.relative(process.cwd(), runDirectory) || '.';
    throw wrongInput(
      `${runDirectory} already has a checkpoint. ` +
        (mayResume ? `To continue: clm train --run ${shellPath(shown)} --resume; for a new run choose` : 'Choose') +
        ' another directory with --run.',
    );
  }
  const entries = (await entriesOf(runDirectory)).filter(
    (entry) => leftoverOf(entry) === undefined && !entry.startsWith(lockFile),
  );
  if (entries.length === 0 || (await isOurs(runDirectory))) return;
  throw wrongInput(
    `${runDirectory} is not empty and not a clm run (it contains ${entries.sort()[0]}), so nothing was written ` +
      'there. Choose another directory with --run.',
  );
}

/**
 * Creates the directory of a new run with its first files. Metrics and samples of a run that stopped before its first
 * checkpoint are deleted; other files are kept.
 * @returns the run's paths
 * @throws wrongInput as `assertFreshStart`; environmentFailure if the disk refuses
 */
export async function createRunDirectory(
  runDirectory: string,
  start: { configText: string; tokenizerText: string; environment: Environment },
): Promise<RunPaths> {
  await assertFreshStart(runDirectory);
  const paths = runPaths(runDirectory);
  // First the file that identifies the directory as a clm run, so that it can be started again after a crash.
  await writeFileDurably(paths.environment, `${JSON.stringify(start.environment, null, 2)}\n`);
  await clearLeftovers(runDirectory);
  try {
    await rm(paths.metrics, { force: true });
    await rm(paths.samples, { recursive: true, force: true });
  } catch (error) {
    throw diskFailure(error, 'write', runDirectory);
  }
  await writeFileDurably(paths.config, start.configText);
  await writeFileDurably(paths.tokenizer, start.tokenizerText);
  await makeFolder(paths.samples);
  await makeFolder(paths.checkpoints);
  return paths;
}

/**
 * Deletes what interrupted writes left in a run, before it is resumed.
 * @returns the paths that were deleted or restored
 * @throws wrongInput if one of its folders is a symbolic link, which would redirect writes and deletions
 */
export async function clearLeftovers(runDirectory: string): Promise<string[]> {
  const { samples, checkpoints } = runPaths(runDirectory);
  const cleared: string[] = [];
  for (const folder of [samples, checkpoints]) await refuseLink(folder);
  for (const folder of [runDirectory, samples, checkpoints]) cleared.push(...(await removeLeftovers(folder)));
  return cleared;
}

async function refuseLink(path: string): Promise<void> {
  const isLink = await lstat(path).then(
    (stats) => stats.isSymbolicLink(),
    () => false,
  );
  if (!isLink) return;
  throw wrongInput(
    `${path} is a symbolic link, and clm does not follow symbolic links inside a run. ` +
      'Move the folder here, or choose another run directory with --run.',
  );
}

/** Other programs have a config.yaml too; environment.json names its program. */
async function isOurs(runDirectory: string): Promise<boolean> {
  const path = runPaths(runDirectory).environment;
  try {
    const content: unknown = JSON.parse(readBounded(path).toString('utf8'));
    return typeof content === 'object' && content !== null && 'program' in content && content.program === program;
  } catch (error) {
    if (error instanceof SyntaxError || errorCode(error) === 'ENOENT') return false;
    throw diskFailure(error, 'read', path);
  }
}
