/** The state, progress, losses and speed of a run, read from the ends of its files so that listing runs is fast. */
import { statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { readEnvironment } from '../run/environment.ts';
import { runPaths } from '../run/runPaths.ts';
import type { EvaluationRecord, StepRecord } from '../run/metrics.ts';
import { readEvaluations, readMetricsTail } from '../run/readMetrics.ts';
import { runState, type RunState } from '../run/status.ts';
import { median } from '../statistics.ts';

/** How far a run has come, as its files tell. */
export interface RunSummary extends RunState {
  name: string;
  path: string;
  /** Updates applied. */
  step: number;
  /** Updates planned; null if unknown. */
  steps: number | null;
  /** Training loss of the last logged update. */
  loss: number | null;
  /** The latest; nats per token. */
  validationLoss: number | null;
  /** The lowest, and its step. */
  bestValidationLoss: number | null;
  bestStep: number | null;
  /** Median of the last logged updates, without the first of a process, most of whose time is start-up. */
  tokensPerSecond: number | null;
  /** Time since the run last logged something; negative if the clock has been set back since. */
  ageMs: number;
  tokensPerStep: number | null;
  device: string | null;
}

/** @param nowMs the current time, in ms since 1970 */
export function summarizeRun(runDirectory: string, nowMs = Date.now()): RunSummary {
  const paths = runPaths(runDirectory);
  const environment = readEnvironment(runDirectory);
  const tail = readMetricsTail(paths.metrics);
  const records = tail?.records ?? [];
  const updates = records.filter((record) => record.kind === 'step');
  const evaluations = readEvaluations(paths.metrics);
  const best = bestEvaluation(evaluations);
  const step = Math.max(0, ...records.map((record) => record.step));
  const steps = environment?.plan?.steps ?? null;
  const changedMs = tail?.changedMs ?? changedMsOf(runDirectory, nowMs);
  return {
    name: basename(resolve(runDirectory)),
    path: runDirectory,
    ...runState(runDirectory, {
      step,
      steps,
      changedMs,
      nowMs,
      evaluated: evaluations.at(-1)?.step ?? null,
      updates,
    }),
    step,
    steps,
    loss: finite(updates.at(-1)?.loss),
    validationLoss: finite(evaluations.at(-1)?.loss),
    bestValidationLoss: finite(best?.loss),
    bestStep: best?.step ?? null,
    tokensPerSecond: finite(median(steadySpeeds(updates))),
    ageMs: nowMs - changedMs,
    tokensPerStep: environment?.plan?.tokensPerStep ?? null,
    device: environment?.device?.name ?? null,
  };
}

function steadySpeeds(updates: readonly StepRecord[]): number[] {
  return updates.flatMap(({ step, elapsedMs, tokensPerSecond }, i) => {
    const isFirst = step === 1 || elapsedMs < (updates[i - 1]?.elapsedMs ?? 0);
    return isFirst ? [] : (finite(tokensPerSecond) ?? []);
  });
}

/** The evaluation with the lowest loss; the first one of equals. */
export function bestEvaluation(evaluations: readonly EvaluationRecord[]): EvaluationRecord | undefined {
  return evaluations.reduce<EvaluationRecord | undefined>((best, evaluation) => {
    const loss = finite(evaluation.loss);
    return loss !== null && loss < (finite(best?.loss) ?? Infinity) ? evaluation : best;
  }, undefined);
}

/** A number read from a record, or null if it is missing, not a number or not finite. */
export const finite = (value: unknown): number | null =>
  typeof value === 'number' && Number.isFinite(value) ? value : null;

function changedMsOf(path: string, otherwise: number): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? otherwise;
}
