/**
 * The training loop. "Step k" means that k updates have been applied: each iteration does what is due after `step`
 * updates, then applies the next one. So the loop turns once more than there are updates, and the last evaluation and
 * checkpoint are made like any other. A request to stop arrives as an AbortSignal: the step under way is finished and
 * saved.
 */
import type { Config } from '../config/schema.ts';
import type { TrainingBatch } from '../data/windows/batches.ts';
import type { StepRecord } from '../run/metrics.ts';
import { diverged, type StepWatch } from './divergence.ts';
import type { RunPlan } from './plan/plan.ts';
import { stageAt } from './plan/stages.ts';
import type { RunPrograms } from './programs.ts';
import type { Sampler } from './samples.ts';
import { returnFreeMemory } from '../runtime/libc.ts';
import type { Saves } from './saves.ts';
import type { Report } from './sinks/facts.ts';
import type { StepBatches } from './stepBatches.ts';
import { learningRateAt } from './step/schedule.ts';
import { afterEvaluation, afterUpdate, isExhausted, type Progress, type ValidationHistory } from './progress.ts';

/** What the loop works with. */
export interface LoopParts {
  config: Config;
  plan: Pick<RunPlan, 'steps' | 'stages'>;
  batches: StepBatches;
  programs: RunPrograms;
  sample: Sampler;
  saves: Saves;
  watch: StepWatch;
  report: Report;
}

/** Where training starts: at step 0, or where a checkpoint left off. */
export interface StartingPoint extends Progress {
  /** Kinds of the records of this very step that are in the log already. */
  logged: ReadonlySet<string>;
}

export interface TrainingOutcome {
  step: number;
  state: 'done' | 'stopped';
  /** Why it ended before the last step of the plan. */
  reason: string | null;
  /** Share of the time that the loop waited for micro-batches. */
  waitingShare: number;
}

/** Why training stops before its end. */
export interface Stop {
  reason: string;
  /** It is evaluated and saved, at the top of a turn; else only saved, at any point. */
  isPause: boolean;
}

/** What may come from outside while training runs. */
interface Requests {
  /** Whether training stops at a point: 2·step at the top of a turn, 2·step + 1 before the update. */
  stopAt(point: number): Promise<Stop | null> | Stop | null;
  /** Aborts when training is to stop: an evaluation need not be finished. */
  signal: AbortSignal;
  /** Whether a checkpoint was requested since the last call. */
  takeSave(): boolean;
  /** Why training pauses after this many updates, evaluated and saved; null if it does not. */
  pauseReason(step: number): string | null;
}

/**
 * Trains from `start` to the end of the plan, or until the signal aborts, a pause is due or evaluations no longer
 * improve.
 *
 * @throws DivergedError if a loss, a gradient or a parameter is no longer finite; nothing is saved then;
 *   what reading the corpus throws, after saving; environmentFailure if the last checkpoint could not be saved
 */
export async function train(
  parts: LoopParts,
  { logged, ...start }: StartingPoint,
  { stopAt, signal, takeSave, pauseReason }: Requests,
): Promise<TrainingOutcome> {
  const { config, plan, batches, sample, saves, report } = parts;
  const beganMs = performance.now();
  try {
    for (let progress: Progress = start; ; logged = new Set()) {
      const { step } = progress;
      const due = dueAt(step, config, plan.steps, logged);
      const early = await stopAt(2 * step);
      const wasStopped = early?.isPause === false;
      const pause = early?.isPause ? early.reason : step < plan.steps ? pauseReason(step) : null;

      // If due: the loss on the validation text. That of a pause does not count for the patience of the run.
      const isEvaluated = due.evaluation || (pause !== null && !logged.has('evaluation'));
      const evaluated = isEvaluated && !wasStopped ? await evaluate(parts, progress, signal) : null;
      if (evaluated !== null && due.evaluation) progress = { ...progress, validation: evaluated };
      const stopsEarly = step < plan.steps && isExhausted(progress.validation, config.evaluation.patience);
      const isOver = step === plan.steps || stopsEarly;

      // If due: a completion.
      if (due.sample && !wasStopped) report({ kind: 'sample', step, ...(await sample(step)) });

      // If due, on request, at the end and before a stop: a checkpoint, written while the next steps run.
      const stop = early ?? (await stopAt(2 * step + 1));
      const ends = isOver || pause !== null || stop !== null;
      const isWanted = (step > 0 && takeSave()) || due.checkpoint || ends; // at step 0 the request waits for an update
      if (isWanted && step > 0 && !logged.has('checkpoint')) await saves.begin(progress);
      if (ends) {
        await saves.finished();
        const waitingShare = batches.waitedMs() / Math.max(performance.now() - beganMs, 1);
        const isDone = stopsEarly || (isOver && (evaluated !== null || logged.has('evaluation')));
        if (!isDone) return { step, state: 'stopped', reason: stop?.reason ?? pause, waitingShare };
        return { step, state: 'done', reason: stopsEarly ? noGain(progress.validation) : null, waitingShare };
      }

      progress = await update(parts, progress, beganMs);
    }
  } finally {
    await saves.finished().catch(() => undefined); // has been reported, and matters only at the end
    await batches.close();
  }
}

/**
 * What is due after `step` updates, besides what the end of the run and requests add.
 * @param steps of the whole run
 * @param logged kinds of the records of this step that exist already, in a run that is resumed
 */
export function dueAt(
  step: number,
  { evaluation, samples, checkpoints }: Record<'evaluation' | 'samples' | 'checkpoints', { everySteps: number | null }>,
  steps: number,
  logged: ReadonlySet<string>,
): { evaluation: boolean; sample: boolean; checkpoint: boolean } {
  const isEvery = (everySteps: number | null): boolean => everySteps !== null && step > 0 && step % everySteps === 0;
  const isBeginningOrEnd = step === 0 || step === steps;
  return {
    evaluation: !logged.has('evaluation') && (isBeginningOrEnd || isEvery(evaluation.everySteps)),
    sample: !logged.has('sample') && isEvery(samples.everySteps),
    checkpoint: !logged.has('checkpoint') && isEvery(checkpoints.everySteps),
  };
}

/** One evaluation. @returns the history with it, or null if the signal stopped it */
async function evaluate(
  { programs, saves, report }: LoopParts,
  progress: Progress,
  signal: AbortSignal,
): Promise<ValidationHistory | null> {
  const { step, cursor, validation } = progress;
  returnFreeMemory(); // what the steps have left in pieces; else the evaluation makes the peak of a run
  const evaluation = await programs
    .evaluate(signal, cursor)
    .catch((failure: unknown) => saves.failAfterSaving(failure, progress));
  if (evaluation === null) return null;
  if (!Number.isFinite(evaluation.loss)) {
    throw diverged(`the validation loss after ${step} steps is ${evaluation.loss}`);
  }
  report({ kind: 'evaluation', step, ...evaluation });
  return afterEvaluation(validation, step, evaluation.loss);
}

/** One update. While it runs, the micro-batches of the next one are read on another thread. */
async function update(
  { config, plan, batches, programs, saves, watch, report }: LoopParts,
  progress: Progress,
  beganMs: number,
): Promise<Progress> {
  const { training, optimizer, schedule } = config;
  const step = progress.step + 1;
  const startMs = performance.now();
  const microBatches = await batches.next().catch((failure: unknown) => saves.failAfterSaving(failure, progress));
  const learningRate = learningRateAt(schedule, optimizer.learningRate, plan.steps, progress.step);
  const { loss, gradientNorm, skipped, preference } = await programs.step(microBatches, step, learningRate);

  const nowMs = performance.now();
  const targets = sum(microBatches, 'targetCount');
  const record: StepRecord = {
    kind: 'step',
    step,
    loss,
    ...preference,
    learningRate,
    gradientNorm,
    ...(skipped && { skipped }),
    ...(targets < stageAt(plan.stages, progress.step).tokensPerStep && { targets }),
    tokensPerSecond: (sum(microBatches, 'tokenCount') / (nowMs - startMs)) * 1000,
    elapsedMs: Math.round(nowMs - beganMs),
  };
  const { cursor } = microBatches.at(-1)!;
  watch.add(record, { from: training.overfitBatch ? undefined : progress.cursor, to: cursor });
  report(record);
  return { step, cursor, validation: afterUpdate(progress.validation) };
}

/** A process that trains alone stops at the first point after the signal. */
export const stopsOf = (signal: AbortSignal): Pick<Requests, 'stopAt'> => ({
  stopAt: () => (signal.aborted ? { reason: abortReason(signal), isPause: false } : null),
});

/** Why a signal aborted, in words. */
export const abortReason = ({ reason }: AbortSignal): string =>
  reason instanceof Error ? reason.message : String(reason);

const noGain = ({ evaluationsSinceBest, bestLoss, bestStep }: ValidationHistory): string =>
  `no better validation loss than ${bestLoss?.toFixed(4)} (step ${bestStep}) in ${evaluationsSinceBest} evaluations`;

const sum = (batches: readonly TrainingBatch[], count: 'tokenCount' | 'targetCount'): number =>
  batches.reduce((total, batch) => total + batch[count], 0);
