/** A run directory's beginning: what may be started where, and what a fresh run finds in it. */
import { lstat, rm, stat } from 'node:fs/promises';
import { readBounded } from '../storage/boundedFile.ts';
import { wrongInput } from '../errors.ts';
import { diskFailure, errorCode } from '../storage/diskFailure.ts';
import { entriesOf, leftoverOf, makeFolder, removeLeftovers, writeFileDurably } from '../storage/durable.ts';
import { program, type Environment } from './environment.ts';
import { listCheckpoints } from './findCheckpoint.ts';
import { lockFile } from './lock.ts';
import { runPaths, type RunPaths } from './runPaths.ts';

type DirectoryState = 'absent' | 'empty-or-no-checkpoint' | 'has-checkpoint';

/**
 * What is at a path where a run should go. A damaged checkpoint counts as one: only the user throws it away.
 * @throws wrongInput when a file is in the way
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
 * Checks, writing nothing, that a run may start afresh here: the directory is absent, empty, or a run of
 * ours that was stopped before its first checkpoint.
 * @throws wrongInput when it holds a checkpoint, or files that are not of a run
 */
export async function assertFreshStart(runDirectory: string): Promise<void> {
  const state = await directoryState(runDirectory);
  if (state === 'absent') return;
  if (state === 'has-checkpoint') {
    throw wrongInput(
      `${runDirectory} already holds a checkpoint. Continue with --resume, or choose another directory with --run.`,
    );
  }
  const entries = (await entriesOf(runDirectory)).filter(
    (entry) => leftoverOf(entry) === undefined && !entry.startsWith(lockFile),
  );
  if (entries.length === 0 || (await isOurs(runDirectory))) return;
  throw wrongInput(
    `${runDirectory} is not empty and not a run of clm (it holds ${entries.sort()[0]}), so nothing is written there. ` +
      'Choose another directory with --run.',
  );
}

/**
 * Makes the directory of a fresh run and writes what it starts with. Metrics and samples of a run that was
 * stopped before its first checkpoint are removed; other files there stay.
 * @returns the run's paths
 * @throws wrongInput as `assertFreshStart`; environmentFailure when the disk refuses
 */
export async function createRunDirectory(
  runDirectory: string,
  start: { configText: string; tokenizerText: string; environment: Environment },
): Promise<RunPaths> {
  await assertFreshStart(runDirectory);
  const paths = runPaths(runDirectory);
  // First the file by which the directory is known as ours, so that a crash from here on is no obstacle.
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
 * Clears what interrupted writes left in a run, before it is resumed.
 * @returns the paths that were cleared
 * @throws wrongInput where one of its folders is a symbolic link, which would lead writes and deletions elsewhere
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
    `${path} is a symbolic link, and clm writes through none inside a run. Move the folder here, or the whole run with --run.`,
  );
}

/** A config.yaml alone proves nothing, other programs have one too; environment.json names its program. */
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
