/**
 * The training loop. Once in a while it evaluates, samples and saves; then it makes one update and reports
 * it. "Step k" means that k updates have been applied, so the loop turns once more than there are updates
 * and its end takes the ordinary path. SIGINT and the like arrive as an AbortSignal: the step under way is
 * finished and saved.
 */
import type { TrainingBatch } from '../data/batches.ts';
import { diverged } from './diverged.ts';
import type { Report } from './facts.ts';
import type { RunPrograms } from './programs.ts';
import { learningRateAt } from './schedule.ts';

/** Where training begins: at step 0, or where a checkpoint left off. */
export interface StartingPoint {
  step: number;
  /** Kinds of the facts of this very step that the run has on record already. */
  recorded: ReadonlySet<string>;
}

export interface TrainingOutcome {
  step: number;
  state: 'done' | 'stopped';
  /** Share of the time that the loop waited for micro-batches. */
  waitingShare: number;
}

export interface LoopPlan {
  steps: number;
  tokensPerStep: number;
}

/**
 * Trains from `start` to the end of the plan, or until `signal` aborts.
 *
 * @throws a failure of kind `diverged` where a loss, a gradient or a parameter is no finite number any more;
 *   nothing is saved then
 */
export async function train(
  programs: RunPrograms,
  plan: LoopPlan,
  start: StartingPoint,
  report: Report,
  signal: AbortSignal,
): Promise<TrainingOutcome> {
  const { config } = programs;
  const microBatches = programs.microBatches();
  let upcoming = takeStep(microBatches, config.training.microBatchesPerStep);
  const beganMs = performance.now();
  let waitedMs = 0;
  let recorded = start.recorded;
  try {
    for (let step = start.step; ; step++) {
      const ends = step === plan.steps;
      const stops = signal.aborted;
      let isEvaluated = recorded.has('evaluation');
      const isDue = (kind: string, everySteps: number | null): boolean =>
        !recorded.has(kind) && everySteps !== null && step > 0 && step % everySteps === 0;

      // Once in a while: the loss on the validation text.
      if (!stops && (isDue('evaluation', config.evaluation.everySteps) || ((ends || step === 0) && !recorded.has('evaluation')))) {
        const evaluation = await programs.evaluate(signal);
        if (evaluation !== null) {
          if (!Number.isFinite(evaluation.loss)) throw diverged(`the validation loss after ${step} steps is ${evaluation.loss}`);
          report({ kind: 'evaluation', step, ...evaluation });
          isEvaluated = true;
        }
      }
      // Once in a while: a completion.
      if (!stops && isDue('sample', config.samples.everySteps)) {
        report({ kind: 'sample', step, ...(await programs.sample(step)) });
      }
      // Once in a while, at the end and before a stop: a checkpoint.
      const leaves = ends || signal.aborted;
      if (isDue('checkpoint', config.checkpoints.everySteps) || (leaves && !recorded.has('checkpoint') && step > 0)) {
        report({ kind: 'saving', step });
        report({ kind: 'checkpoint', step, path: await programs.save(step) });
      }
      if (leaves) {
        const elapsedMs = performance.now() - beganMs;
        return { step, state: ends && isEvaluated ? 'done' : 'stopped', waitingShare: waitedMs / Math.max(elapsedMs, 1) };
      }
      recorded = new Set();

      // One update. The next micro-batches are read while it runs on another thread.
      const stepBeganMs = performance.now();
      const batches = await upcoming;
      const readyMs = performance.now();
      waitedMs += readyMs - stepBeganMs;
      const learningRate = learningRateAt(config.schedule, config.optimizer.learningRate, plan.steps, step);
      const update = programs.step(batches, step + 1, learningRate);
      upcoming = takeStep(microBatches, config.training.microBatchesPerStep);
      const { loss, gradientNorm, skipped } = await update;
      if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) {
        throw diverged(`the loss of update ${step + 1} is ${loss}, its gradient norm ${gradientNorm}`);
      }
      const nowMs = performance.now();
      const tokensPerSecond = (plan.tokensPerStep / (nowMs - stepBeganMs)) * 1000;
      const elapsedMs = Math.round(nowMs - beganMs);
      report({ kind: 'step', step: step + 1, loss, learningRate, gradientNorm, ...(skipped && { skipped }), tokensPerSecond, elapsedMs });
    }
  } finally {
    await upcoming.catch(() => undefined); // a failure to read matters only where its micro-batches are used
    await microBatches.return();
  }
}

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
