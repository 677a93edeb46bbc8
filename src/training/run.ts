/** A prepared run, from the session and the run directory to the loop and its end. */
import { existsSync } from 'node:fs';
import os from 'node:os';
import { writeFileDurably } from '../checkpoint/durable.ts';
import { describeEnvironment } from '../checkpoint/environment.ts';
import { openMetrics, truncateMetrics, type MetricsRecord } from '../checkpoint/metrics.ts';
import { clearLeftovers, createRunDirectory } from '../checkpoint/runDirectory.ts';
import { runPaths } from '../checkpoint/runPaths.ts';
import { renderConfig } from '../config/resolved.ts';
import { renderTokenizer } from '../data/tokenizers/tokenizerFile.ts';
import { openSession } from '../runtime/openSession.ts';
import type { Mode, Session } from '../runtime/session.ts';
import { loadedTensorFlow } from '../runtime/tensorflow.ts';
import type { Report } from './facts.ts';
import { metricsSink } from './metricsSink.ts';
import type { PreparedTraining } from './prepare.ts';
import { recordRun, sampleFile } from './programs.ts';
import { train, type StartingPoint, type TrainingOutcome } from './train.ts';

export interface RunOptions {
  mode: Mode;
  signal: AbortSignal;
  report: Report;
}

export interface RunOutcome {
  device: string;
  outcome: TrainingOutcome & { elapsedMs: number; validationLoss: number | undefined };
}

/** Trains a prepared run; the run directory is made, or continued, only once the session stands. */
export async function runTraining(prepared: PreparedTraining, options: RunOptions): Promise<RunOutcome> {
  const { config, plan, runDirectory } = prepared;
  const session = openSession({ mode: options.mode, ...config.training, device: config.device });
  try {
    options.report({ kind: 'device', device: session.device, reason: session.deviceReason });
    const programs = await recordRun(session, prepared);
    const start = await openRunDirectory(prepared, session);
    const metrics = openMetrics(runPaths(runDirectory).metrics);
    const sink = metricsSink(metrics, config.reports.everySteps);
    let validationLoss: number | undefined;
    const beganMs = performance.now();
    try {
      const report: Report = (fact) => {
        sink(fact);
        if (fact.kind === 'evaluation' && fact.step > 0) validationLoss = fact.loss;
        options.report(fact);
      };
      const outcome = await train(programs, plan, start, report, options.signal);
      return { device: session.device, outcome: { ...outcome, elapsedMs: performance.now() - beganMs, validationLoss } };
    } finally {
      metrics.close();
    }
  } finally {
    session.close();
  }
}

/** Makes the run directory, or makes an existing one what it was at the checkpoint. */
async function openRunDirectory(prepared: PreparedTraining, session: Session): Promise<StartingPoint> {
  const { config, tokenizer, plan, runDirectory, checkpoint } = prepared;
  const { steps, tokensPerStep, parameters, flopsPerToken } = plan;
  const environment = describeEnvironment({
    plan: { steps, tokensPerStep, parameters, flopsPerToken },
    device: { name: session.device, reason: session.deviceReason, mode: session.mode },
    tensorflow: loadedTensorFlow().version,
    threads: os.availableParallelism(),
  });
  if (!checkpoint) {
    const tokenizerText = renderTokenizer(tokenizer);
    await createRunDirectory(runDirectory, { configText: renderConfig(config), tokenizerText, environment });
    return { step: 0, recorded: new Set() };
  }
  const paths = runPaths(runDirectory);
  await clearLeftovers(runDirectory);
  await writeFileDurably(paths.config, renderConfig(config));
  await writeFileDurably(paths.environment, `${JSON.stringify(environment, null, 2)}\n`);
  const { kindsAtStep } = await truncateMetrics(paths.metrics, checkpoint.step, (record: MetricsRecord) => {
    const everySteps = record.kind === 'evaluation' ? config.evaluation.everySteps : config.checkpoints.everySteps;
    return record.step === plan.steps || (everySteps !== null && record.step % everySteps === 0);
  });
  const recorded = new Set([...kindsAtStep, 'checkpoint']);
  if (existsSync(sampleFile(runDirectory, checkpoint.step))) recorded.add('sample');
  return { step: checkpoint.step, recorded };
}
