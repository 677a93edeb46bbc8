/**
 * Trains a run from the request to the result: for `clm train` and for the JavaScript API, which differ only in how
 * they are asked, stopped and listened to.
 */
import { hasBfloat16Arithmetic } from '../processor.ts';
import { joinGroup, type GroupOptions, type ProcessGroup } from '../processes/group.ts';
import { defaultWatchdogMs } from '../processes/watch.ts';
import { lockRun } from '../run/lock.ts';
import { clearLeftovers } from '../run/runDirectory.ts';
import type { Mode } from '../runtime/session.ts';
import { fileCounts } from '../data/files/corpus.ts';
import { renderTokenizer } from '../data/tokenizers/tokenizerFile.ts';
import { ignoredParts } from '../data/tokenizers/bpe/files/huggingFaceFile.ts';
import { findConfig, prepareTraining, type PreparedTraining, type TrainingRequest } from './prepare.ts';
import { checkProcesses } from './processes/checkProcesses.ts';
import { inGroup } from './processes/groupRun.ts';
import { comparePrepared, compareStart, preparedFacts, startFacts, type StartFacts } from './processes/sameRun.ts';
import { startRanks } from './processes/startRanks.ts';
import { runTraining } from './run.ts';
import type { Report, StartFact, TrainingResult } from './sinks/facts.ts';
import { savingTakesMs, type PausePoint, type TimeLimit } from './timeLimit.ts';
import { abortReason } from './train.ts';

export interface TrainingControls {
  mode: Mode;
  /** Stops training: the step under way is finished and saved. Its reason is the reason of the result. */
  signal: AbortSignal;
  /** Whether a checkpoint was requested since the last call. */
  takeSave?: () => boolean;
  /** Told of steps and the size of the model. */
  limit?: TimeLimit | undefined;
  /** Where it pauses: evaluated, saved and to be resumed. */
  pause?: PausePoint | undefined;
  /** This process trains the run together with others, which it meets; absent if it is alone or starts them. */
  join?: GroupOptions;
  /** Called when it has met rank 0; only with `join`. */
  onArrived?: () => void;
  /** How many processes train the run together: the others are started on this machine, and ended; default 1. */
  processes?: number;
  /** Within this time of a failure all processes have ended; default 60 s. */
  watchdogMs?: number;
  /** The command line, for environment.json. */
  command?: readonly string[];
  /** Told of values of the config that an override replaces, at once. */
  onReplaced?: (message: string) => void;
  /** Told of what is probably not meant, but concerns no step, at once. */
  onWarning?: (message: string) => void;
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
  const { signal, limit, onReplaced, onWarning, onPrepared } = controls;
  const notices: string[] = [];
  const located = findConfig(request, (message) => {
    notices.push(message);
    onReplaced?.(message);
  });
  const run = located.runDirectory;
  const untrained = {
    run,
    validationLoss: null,
    device: null,
    startStep: null,
    elapsedMs: 0,
    trainedMs: 0,
    waitingShare: 0,
  };
  const { join } = controls;
  const lock = join === undefined || join.rank === 0 ? await lockRun(run) : undefined;
  try {
    if (lock?.unsupported !== undefined) {
      notices.push(withoutLocks(run, lock.unsupported));
      onWarning?.(notices.at(-1)!);
    }
    const facts = (): StartFacts => startFacts(located.config, request);
    const isShared = join !== undefined || (controls.processes ?? 1) > 1;
    const shared = isShared ? request : undefined;
    const trainIn = async (group?: ProcessGroup): Promise<TrainingResult> => {
      if (group) await compareStart(group, facts());
      const prepared = signal.aborted ? undefined : await unlessAborted(prepareTraining(located, shared), signal);
      if (prepared === undefined) return stopped(signal, untrained, group);
      onPrepared?.(prepared);
      const { step, validation } = prepared.progress;
      if (group) await comparePrepared(group, preparedFacts(prepared));
      if (prepared.isFinished) {
        if (lock !== undefined) await clearLeftovers(run);
        return { ...untrained, state: 'done', step, reason: null, validationLoss: validation.loss };
      }
      limit?.savingTakes(savingTakesMs(prepared.plan.parameters));
      const { processes = 1, watchdogMs = defaultWatchdogMs, pause } = controls;
      const size = group?.size ?? processes;
      for (const warning of checkProcesses(prepared, size, group === undefined)) onWarning?.(warning);
      if (processes === 1) return trainPrepared(prepared, notices, controls, lock?.renew, group);
      const tokenizerText = renderTokenizer(prepared.tokenizer);
      const started = startRanks({ ...request, tokenizerText }, { size: processes, watchdogMs, pause });
      const ranks = await started.catch((error: unknown) => {
        if (!signal.aborted) throw error; // a Ctrl-C that ends a process which does not yet listen for it
      });
      if (ranks === undefined) return stopped(signal, untrained, undefined);
      return inGroup(ranks, run, async (group) => {
        await compareStart(group, facts());
        const isSame = await unlessAborted(
          comparePrepared(group, preparedFacts(prepared)).then(() => true),
          signal,
        );
        if (isSame === undefined) return stopped(signal, untrained, group);
        return trainPrepared(prepared, notices, controls, lock?.renew, group);
      });
    };
    return join === undefined
      ? await trainIn()
      : await inGroup({ group: await joinGroup(join, controls.onArrived) }, run, trainIn);
  } finally {
    await lock?.release();
  }
}

/** Stopped before anything was trained: so are the others. */
function stopped(
  signal: AbortSignal,
  untrained: Omit<TrainingResult, 'state' | 'step' | 'reason'>,
  group: ProcessGroup | undefined,
): TrainingResult {
  group?.fail(`rank ${group.rank} was stopped before the first step.`, 'environment');
  return { ...untrained, state: 'stopped', step: null, reason: abortReason(signal) };
}

const withoutLocks = (runDirectory: string, reason: string): string =>
  `${runDirectory} cannot be locked (${reason}): start no second process there at the same moment. One started later ` +
  'is refused if it can see the process of this one.';

async function trainPrepared(
  prepared: PreparedTraining,
  notices: readonly string[],
  { mode, signal, takeSave, limit, pause, command, report: reportTo }: TrainingControls,
  renewLock: (() => Promise<string | undefined>) | undefined,
  group: ProcessGroup | undefined,
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
  report(startFact(prepared, notices, group?.size ?? 1));
  try {
    const { outcome, device } = await runTraining(prepared, {
      ...{ mode, signal, takeSave, pause, command, group, report },
      ...(renewLock && { renewLock }),
    });
    const { state, reason, elapsedMs, trainedMs, waitingShare, validationLoss = null } = outcome;
    const startStep = prepared.progress.step;
    report({ kind: 'end', step, state, reason });
    return {
      ...{ run, state, step: outcome.step, startStep, reason, validationLoss, device },
      ...{ elapsedMs, trainedMs, waitingShare },
    };
  } catch (error) {
    report({ kind: 'end', step, state: 'failed', reason: error instanceof Error ? error.message : String(error) });
    throw error;
  }
}

function startFact(prepared: PreparedTraining, notices: readonly string[], processes: number): StartFact {
  const { config, plan, progress, runDirectory, manifest, corpus, tokenizer } = prepared;
  const ignored = ignoredParts(tokenizer);
  const { steps, tokensPerStep, parameters, trainedParameters } = plan;
  return {
    kind: 'start',
    run: runDirectory,
    ...{ step: progress.step, steps, tokensPerStep, parameters, trainedParameters, processes, config },
    warnings: [...notices, ...prepared.notes, ...startWarnings(prepared), ...(ignored === undefined ? [] : [ignored])],
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
    signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
  return Promise.race([work, aborted]);
}
