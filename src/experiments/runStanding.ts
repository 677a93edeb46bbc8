/**
 * Whether a run is running, done, stopped or failed, as far as its directory tells: a run whose last planned step is
 * evaluated is done; one that wrote a short while ago is running; a sweep notes why one of its runs failed.
 */
import { readFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { MetricsRecord } from './metricsReading.ts';

export type RunStateName = 'running' | 'done' | 'stopped' | 'failed';

export interface Standing {
  state: RunStateName;
  /** Why it failed or stopped, where that is known. */
  reason: string | null;
}

export interface StandingFacts {
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
  if (steps !== null && step >= steps && evaluated === step) return { state: 'done', reason: null };
  const failure = failureOnRecord(runDirectory);
  if (failure !== null) return { state: 'failed', reason: failure };
  const [before, last] = updates.slice(-2).map(({ elapsedMs }) => Number(elapsedMs));
  const msPerStep = before !== undefined && last !== undefined ? Math.max(0, last - before) : 0;
  if (nowMs - changedMs < Math.max(silenceMs, silenceSteps * msPerStep)) return { state: 'running', reason: null };
  return { state: 'stopped', reason: null };
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
