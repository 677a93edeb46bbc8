/**
 * The training loop. Once in a while it evaluates, samples and saves; then it makes one update and reports
 * it. "Step k" means that k updates have been applied, so the loop turns once more than there are updates
 * and its end takes the ordinary path. SIGINT and the like arrive as an AbortSignal: the step under way is
 * finished and saved.
 */
import type { TrainingBatch } from '../data/windows/batches.ts';
import { ExpectedError } from '../errors.ts';
import type { Watch } from './alarms.ts';
import { diverged } from './diverged.ts';
import type { StepRecord } from '../run/metrics.ts';
import type { Report } from './sinks/facts.ts';
import type { RunPrograms } from './programs.ts';
import { learningRateAt } from './step/schedule.ts';
import { afterEvaluation, isExhausted, type ValidationHistory } from './validationHistory.ts';

/** Where training begins: at step 0, or where a checkpoint left off. */
export interface StartingPoint {
  step: number;
  /** Kinds of the facts of this very step that the run has on record already. */
  recorded: ReadonlySet<string>;
  /** The evaluations up to there. */
  validation: ValidationHistory;
}

export interface TrainingOutcome {
  step: number;
  state: 'done' | 'stopped';
  /** Why it ended before the last step of the plan. */
  reason: string | null;
  /** Share of the time that the loop waited for micro-batches. */
  waitingShare: number;
}

/** What may come from outside while training runs. */
interface Requests {
  /** Aborts when training shall stop; its reason says why. */
  signal: AbortSignal;
  /** Whether a checkpoint was asked for since the last call. */
  takeSave(): boolean;
}

interface LoopPlan {
  steps: number;
  tokensPerStep: number;
}

/**
 * Trains from `start` to the end of the plan, or until the signal aborts or evaluations no longer improve.
 *
 * @throws a failure of kind `diverged` where a loss, a gradient or a parameter is no finite number any more; nothing is
 *   saved then; what reading the corpus throws, after saving; environmentFailure where the last checkpoint could not be
 *   saved
 */
export async function train(
  programs: RunPrograms,
  plan: LoopPlan,
  start: StartingPoint,
  report: Report,
  { signal, takeSave }: Requests,
  watch: Watch,
): Promise<TrainingOutcome> {
  const { config } = programs;
  const microBatches = programs.microBatches();
  let upcoming = takeStep(microBatches, config.training.microBatchesPerStep);
  const beganMs = performance.now();
  let waitedMs = 0;
  let { recorded, validation } = start;
  let savedStep = start.step;
  const save = async (step: number): Promise<void> => {
    savedStep = step;
    await programs.save(step, validation, report);
  };
  try {
    for (let step = start.step; ; step++) {
      // A file of the corpus that is gone or damaged takes away nothing of what was learnt.
      const afterSaving = async (failure: unknown): Promise<never> => {
        if (step > savedStep) await save(step);
        const isSaved =
          step > 0 &&
          (await programs.saved().then(
            () => true,
            () => false,
          )); // a refusal has been reported
        throw isSaved ? resumable(failure, step) : failure;
      };
      for (const message of programs.notes()) report({ kind: 'warning', step, message });
      const stops = signal.aborted;
      const isLast = step === plan.steps;
      validation = { ...validation, loss: recorded.has('evaluation') ? validation.loss : null };
      let isEvaluated = recorded.has('evaluation');
      const isDue = (kind: string, everySteps: number | null): boolean =>
        !recorded.has(kind) && everySteps !== null && step > 0 && step % everySteps === 0;

      // Once in a while: the loss on the validation text.
      if (
        !stops &&
        (isDue('evaluation', config.evaluation.everySteps) || ((isLast || step === 0) && !recorded.has('evaluation')))
      ) {
        const evaluation = await programs.evaluate(signal).catch(afterSaving);
        if (evaluation !== null) {
          if (!Number.isFinite(evaluation.loss))
            throw diverged(`the validation loss after ${step} steps is ${evaluation.loss}`);
          report({ kind: 'evaluation', step, ...evaluation });
          validation = afterEvaluation(validation, step, evaluation.loss);
          isEvaluated = true;
        }
      }
      const gainsNothing = !isLast && isExhausted(validation, config.evaluation.patience);
      const ends = isLast || gainsNothing;
      // Once in a while: a completion.
      if (!stops && isDue('sample', config.samples.everySteps)) {
        report({ kind: 'sample', step, ...(await programs.sample(step, report)) });
      }
      // Once in a while, when asked for, at the end and before a stop: a checkpoint, written while the next steps run.
      const leaves = ends || signal.aborted;
      const isWanted = (takeSave() || leaves) && !recorded.has('checkpoint') && step > 0;
      if (isDue('checkpoint', config.checkpoints.everySteps) || isWanted) await save(step);
      if (leaves) {
        await programs.saved();
        const waitingShare = waitedMs / Math.max(performance.now() - beganMs, 1);
        const isDone = ends && isEvaluated;
        const reason = !isDone ? String(signal.reason) : gainsNothing ? noGain(validation) : null;
        return { step, state: isDone ? 'done' : 'stopped', reason, waitingShare };
      }
      recorded = new Set();

      // One update. The next micro-batches are read while it runs on another thread.
      const stepBeganMs = performance.now();
      const batches = await upcoming.catch(afterSaving);
      const readyMs = performance.now();
      waitedMs += readyMs - stepBeganMs;
      const learningRate = learningRateAt(config.schedule, config.optimizer.learningRate, plan.steps, step);
      const update = programs.step(batches, step + 1, learningRate);
      upcoming = takeStep(microBatches, config.training.microBatchesPerStep);
      const { loss, gradientNorm, skipped } = await update;
      const nowMs = performance.now();
      const [tokens, targets] = [sum(batches, 'tokenCount'), sum(batches, 'targetCount')];
      const tokensPerSecond = (tokens / (nowMs - stepBeganMs)) * 1000;
      const elapsedMs = Math.round(nowMs - beganMs);
      const fact: StepRecord = {
        kind: 'step',
        step: step + 1,
        loss,
        learningRate,
        gradientNorm,
        ...(skipped && { skipped }),
        ...(targets < plan.tokensPerStep && { targets }),
        tokensPerSecond,
        elapsedMs,
      };
      watch.check(fact);
      report(fact);
    }
  } finally {
    await programs.saved().catch(() => undefined); // reported when it failed, and of interest only at the end
    await upcoming.catch(() => undefined); // a failure to read matters only where its micro-batches are used
    await microBatches.return();
  }
}

const noGain = ({ evaluationsSinceBest, bestLoss, bestStep }: ValidationHistory): string =>
  `${evaluationsSinceBest} evaluations without a better validation loss than ${bestLoss?.toFixed(4)} at step ${bestStep}`;

const resumable = (failure: unknown, step: number): unknown =>
  failure instanceof ExpectedError
    ? new ExpectedError(
        failure.kind,
        `${failure.message}\nThe run is saved as it was after step ${step}: continue it with --resume.`,
        { cause: failure },
      )
    : failure;

const sum = (batches: readonly TrainingBatch[], count: 'tokenCount' | 'targetCount'): number =>
  batches.reduce((total, batch) => total + batch[count], 0);

/** The micro-batches of one step. Its rejection is handled where it is awaited, which may be later. */
function takeStep(microBatches: AsyncGenerator<TrainingBatch, void, void>, count: number): Promise<TrainingBatch[]> {
  const taken = (async () => {
    const batches: TrainingBatch[] = [];
    while (batches.length < count) {
      const next = await microBatches.next();
      if (next.done) throw new Error('the stream of micro-batches ended');
      batches.push(next.value);
    }
    return batches;
  })();
  taken.catch(() => undefined);
  return taken;
}
