/** `clm train`: from a config to a trained run; continues one with --resume. */
import ora from 'ora';
import path from 'node:path';
import type { Config } from '../../../config/schema.ts';
import { lockRun, type RunLock } from '../../../run/lock.ts';
import { clearLeftovers } from '../../../run/runDirectory.ts';
import { findConfig, prepareTraining, type PreparedTraining } from '../../../training/prepare.ts';
import { hasBfloat16Arithmetic } from '../../../runtime/bfloat16Support.ts';
import { runTraining } from '../../../training/run.ts';
import { duration, grouped, note, printJson, printWarning } from '../../terminal/output.ts';
import { stopSignals, type StopSignals } from '../../stopSignals.ts';
import { supplyLines } from '../../terminal/supplyText.ts';
import { parseDuration, startTimeLimit, type TimeLimit } from './timeLimit.ts';
import { openTrainingTerminal } from '../../terminal/trainingTerminal.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { trainUsage } from './usage.ts';

export async function train(args: ArgumentsOf<typeof trainUsage>): Promise<void> {
  const maxTimeMs = args.maxTime === undefined ? undefined : parseDuration(args.maxTime);
  const set = [
    ...(args.log ? [`reports.log=${JSON.stringify(args.log)}`] : []),
    ...args.set,
    ...(args.device ? [`device=${args.device}`] : []),
    ...(args.overfitBatch ? ['training.overfitBatch=true'] : []),
  ];
  const request = { configPath: args.config, runDirectory: args.run, set, resume: args.resume };
  const spinner = ora({
    text: 'reading the corpus',
    stream: process.stderr,
    isSilent: args.quiet || !process.stderr.isTTY || !process.stderr.columns,
  });
  spinner.start();
  let announceStop = (_name: string): void => {};
  const signals = stopSignals(
    (name) => announceStop(name),
    () => void note('SIGUSR1: saving after this step'),
  );
  const limit =
    maxTimeMs === undefined ? undefined : startTimeLimit(maxTimeMs, () => signals.stop(`--max-time ${args.maxTime}`));
  try {
    const located = findConfig(request);
    const { runDirectory } = located;
    const lock = await lockRun(runDirectory);
    try {
      const prepared = await signals.unlessStopped(prepareTraining(located));
      spinner.stop();
      if (prepared === 'stopped') {
        const reason = String(signals.signal.reason);
        if (!args.quiet) note(`${reason}: stopped before the first step`);
        if (args.json) printJson({ run: runDirectory, state: 'stopped', reason });
        process.exitCode = signals.exitCode();
        return;
      }
      announceStop = (name) => void note(`${name}: finishing this step, then saving; once more stops at once`);
      await trainPrepared(prepared, lock, args, signals, limit, (announce) => (announceStop = announce));
    } finally {
      await lock.release();
    }
  } finally {
    spinner.stop();
    limit?.close();
    signals.close();
  }
}

function warnOfSlowBfloat16({ training, device }: Config): void {
  if (training.precision !== 'bfloat16' || device === 'cuda' || hasBfloat16Arithmetic() !== false) return;
  printWarning('training.precision is bfloat16, but this CPU has no bfloat16 instructions: slower than float32');
}

/** @param onStop is handed what tells the user of a stop, once there is a progress bar to mind */
async function trainPrepared(
  prepared: PreparedTraining,
  lock: RunLock,
  args: ArgumentsOf<typeof trainUsage>,
  signals: StopSignals,
  limit: TimeLimit | undefined,
  onStop: (announce: (name: string) => void) => void,
): Promise<void> {
  for (const { path: skipped, reason } of prepared.skipped) printWarning(`skipped ${skipped}: ${reason}`);
  warnOfSlowBfloat16(prepared.config);
  const { plan, runDirectory } = prepared;
  const startStep = prepared.progress.step;
  const shownDirectory = path.relative(process.cwd(), runDirectory) || '.';
  const say = args.quiet ? () => {} : note;
  if (prepared.isFinished) {
    await clearLeftovers(runDirectory);
    say(
      `${shownDirectory} is finished: ${startStep} of ${plan.steps} steps. Raise ${startStep < plan.steps ? 'evaluation.patience' : 'training.steps'} to train on.`,
    );
    if (args.json) printJson({ run: runDirectory, step: startStep, state: 'done' });
    return;
  }
  say(
    `${prepared.config.name}: ${grouped(plan.parameters)} parameters, ${grouped(plan.steps)} steps of ` +
      `${grouped(plan.tokensPerStep)} tokens (${plan.epochs.toFixed(2)} epochs), into ${shownDirectory}`,
  );
  for (const line of supplyLines(plan, prepared.config.corpus.packing)) say(`windows: ${line}`);
  if (args.resume) say(startStep > 0 ? `resuming from step ${startStep}` : 'no checkpoint yet: starting at step 0');
  const terminal = openTrainingTerminal(plan.steps, startStep, args.quiet);
  onStop((name) => terminal.say(`${name}: finishing this step, then saving; once more stops at once`));
  // Parameters and two moments of four bytes at 20 MB/s, and a second for what else there is.
  limit?.savingTakes(1000 + (plan.parameters * 12) / 20_000);
  let lastMs: number | undefined;
  try {
    const { outcome, device } = await runTraining(prepared, {
      mode: args.eager ? 'eager' : 'recorded',
      signal: signals.signal,
      takeSave: () => signals.takeSave(),
      renewLock: lock.renew,
      report: (fact) => {
        if (fact.kind === 'step') {
          if (lastMs !== undefined) limit?.stepTook(performance.now() - lastMs);
          lastMs = performance.now();
        }
        terminal.report(fact);
        if (args.json && fact.kind !== 'saving') printJson(fact);
      },
    });
    terminal.close();
    const { step, state, reason, elapsedMs, waitingShare, validationLoss } = outcome;
    if (args.json) printJson({ run: runDirectory, step, state, reason, validationLoss, device, waitingShare });
    if (state === 'stopped') {
      const why = reason?.startsWith('--') ? ` (${reason})` : '';
      say(`stopped after step ${step}${why}. To continue: clm train --run ${shownDirectory} --resume`);
      process.exitCode = signals.exitCode();
      return;
    }
    say(
      `done: ${step} steps in ${duration(elapsedMs)}` +
        (validationLoss === undefined ? '' : `, validation loss ${validationLoss.toFixed(4)}`) +
        (reason === null ? '' : ` (${reason})`) +
        `; waited for data ${(100 * waitingShare).toFixed(2)} % of the time`,
    );
    say(`to sample: clm sample ${shownDirectory}`);
  } finally {
    terminal.close();
  }
}
