/**
 * The state of a run. A run reports it in `status.json`, replaced as a whole at every change; for a run without one it
 * follows from the records.
 */
import { readFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { readBounded } from '../storage/boundedFile.ts';
import { errorCode, diskFailure } from '../storage/diskFailure.ts';
import { replaceFile, writeFileDurably } from '../storage/durable.ts';
import { liveHolder } from './lock.ts';
import type { StepRecord } from './metrics.ts';
import { runPaths } from './runPaths.ts';

export interface RunStatus {
  state: 'running' | 'done' | 'stopped' | 'failed';
  /** Updates made when this was written. */
  step: number;
  /** Updates of the whole run. */
  steps: number;
  /** Why it stopped, failed, or was done before its last step. */
  reason: string | null;
  updatedAt: string;
}

/** A status as read: a run that was running when its process was killed is `interrupted`. */
type ObservedStatus = Omit<RunStatus, 'state'> & { state: RunStatus['state'] | 'interrupted' };

/** @throws environmentFailure if the disk refuses */
export const writeRunStatus = (runDirectory: string, status: Omit<RunStatus, 'updatedAt'>): Promise<void> =>
  writeFileDurably(runPaths(runDirectory).status, contentsOf(status));

/** The same without waiting for the disk, for the many changes of `step`: a crash of the machine may lose it. */
export const noteRunStatus = (runDirectory: string, status: Omit<RunStatus, 'updatedAt'>): Promise<void> =>
  replaceFile(runPaths(runDirectory).status, contentsOf(status));

const contentsOf = (status: Omit<RunStatus, 'updatedAt'>): string =>
  `${JSON.stringify({ ...status, updatedAt: new Date().toISOString() })}\n`;

/**
 * @returns undefined if there is no status file, or it is not a status
 * @throws environmentFailure if the disk refuses
 */
export function readRunStatus(runDirectory: string): ObservedStatus | undefined {
  const path = runPaths(runDirectory).status;
  try {
    const status = JSON.parse(readBounded(path).toString('utf8')) as ObservedStatus | null;
    if (typeof status?.step !== 'number' || typeof status.state !== 'string') return undefined;
    if (status.state === 'running' && liveHolder(runDirectory) === undefined) status.state = 'interrupted';
    return status;
  } catch (error) {
    if (error instanceof SyntaxError || errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR')
      return undefined;
    throw diskFailure(error, 'read', path);
  }
}

export interface RunState {
  state: RunStatus['state'];
  /** Why it failed or stopped, if known. */
  reason: string | null;
}

/** What the records of a run say about its progress. */
interface LoggedProgress {
  step: number;
  steps: number | null;
  /** Step of the last evaluation logged. */
  evaluated: number | null;
  /** The last updates logged. */
  updates: readonly StepRecord[];
  changedMs: number;
  nowMs: number;
}

/** A run may write nothing for this long while it evaluates, samples or saves. */
const silenceMs = 20_000;
const silenceSteps = 20;

/**
 * The state in `status.json`, or running if a process holds the run. Without either: done if the last planned step is
 * evaluated, failed if its sweep says so, running if it wrote a short while ago, else stopped.
 */
export function runState(runDirectory: string, progress: LoggedProgress): RunState {
  const { step, steps, evaluated, updates, changedMs, nowMs } = progress;
  const reported = reportedState(runDirectory);
  if (reported !== null) return reported;
  if (steps !== null && step >= steps && evaluated === step) return { state: 'done', reason: null };
  const failure = failureInSweep(runDirectory);
  if (failure !== null) return { state: 'failed', reason: failure };
  const [before, last] = updates.slice(-2).map(({ elapsedMs }) => Number(elapsedMs));
  const msPerStep = before !== undefined && last !== undefined ? Math.max(0, last - before) : 0;
  // A change in the future was made before the clock was set back.
  if (Math.abs(nowMs - changedMs) < Math.max(silenceMs, silenceSteps * msPerStep))
    return { state: 'running', reason: null };
  return { state: 'stopped', reason: null };
}

function reportedState(runDirectory: string): RunState | null {
  try {
    const status = readRunStatus(runDirectory);
    // A process that has just begun, or begun again, reads its corpus before it writes a status.
    if (status?.state !== 'running' && status?.state !== 'done' && liveHolder(runDirectory) !== undefined)
      return { state: 'running', reason: null };
    if (status === undefined) return null;
    if (status.state === 'interrupted') return { state: 'stopped', reason: 'no process is writing it' };
    return { state: status.state, reason: status.reason ?? null };
  } catch {
    return null; // one unreadable status must not keep the other runs from being listed
  }
}

/** The reason that the sweep this run belongs to noted for its failure, or null. */
function failureInSweep(runDirectory: string): string | null {
  try {
    const name = basename(resolve(runDirectory));
    const text = readFileSync(join(dirname(resolve(runDirectory)), 'sweep.jsonl'), 'utf8');
    const at = text.lastIndexOf(`"run":${JSON.stringify(name)}`);
    if (at === -1) return null;
    const line = text.slice(text.lastIndexOf('\n', at) + 1).split('\n', 1)[0]!;
    const last = JSON.parse(line) as Record<string, unknown>;
    return last['kind'] === 'failed' ? String(last['reason']) : null;
  } catch {
    return null;
  }
}
