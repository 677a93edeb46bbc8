/** Runs that are followed while they train, and those that join them: further runs of a folder or a sweep. */
import { existsSync, statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { wrongInput } from '../errors.ts';
import { liveHolder } from '../run/lock.ts';
import type { MetricsRecord } from '../run/metrics.ts';
import { followMetrics } from '../run/readMetrics.ts';
import { runPaths } from '../run/runPaths.ts';
import { addTrainedTime } from '../run/trainedTime.ts';
import { findRuns } from './findRuns.ts';
import { finite, summarizeRun, type RunSummary } from './runSummary.ts';
import { sweepState } from './sweep/sweepLog.ts';

export interface FollowedRun {
  name: string;
  path: string;
  /** Smoothed training losses (exponential mean of about ten updates) and validation losses, by step. */
  training: [step: number, loss: number][];
  validation: [step: number, loss: number][];
  /** The step that the last of its processes continued from; 0 if it was never resumed. */
  resumedAt: number;
  /** Time trained by that process, and by all. */
  elapsedMs: number;
  trainedMs: number;
  summary: RunSummary;
}

export interface FollowedRuns {
  /** Looks at all runs, of which there may be more than before. @returns each with its new records */
  look(): { run: FollowedRun; records: MetricsRecord[] }[];
  /** Whether no run trains and no sweep has any left. */
  areOver(): boolean;
  /** How many runs have not begun yet, of the sweeps that are under way. */
  waiting(): number;
}

/**
 * @param paths run directories, or folders of them
 * @throws wrongInput if there is nothing to follow at one of them
 */
export function followRuns(paths: readonly string[]): FollowedRuns {
  for (const path of paths) refuseNothing(path);
  const followed = new Map<string, ReturnType<typeof followRun>>();
  const sweeps = () => {
    const folders = new Set(
      [...paths, ...[...followed.keys()].map((path) => dirname(path))].map((path) => resolve(path)),
    );
    return [...folders].flatMap((folder) => {
      const state = sweepState(folder);
      return state?.isRunning ? [{ folder, runs: state.runs }] : [];
    });
  };
  return {
    look: () => {
      for (const path of paths.flatMap(runsAt)) if (!followed.has(path)) followed.set(path, followRun(path));
      return [...followed.values()].map(({ run, look }) => ({ run, records: look() }));
    },
    areOver: () => sweeps().length === 0 && [...followed.values()].every(({ run }) => run.summary.state !== 'running'),
    waiting: () => {
      const begun = new Set([...followed.keys()].map((path) => resolve(path)));
      return sweeps().reduce(
        (sum, { folder, runs }) => sum + runs.filter((name) => !begun.has(resolve(folder, name))).length,
        0,
      );
    },
  };
}

/**
 * What to follow below a folder if the user names nothing: the runs that train now. Of a sweep under way, its folder.
 * @throws wrongInput if there are none
 */
export function runningIn(folder: string): string[] {
  const runs = existsSync(folder) ? findRuns(folder) : [];
  const running = runs.filter((path) => summarizeRun(path).state === 'running');
  const found = new Set(running.map((path) => (sweepState(dirname(path))?.isRunning ? dirname(path) : path)));
  if (found.size > 0) return [...found];
  throw wrongInput(
    `No run below ${folder} is training now. Start one (clm train CONFIG), or name the runs to look at: ` +
      `clm runs watch RUN. ${runs.length > 0 ? 'clm runs lists them.' : 'There are none yet.'}`,
  );
}

const isRun = (path: string): boolean =>
  existsSync(runPaths(path).metrics) || existsSync(runPaths(path).environment) || liveHolder(path) !== undefined;

const runsAt = (path: string): string[] => (isRun(path) ? [path] : findRuns(path));

function refuseNothing(path: string): void {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) throw wrongInput(`There is no run at ${path}.`);
  if (!stats.isDirectory()) throw wrongInput(`${path} is a file; give a run directory or a folder of them`);
  if (runsAt(path).length > 0 || sweepState(path)?.isRunning) return;
  throw wrongInput(`${path} neither is a run directory nor contains one, and no sweep is training runs in it`);
}

function followRun(path: string): { run: FollowedRun; look: () => MetricsRecord[] } {
  const metrics = followMetrics(runPaths(path).metrics);
  const run: FollowedRun = {
    ...{ name: basename(resolve(path)), path, training: [], validation: [] },
    ...{ resumedAt: 0, elapsedMs: 0, trainedMs: 0, summary: summarizeRun(path) },
  };
  let smoothed: number | undefined;
  let time = addTrainedTime();
  let changed = '';
  const look = (): MetricsRecord[] => {
    const { records, restarted } = metrics.read();
    if (restarted) {
      Object.assign(run, { training: [], validation: [], resumedAt: 0, elapsedMs: 0, trainedMs: 0 });
      [smoothed, time] = [undefined, addTrainedTime()];
    }
    for (const record of records) {
      const loss = record.kind === 'checkpoint' ? null : finite(record.loss);
      if (record.kind === 'evaluation' && loss !== null) run.validation.push([record.step, loss]);
      if (record.kind !== 'step') continue;
      const elapsedMs = finite(record.elapsedMs) ?? run.elapsedMs;
      if (elapsedMs < run.elapsedMs) run.resumedAt = record.step - 1;
      run.elapsedMs = elapsedMs;
      run.trainedMs = time.add(elapsedMs);
      if (loss === null) continue;
      smoothed = smoothed === undefined ? loss : 0.9 * smoothed + 0.1 * loss;
      run.training.push([record.step, smoothed]);
    }
    // Runs that have ended are not read again and again.
    const now = changeOf(path);
    if (now !== changed || run.summary.state === 'running') run.summary = summarizeRun(path);
    changed = now;
    return records;
  };
  return { run, look };
}

/** Something that differs once a run has written anything. */
const changeOf = (path: string): string =>
  [runPaths(path).metrics, runPaths(path).status]
    .map((file) => statSync(file, { throwIfNoEntry: false }))
    .map((stats) => `${stats?.mtimeMs} ${stats?.size} ${stats?.ino}`)
    .join(' ');
