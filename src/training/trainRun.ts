/**
 * Trains a run from the request to the result: for `clm train` and for the JavaScript API, which differ only in how they
 * are asked, stopped and listened to.
 */
import { hasBfloat16Arithmetic } from '../processor.ts';
import { lockRun } from '../run/lock.ts';
import { clearLeftovers } from '../run/runDirectory.ts';
import type { Mode } from '../runtime/session.ts';
import { fileCounts } from '../data/files/corpus.ts';
import { findConfig, prepareTraining, type PreparedTraining, type TrainingRequest } from './prepare.ts';
import { runTraining } from './run.ts';
import type { Report, StartFact } from './sinks/facts.ts';
import type { TimeLimit } from './timeLimit.ts';
import { abortReason } from './train.ts';

/** How a training ended. */
export interface TrainingResult {
  /** Absolute path of the run directory. */
  run: string;
  /** `stopped` if the signal or the time limit ended it before its last step. */
  state: 'done' | 'stopped';
  /** Updates applied, those before resuming included; null if it was stopped before that was known. */
  step: number | null;
  /** Why it ended before its last step; null if it did not. */
  reason: string | null;
  /** The last validation loss, nats per token; null if there was none. */
  validationLoss: number | null;
  /** The device it trained on; null if it did not train, since it was done already or stopped before the first step. */
  device: 'cpu' | 'cuda' | null;
  /** Time spent training, in milliseconds. */
  elapsedMs: number;
  /** Share of that time, 0 to 1, in which training waited for data. */
  waitingShare: number;
}

export interface TrainingControls {
  mode: Mode;
  /** Stops training: the step under way is finished and saved. Its reason is the reason of the result. */
  signal: AbortSignal;
  /** Whether a checkpoint was requested since the last call. */
  takeSave?: () => boolean;
  /** Told of steps and the size of the model. */
  limit?: TimeLimit | undefined;
  /** The command line, for environment.json. */
  command?: readonly string[];
  /** Called when everything is read and checked, before anything is computed. */
  onPrepared?: (prepared: PreparedTraining) => void;
  report: Report;
}

/**
 * Trains as the request says, holding the lock of the run directory.
 * @throws what `findConfig`, `lockRun`, `prepareTraining` and `runTraining` throw; a run that is refused leaves nothing
 *   on disk
 */
export async function trainRun(request: TrainingRequest, controls: TrainingControls): Promise<TrainingResult> {
  const { signal, limit, onPrepared } = controls;
  const located = findConfig(request);
  const run = located.runDirectory;
  const untrained = { run, validationLoss: null, device: null, elapsedMs: 0, waitingShare: 0 };
  const lock = await lockRun(run);
  try {
    const prepared = await unlessAborted(prepareTraining(located), signal);
    if (prepared === undefined) return { ...untrained, state: 'stopped', step: null, reason: abortReason(signal) };
    onPrepared?.(prepared);
    const { step, validation } = prepared.progress;
    if (prepared.isFinished) {
      await clearLeftovers(run);
      return { ...untrained, state: 'done', step, reason: null, validationLoss: validation.loss };
    }
    // Parameters and two AdamW moments, 4 bytes each, written at 20 MB/s; one second for everything else.
    limit?.savingTakes(1000 + (prepared.plan.parameters * 12) / 20_000);
    return await trainPrepared(prepared, controls, lock.renew);
  } finally {
    await lock.release();
  }
}

async function trainPrepared(
  prepared: PreparedTraining,
  { mode, signal, takeSave, limit, command, report: reportTo }: TrainingControls,
  renewLock: () => Promise<void>,
): Promise<TrainingResult> {
  const { runDirectory: run } = prepared;
  let { step } = prepared.progress;
  let lastMs: number | undefined;
  const report: Report = (fact) => {
    if (fact.kind === 'step') {
      step = fact.step;
      if (lastMs !== undefined) limit?.stepTook(performance.now() - lastMs);
      lastMs = performance.now();
    }
    reportTo(fact);
  };
  report(startFact(prepared));
  try {
    const { outcome, device } = await runTraining(prepared, { mode, signal, takeSave, renewLock, command, report });
    const { state, reason, elapsedMs, waitingShare, validationLoss = null } = outcome;
    report({ kind: 'end', step, state, reason });
    return { run, state, step: outcome.step, reason, validationLoss, device, elapsedMs, waitingShare };
  } catch (error) {
    report({ kind: 'end', step, state: 'failed', reason: error instanceof Error ? error.message : String(error) });
    throw error;
  }
}

function startFact(prepared: PreparedTraining): StartFact {
  const { config, plan, progress, runDirectory, manifest, corpus } = prepared;
  const { steps, tokensPerStep, parameters } = plan;
  return {
    kind: 'start',
    run: runDirectory,
    ...{ step: progress.step, steps, tokensPerStep, parameters, config },
    warnings: startWarnings(prepared),
    leftOut: { ...manifest.leftOut, ...fileCounts(corpus) },
  };
}

/** What is probably not meant, and checkpoints that had to be passed over. */
export function startWarnings({ skipped, warnings, config }: PreparedTraining): string[] {
  const { training, device } = config;
  const isSlow = training.precision === 'bfloat16' && device !== 'cuda' && hasBfloat16Arithmetic() === false;
  const slow = 'training.precision is bfloat16, but this CPU has no bfloat16 instructions: slower than float32';
  return [...skipped.map(({ path, reason }) => `skipped ${path}: ${reason}`), ...(isSlow ? [slow] : []), ...warnings];
}

/** The result of work, or undefined as soon as the signal aborts: the work is abandoned, and writes nothing. */
function unlessAborted<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result | undefined> {
  const aborted = new Promise<undefined>((resolve) => {
    if (signal.aborted) resolve(undefined);
    signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
  return Promise.race([work, aborted]);
}
