/** The run directory at the start of training: created, or cut back to the checkpoint that the run continues from. */
import { existsSync } from 'node:fs';
import os from 'node:os';
import { pruneCheckpoints } from '../checkpoint/retention.ts';
import { renderConfig } from '../config/resolved.ts';
import { renderManifest } from '../data/manifest.ts';
import { renderTokenizer } from '../data/tokenizers/tokenizerFile.ts';
import { configNote } from '../run/configFile.ts';
import { describeEnvironment, environmentDifferences, readEnvironment, type Environment } from '../run/environment.ts';
import { truncateMetrics, type MetricsRecord } from '../run/metrics.ts';
import { clearLeftovers, createRunDirectory } from '../run/runDirectory.ts';
import { runPaths } from '../run/runPaths.ts';
import type { Session } from '../runtime/session.ts';
import { loadedTensorFlow, operationsOf } from '../runtime/tensorflow.ts';
import { writeFileDurably } from '../storage/durable.ts';
import type { PreparedTraining } from './prepare.ts';
import { sampleFile } from './samples.ts';
import type { StartingPoint } from './train.ts';
import { afterUpdate } from './progress.ts';

interface OpenedRun extends StartingPoint {
  /** The record of the checkpoint continued from, if a kill came between writing the checkpoint and its record. */
  missingRecord?: MetricsRecord;
}

/** Creates the run directory, or restores an existing one to what it was at the checkpoint. */
export async function openRunDirectory(
  prepared: PreparedTraining,
  session: Session,
  warn: (message: string) => void,
  command?: readonly string[],
): Promise<OpenedRun> {
  const { config, resumedFrom, progress, runDirectory } = prepared;
  const paths = runPaths(runDirectory);
  const environment = environmentOf(prepared, session, command);
  if (resumedFrom === undefined) {
    const [configText, tokenizerText] = [renderConfig(config, runDirectory), renderTokenizer(prepared.tokenizer)];
    await createRunDirectory(runDirectory, { configText, tokenizerText, environment });
    await writeFileDurably(paths.corpus, renderManifest(prepared.manifest, paths.corpus));
    return { ...progress, logged: new Set() };
  }
  const { step } = progress;
  await clearLeftovers(runDirectory);
  await pruneCheckpoints(runDirectory, step, config.checkpoints); // a kill may have prevented it after the save
  const differences = environmentDifferences(runDirectory, environment);
  if (differences.length > 0) {
    warn(`resuming with another ${differences.join(', ')}: losses may no longer be bitwise the same`);
  }
  await writeFileDurably(paths.config, renderConfig(config, runDirectory));
  await writeFileDurably(paths.environment, `${JSON.stringify(environment, null, 2)}\n`);

  const { logged, isRecordMissing } = await cutLog(prepared);
  if (existsSync(sampleFile(runDirectory, step))) logged.add('sample');
  const validation = logged.has('evaluation') ? progress.validation : afterUpdate(progress.validation);
  const missingRecord = { kind: 'checkpoint', step, path: resumedFrom } as const;
  return { ...progress, validation, logged, ...(isRecordMissing && { missingRecord }) };
}

/**
 * Cuts the log to what a run that was never stopped would have written by this step: an evaluation or checkpoint that
 * only the stop, or an earlier end of the run, made is dropped. A stop does not wait for an evaluation that is due; its
 * checkpoint lacks the loss, so it counts as not logged and is saved again after the evaluation.
 */
async function cutLog({
  config,
  plan,
  progress: { step },
  runDirectory,
}: PreparedTraining): Promise<{ logged: Set<string>; isRecordMissing: boolean }> {
  const isDue = (everySteps: number | null): boolean =>
    step === plan.steps || (everySteps !== null && step % everySteps === 0);
  const isEvaluationDue = isDue(config.evaluation.everySteps);
  const isCheckpointDue = isDue(config.checkpoints.everySteps);
  let lacksEvaluation = isEvaluationDue;
  const { kindsAtStep } = await truncateMetrics(runPaths(runDirectory).metrics, step, ({ kind }) => {
    if (kind !== 'evaluation') return isCheckpointDue && !lacksEvaluation;
    lacksEvaluation = false;
    return isEvaluationDue;
  });
  return {
    logged: new Set(lacksEvaluation ? kindsAtStep : [...kindsAtStep, 'checkpoint']),
    isRecordMissing: isCheckpointDue && !lacksEvaluation && !kindsAtStep.includes('checkpoint'),
  };
}

function environmentOf(
  { plan, runDirectory, configPath, resumedFrom }: PreparedTraining,
  session: Session,
  command: readonly string[] | undefined,
): Environment {
  const { steps, tokensPerStep, parameters, trainedParameters, flopsPerToken } = plan;
  const stages = plan.stages.map(({ fromStep, tokensPerStep, flopsPerToken }) => ({
    ...{ fromStep, tokensPerStep, flopsPerToken },
  }));
  const { device: name, deviceReason: reason, mode } = session.settings;
  const former = resumedFrom === undefined ? undefined : readEnvironment(runDirectory);
  const facts = {
    plan: {
      ...{ steps, tokensPerStep, parameters, trainedParameters, flopsPerToken },
      ...(stages.length > 1 && { stages }),
    },
    config: configPath ? configNote(runDirectory, configPath) : (former?.config ?? null),
    device: { name, reason, mode, operations: operationsOf(session.settings) },
    tensorflow: loadedTensorFlow().version,
    threads: os.availableParallelism(),
    processes: session.settings.place?.addresses.length ?? 1,
  };
  return describeEnvironment(facts, command);
}
