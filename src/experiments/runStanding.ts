/**
 * Whether a run is running, done, stopped or failed. It says so itself in `status.json`; of a run without one, its
 * records tell: a run whose last planned step is
 * evaluated is done; one that wrote a short while ago is running; a sweep notes why one of its runs failed.
 */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { readBounded } from '../storage/boundedFile.ts';
import type { MetricsRecord } from '../run/metricsReading.ts';

type RunStateName = 'running' | 'done' | 'stopped' | 'failed';

export interface Standing {
  state: RunStateName;
  /** Why it failed or stopped, where that is known. */
  reason: string | null;
}

interface StandingFacts {
  step: number;
  steps: number | null;
  /** Step of the last evaluation on record. */
  evaluated: number | null;
  /** The last updates on record. */
  updates: readonly MetricsRecord[];
  changedMs: number;
  nowMs: number;
}

/** A run may be silent that long while it evaluates, samples or saves. */
const silenceMs = 20_000;
const silenceSteps = 20;

export function runStanding(runDirectory: string, facts: StandingFacts): Standing {
  const { step, steps, evaluated, updates, changedMs, nowMs } = facts;
  const status = statusOnRecord(runDirectory);
  if (status !== null) return status;
  if (steps !== null && step >= steps && evaluated === step) return { state: 'done', reason: null };
  const failure = failureOnRecord(runDirectory);
  if (failure !== null) return { state: 'failed', reason: failure };
  const [before, last] = updates.slice(-2).map(({ elapsedMs }) => Number(elapsedMs));
  const msPerStep = before !== undefined && last !== undefined ? Math.max(0, last - before) : 0;
  if (nowMs - changedMs < Math.max(silenceMs, silenceSteps * msPerStep)) return { state: 'running', reason: null };
  return { state: 'stopped', reason: null };
}

/** What the run says of itself in `status.json`, or null; one whose process was killed could not say so. */
function statusOnRecord(runDirectory: string): Standing | null {
  try {
    const { state, reason } = JSON.parse(
      readBounded(join(runDirectory, 'status.json')).toString('utf8'),
    ) as Partial<Standing>;
    if (state === 'running' && !isHeld(runDirectory)) return { state: 'stopped', reason: 'its process has gone' };
    return state === undefined ? null : { state, reason: reason ?? null };
  } catch {
    return null;
  }
}

/** Whether the process that locked the run is alive, or cannot be seen from this machine. */
function isHeld(runDirectory: string): boolean {
  try {
    const { pid, host } = JSON.parse(readBounded(join(runDirectory, 'run.lock')).toString('utf8')) as {
      pid: number;
      host: string;
    };
    if (host !== hostname()) return true;
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** What a sweep noted about the failure of this run, or null. */
function failureOnRecord(runDirectory: string): string | null {
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
