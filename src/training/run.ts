/** Runs a prepared training: opens the session and the run directory, joins the parts, and ends the run properly. */
import type { Config } from '../config/schema.ts';
import { textOrigins, type WindowText } from '../data/windows/origins.ts';
import { DivergedError } from '../errors.ts';
import { vocabularyRows } from '../model/parameters.ts';
import type { ProcessGroup } from '../processes/group.ts';
import { openMetrics } from '../run/metrics.ts';
import { readEvaluations } from '../run/readMetrics.ts';
import { runPaths } from '../run/runPaths.ts';
import { noteRunStatus, writeRunStatus, type RunStatus } from '../run/status.ts';
import { trainedMsIn } from '../run/trainedTime.ts';
import { allowedCores, useCores } from '../runtime/libc.ts';
import { openSession } from '../runtime/openSession.ts';
import type { ServerPlace } from '../runtime/server.ts';
import type { Mode, Session } from '../runtime/session.ts';
import { openStepWatch, reportDivergence, type SequenceRange } from './divergence.ts';
import { explainedOutOfMemory } from './plan/memoryAdvice.ts';
import type { PreparedTraining } from './prepare.ts';
import { groupBatches, groupPrograms } from './processes/groupParts.ts';
import { prepareServers } from './processes/groupSession.ts';
import { beginTogether, trainAsRank } from './processes/rankRun.ts';
import { groupStops } from './processes/stopAgreement.ts';
import { recordPrograms } from './programs.ts';
import { openSamples } from './samples.ts';
import { openSaves } from './saves.ts';
import type { Report } from './sinks/facts.ts';
import { metricsReport, openSinks } from './sinks/sinks.ts';
import { openRunDirectory } from './startingPoint.ts';
import { lastStageConfig, stageAt } from './plan/stages.ts';
import { openStepBatches, sequenceOptions } from './stepBatches.ts';
import { branchCount } from './step/branches.ts';
import { stepShare } from './step/stepShare.ts';
import { pauseAt, type PausePoint } from './timeLimit.ts';
import { stopsOf, train, type TrainingOutcome } from './train.ts';
import { firstLossWarning } from './progress.ts';

export interface RunOptions {
  mode: Mode;
  signal: AbortSignal;
  /** Whether a checkpoint was requested since the last call; never by default. */
  takeSave?: (() => boolean) | undefined;
  /** Absent: it does not pause. */
  pause?: PausePoint | undefined;
  /** See `RunLock.renew`; absent if the run directory is not locked. */
  renewLock?: () => Promise<string | undefined>;
  /** The command line, for environment.json; that of this process by default. */
  command?: readonly string[] | undefined;
  /** The processes that train the run together; absent if this one trains alone. */
  group?: ProcessGroup | undefined;
  report: Report;
}

interface RunOutcome {
  device: 'cpu' | 'cuda';
  outcome: TrainingOutcome & {
    /** Of this process. */
    elapsedMs: number;
    /** Of the run, in all its processes. */
    trainedMs: number;
    validationLoss: number | undefined;
  };
}

/**
 * Trains a prepared run. The run directory is created or changed only after the session is open and the programs are
 * recorded.
 * @throws DivergedError, with its report written; environmentFailure if memory or disk do not suffice
 */
export async function runTraining(prepared: PreparedTraining, options: RunOptions): Promise<RunOutcome> {
  try {
    const { group } = options;
    const cores = group && allowedCores();
    const place = group && (await prepareServers(group, prepared.config.device));
    const session = openTrainingSession(prepared.config, options.mode, place);
    try {
      if (group === undefined || group.rank === 0) return await runInSession(session, prepared, options);
      const outcome = await trainAsRank(session, prepared, group, options);
      const times = { elapsedMs: 0, trainedMs: 0, validationLoss: undefined };
      return { device: session.settings.device, outcome: { ...outcome, ...times } };
    } finally {
      // If a process has gone, the step may wait for it for ever, and closing would wait for the step.
      if (group?.failure === undefined) session.close();
      if (cores !== undefined) useCores(cores); // for what a program trains after this run
    }
  } catch (error) {
    throw explainedOutOfMemory(error);
  }
}

/** The session in which the training step of a config runs. */
export function openTrainingSession(config: Config, mode: Mode, place?: ServerPlace): Session {
  const { training, device } = config;
  const branches = branchCount(training);
  // Of a run with stages, as its last ones are shared out: it only decides how many threads a branch gets.
  const own = stepShare(lastStageConfig(config).training, branches, place?.rank ?? 0, place?.addresses.length ?? 1);
  return openSession({ mode, precision: training.precision, branches, ownBranches: own.branches, device, place });
}

async function runInSession(session: Session, prepared: PreparedTraining, options: RunOptions): Promise<RunOutcome> {
  const { config, plan, runDirectory, tokenizer } = prepared;
  let { step } = prepared.progress;
  const onWarning = (message: string): void => options.report({ kind: 'warning', step, message });
  options.report({ kind: 'device', device: session.settings.device, reason: session.settings.deviceReason });
  const { group } = options;
  const recorded = await recordPrograms(session, prepared, onWarning);
  const programs = group ? groupPrograms(recorded, group) : recorded;
  const start = await openRunDirectory(prepared, session, onWarning, options.command);
  if (group) await beginTogether(group, start.logged);
  const earlierMs = prepared.resumedFrom === undefined ? 0 : trainedMsIn(runPaths(runDirectory).metrics);
  let validationLoss =
    prepared.resumedFrom === undefined
      ? undefined
      : readEvaluations(runPaths(runDirectory).metrics).findLast((each) => each.step <= step)?.loss;
  const metrics = openMetrics(runPaths(runDirectory).metrics, onWarning);
  const logged = metricsReport(metrics, config.reports.everySteps);
  const sinks = await openSinks(runDirectory, config.reports, step, onWarning, programs.reference !== null);
  const status = openStatus(runDirectory, options.renewLock);
  const setStatus = (state: RunStatus['state'], reason: string | null): Promise<void> =>
    status.set({ state, step, steps: plan.steps, reason });
  const report: Report = (fact) => {
    logged(fact);
    for (const sink of sinks) sink.report(fact);
    if (fact.kind === 'step') {
      step = fact.step;
      status.note({ state: 'running', step, steps: plan.steps, reason: null });
    }
    if (fact.kind === 'evaluation') validationLoss = fact.loss;
    if (fact.kind === 'checkpoint') void setStatus('running', null);
    options.report(fact);
    // Pretrained weights start below ln V.
    if (fact.kind !== 'evaluation' || fact.step > 0 || prepared.startsFrom !== undefined) return;
    const warning = firstLossWarning(fact.loss, vocabularyRows(config.model, tokenizer.vocabularySize));
    if (warning !== undefined) onWarning(warning);
  };
  const watch = openStepWatch(config.training.guard.maxSkips, start.cursor);
  const beganMs = performance.now();
  try {
    void setStatus('running', null);
    if (start.missingRecord !== undefined) metrics.append(start.missingRecord);
    const { signal, takeSave = () => false, pause } = options;
    const pauseReason = pauseAt(pause, earlierMs, beganMs);
    const requests = group
      ? groupStops(group, signal, pause, pauseReason)
      : { ...stopsOf(signal), pauseReason, signal };
    await programs.reference?.complete(requests.signal, report);
    const batches = openStepBatches({ ...prepared, onWarning }, start.cursor, start.step);
    const parts = {
      ...{ config, plan, programs, watch, report },
      sample: openSamples(session, prepared, onWarning, options.renewLock),
      saves: openSaves(prepared, programs, report, options.renewLock),
      batches: group ? groupBatches(batches, group, step) : batches,
    };
    const outcome = await train(parts, start, { ...requests, takeSave });
    metrics.flush(); // a run is done only once its log is complete
    await setStatus(outcome.state, outcome.reason);
    const elapsedMs = performance.now() - beganMs;
    return {
      device: session.settings.device,
      outcome: { ...outcome, elapsedMs, trainedMs: earlierMs + elapsedMs, validationLoss },
    };
  } catch (error) {
    await setStatus('failed', error instanceof Error ? error.message : String(error));
    if (!(error instanceof DivergedError)) throw error;
    throw await reportDivergence(error, runDirectory, watch, (range) => documentsOf(prepared, range, step));
  } finally {
    await status.written();
    metrics.close();
    for (const sink of sinks) sink.close();
  }
}

/** Between two notes of the step in `status.json`. */
const noteIntervalMs = 100;

/** Writes `status.json`, one status after the other. It only informs, so a failure to write it does not end the run. */
function openStatus(runDirectory: string, renewLock: (() => Promise<string | undefined>) | undefined) {
  let written: Promise<void> = Promise.resolve();
  let isNoting = false;
  let nextMs = 0;
  return {
    /** For every step: written a few times a second, unless the disk is slower. */
    note: (status: Omit<RunStatus, 'updatedAt'>): void => {
      if (isNoting || performance.now() < nextMs) return;
      isNoting = true;
      nextMs = performance.now() + noteIntervalMs;
      written = written
        .then(() => renewLock?.())
        .then((moved) => noteRunStatus(moved ?? runDirectory, status))
        .catch(() => undefined)
        .finally(() => (isNoting = false));
    },
    set: (status: Omit<RunStatus, 'updatedAt'>): Promise<void> =>
      (written = written
        .then(() => renewLock?.())
        .then((moved) => writeRunStatus(moved ?? runDirectory, status))
        .catch(() => undefined)),
    written: () => written,
  };
}

/** The text of the micro-batches of one step. @param made updates before it */
const documentsOf = (prepared: PreparedTraining, { from }: SequenceRange, made: number): Promise<WindowText[]> => {
  const { corpus, tokenizer, plan } = prepared;
  const { microBatchesPerStep } = stageAt(plan.stages, made);
  return textOrigins(corpus, tokenizer, sequenceOptions(prepared), from, microBatchesPerStep);
};
