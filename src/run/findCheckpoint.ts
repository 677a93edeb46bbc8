/** Lists the checkpoints of a run, and finds the one that `RUN` on the command line refers to. */
import { basename, join } from 'node:path';
import { wrongInput } from '../errors.ts';
import { entriesOf, exists, leftoverOf } from '../storage/durable.ts';
import { importFirst } from '../storage/importable.ts';
import { withoutCheckpoint } from './firstCheckpoint.ts';
import { runPaths } from './runPaths.ts';

/** A checkpoint folder that has not been checked; damage is found when it is loaded. */
export interface CheckpointPlace {
  step: number;
  path: string;
}

const folderPattern = /^step-(\d{8,})$/;

/** The folder of a step's checkpoint. */
export const checkpointPath = (runDirectory: string, step: number): string =>
  join(runPaths(runDirectory).checkpoints, `step-${String(step).padStart(8, '0')}`);

/**
 * The checkpoints of a run in the order of their steps; none if there is no such folder. One whose replacement was
 * interrupted still counts, under its temporary name.
 */
export async function listCheckpoints(runDirectory: string): Promise<CheckpointPlace[]> {
  const folder = runPaths(runDirectory).checkpoints;
  const places = new Map<number, string>();
  for (const entry of await entriesOf(folder)) {
    const leftover = leftoverOf(entry);
    if (leftover !== undefined && leftover.kind !== 'replaced') continue;
    const match = folderPattern.exec(leftover?.name ?? entry);
    if (match === null) continue;
    const step = Number(match[1]);
    if (leftover === undefined || !places.has(step)) places.set(step, join(folder, entry));
  }
  return [...places].map(([step, path]) => ({ step, path })).sort((a, b) => a.step - b.step);
}

/**
 * Finds the checkpoint folder that the user refers to.
 * @param runOrCheckpoint a run directory or a checkpoint folder
 * @param which 'last', or a step; for a checkpoint folder it must be that checkpoint's step
 * @returns the checkpoint's folder, not yet checked
 * @throws wrongInput if nothing exists there, it is a model of another program, or it has no such checkpoint
 */
export async function resolveCheckpoint(runOrCheckpoint: string, which: 'last' | number): Promise<string> {
  const other = importFirst(runOrCheckpoint);
  if (other !== undefined) throw wrongInput(other);
  if (await isCheckpointFolder(runOrCheckpoint)) return checkedStep(runOrCheckpoint, which);
  const places = await listCheckpoints(runOrCheckpoint);
  const last = places.at(-1);
  if (last === undefined) throw wrongInput(await nothingThere(runOrCheckpoint));
  if (which === 'last') return last.path;
  const found = places.find(({ step }) => step === which);
  if (found !== undefined) return found.path;
  const below = places.filter(({ step }) => step < which).at(-1);
  const above = places.find(({ step }) => step > which);
  const nearest = [below, above].filter((place) => place !== undefined).map(({ step }) => step);
  throw wrongInput(`${runOrCheckpoint} has no checkpoint of step ${which}. The nearest: ${nearest.join(' and ')}.`);
}

/** Whether a path is a single checkpoint rather than a run. */
export async function isCheckpointFolder(path: string): Promise<boolean> {
  return (await exists(join(path, 'state.json'))) || (await exists(join(path, 'model.safetensors')));
}

function checkedStep(path: string, which: 'last' | number): string {
  const match = folderPattern.exec(basename(path));
  if (which === 'last' || match === null || Number(match[1]) === which) return path;
  throw wrongInput(
    `${path} is the checkpoint of step ${Number(match[1])}. To use step ${which}, give the run directory.`,
  );
}

/** Why a path is not one of a run with a checkpoint, and what to do. */
export async function nothingThere(path: string): Promise<string> {
  if (!(await exists(path))) return `There is no run at ${path}. clm train makes runs, and clm runs lists them.`;
  if (await exists(runPaths(path).config)) return withoutCheckpoint(path);
  return `${path} is neither a run directory nor a checkpoint folder.`;
}
