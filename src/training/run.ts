/** A prepared run, from the session and the run directory to the loop and its end. */
import { existsSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { writeFileDurably } from '../storage/durable.ts';
import { describeEnvironment, environmentDifferences } from '../run/environment.ts';
import { openMetrics, truncateMetrics, type CheckpointRecord, type MetricsRecord } from '../run/metrics.ts';
import { pruneCheckpoints } from '../checkpoint/retention.ts';
import { clearLeftovers, createRunDirectory } from '../run/runDirectory.ts';
import { runPaths } from '../run/runPaths.ts';
import { writeRunStatus, type RunStatus } from '../run/status.ts';
import { renderConfig } from '../config/resolved.ts';
import { renderManifest } from '../data/manifest.ts';
import { renderTokenizer } from '../data/tokenizers/tokenizerFile.ts';
import { ExpectedError } from '../errors.ts';
import { vocabularyRows } from '../model/parameters.ts';
import { openSession } from '../runtime/openSession.ts';
import type { Mode, Session } from '../runtime/session.ts';
import { loadedTensorFlow, operationsOf } from '../runtime/tensorflow.ts';
import { divergenceReported, firstLossWarning, memoryExplained, openWatch } from './alarms.ts';
import { branchCount } from './step/branches.ts';
import type { Report } from './sinks/facts.ts';
import { metricsSink } from './sinks/metricsSink.ts';
import type { PreparedTraining } from './prepare.ts';
import { recordRun, sampleFile } from './programs.ts';
import { openSinks } from './sinks/sinks.ts';
import { train, type StartingPoint, type TrainingOutcome } from './train.ts';
import { noEvaluations, parseValidationHistory } from './validationHistory.ts';

export interface RunOptions {
  mode: Mode;
  signal: AbortSignal;
  /** Whether a checkpoint was asked for since the last call; never by default. */
  takeSave?: () => boolean;
  /** See `RunLock.renew`; absent where nobody else knows of the run directory. */
  renewLock?: () => Promise<void>;
  report: Report;
}

interface RunOutcome {
  device: string;
  outcome: TrainingOutcome & { elapsedMs: number; validationLoss: number | undefined };
}

/**
 * Trains a prepared run; the run directory is made, or continued, only once the session stands.
 * @throws a failure of kind `diverged` with its report written; environmentFailure where memory or disk do not suffice
 */
export async function runTraining(prepared: PreparedTraining, options: RunOptions): Promise<RunOutcome> {
  try {
    const { training, device } = prepared.config;
    const session = openSession({
      mode: options.mode,
      precision: training.precision,
      branches: branchCount(training),
      device,
    });
    try {
      return await runInSession(session, prepared, options);
    } finally {
      session.close();
    }
  } catch (error) {
    throw memoryExplained(error);
  }
}

async function runInSession(session: Session, prepared: PreparedTraining, options: RunOptions): Promise<RunOutcome> {
  const { config, plan, runDirectory, tokenizer } = prepared;
  options.report({ kind: 'device', device: session.device, reason: session.deviceReason });
  const programs = await recordRun(session, { ...prepared, renewLock: options.renewLock });
  const start = await openRunDirectory(prepared, session, options.report);
  let { step } = start;
  const warn = (message: string): void => options.report({ kind: 'warning', step, message });
  const metrics = openMetrics(runPaths(runDirectory).metrics, warn);
  const sink = metricsSink(metrics, config.reports.everySteps);
  const sinks = await openSinks(runDirectory, config.reports, start.step, warn);
  const watch = openWatch(config.training.guard.maxSkips);
  let validationLoss: number | undefined;
  // Only the last word matters, so a status that cannot be written is no failure of the run.
  let statusWritten: Promise<void> = Promise.resolve();
  const setStatus = (state: RunStatus['state'], reason: string | null): Promise<void> =>
    (statusWritten = statusWritten
      .then(options.renewLock)
      .then(() => writeRunStatus(runDirectory, { state, step, steps: plan.steps, reason }))
      .catch(() => undefined));
  const report: Report = (fact) => {
    sink(fact);
    for (const { report } of sinks) report(fact);
    if (fact.kind === 'step') step = fact.step;
    if (fact.kind === 'evaluation' && fact.step > 0) validationLoss = fact.loss;
    if (fact.kind === 'checkpoint') void setStatus('running', null);
    options.report(fact);
    // Weights of another run know something already.
    const isUntrained = fact.kind === 'evaluation' && fact.step === 0 && prepared.start === undefined;
    const warning = isUntrained
      ? firstLossWarning(fact.loss, vocabularyRows(config.model, tokenizer.vocabularySize))
      : undefined;
    if (warning !== undefined) warn(warning);
  };
  const beganMs = performance.now();
  try {
    void setStatus('running', null);
    if (start.checkpointRecord !== undefined) metrics.append(start.checkpointRecord);
    const requests = { signal: options.signal, takeSave: options.takeSave ?? (() => false) };
    const outcome = await train(programs, plan, start, report, requests, watch);
    metrics.flush(); // a run is done once its log says all of it
    await setStatus(outcome.state, outcome.reason);
    return { device: session.device, outcome: { ...outcome, elapsedMs: performance.now() - beganMs, validationLoss } };
  } catch (error) {
    await setStatus('failed', error instanceof Error ? error.message : String(error));
    if (!(error instanceof ExpectedError) || error.kind !== 'diverged') throw error;
    throw await divergenceReported(error, runDirectory, watch.latest, programs.latestText);
  } finally {
    await statusWritten;
    metrics.close();
    for (const { close } of sinks) close();
  }
}

/** Makes the run directory, or makes an existing one what it was at the checkpoint. */
async function openRunDirectory(
  prepared: PreparedTraining,
  session: Session,
  report: Report,
): Promise<StartingPoint & { checkpointRecord?: CheckpointRecord }> {
  const { config, tokenizer, plan, runDirectory, checkpoint } = prepared;
  const { steps, tokensPerStep, parameters, flopsPerToken } = plan;
  const environment = describeEnvironment({
    plan: { steps, tokensPerStep, parameters, flopsPerToken },
    device: {
      name: session.device,
      reason: session.deviceReason,
      mode: session.mode,
      operations: operationsOf(loadedTensorFlow()),
    },
    tensorflow: loadedTensorFlow().version,
    threads: os.availableParallelism(),
  });
  if (!checkpoint) {
    const tokenizerText = renderTokenizer(tokenizer);
    await createRunDirectory(runDirectory, { configText: renderConfig(config), tokenizerText, environment });
    await writeFileDurably(runPaths(runDirectory).corpus, renderManifest(prepared.manifest));
    return { step: 0, recorded: new Set(), validation: noEvaluations };
  }
  const { step } = checkpoint;
  const paths = runPaths(runDirectory);
  await clearLeftovers(runDirectory);
  await pruneCheckpoints(runDirectory, step, config.checkpoints); // a kill may have come between the save and this
  const differences = environmentDifferences(paths.environment, environment);
  if (differences.length > 0) {
    const message = `resuming with another ${differences.join(', ')}: the same losses to the last bit are no longer promised`;
    report({ kind: 'warning', step, message });
  }
  await writeFileDurably(paths.config, renderConfig(config));
  await writeFileDurably(paths.environment, `${JSON.stringify(environment, null, 2)}\n`);
  const isDue = (kind: string): boolean => {
    const { everySteps } = kind === 'evaluation' ? config.evaluation : config.checkpoints;
    return step === plan.steps || (everySteps !== null && step % everySteps === 0);
  };
  // A stop does not wait for an evaluation that is due: its checkpoint does not know the loss, and is saved again after
  // it.
  let lacksEvaluation = isDue('evaluation');
  const stays = ({ kind }: MetricsRecord): boolean => {
    if (kind === 'evaluation') lacksEvaluation = false;
    return isDue(kind) && !(kind === 'checkpoint' && lacksEvaluation);
  };
  const { kindsAtStep } = await truncateMetrics(paths.metrics, step, stays);
  const recorded = new Set(lacksEvaluation ? kindsAtStep : [...kindsAtStep, 'checkpoint']);
  if (existsSync(sampleFile(runDirectory, step))) recorded.add('sample');
  const validation = parseValidationHistory(checkpoint.state['validation'], path.join(checkpoint.path, 'state.json'));
  // A kill between the checkpoint's rename and its record: the record is made up for.
  const isUnrecorded = isDue('checkpoint') && !lacksEvaluation && !kindsAtStep.includes('checkpoint');
  const checkpointRecord: CheckpointRecord = { kind: 'checkpoint', step, path: checkpoint.path };
  return { step, recorded, validation, ...(isUnrecorded && { checkpointRecord }) };
}
