/** `clm train`: trains a model from a config, or resumes a run. */
import path from 'node:path';
import type { Config } from '../../../config/schema.ts';
import { lockRun, type RunLock } from '../../../run/lock.ts';
import { clearLeftovers } from '../../../run/runDirectory.ts';
import { runPaths } from '../../../run/runPaths.ts';
import { findConfig, prepareTraining, type PreparedTraining } from '../../../training/prepare.ts';
import { hasBfloat16Arithmetic } from '../../../processor.ts';
import { shellPath } from '../../../shellWord.ts';
import { runTraining } from '../../../training/run.ts';
import { clearLive, showWaiting } from '../../terminal/liveLine.ts';
import { duration, grouped, note, printJson, printWarning } from '../../terminal/output.ts';
import { outliveStdout } from '../../terminal/streams.ts';
import { stopSignals, type StopSignals } from '../../stopSignals.ts';
import { reportIgnored, reportLeftOut, supplyLines } from '../../terminal/supplyText.ts';
import { parseDuration, startTimeLimit, type TimeLimit } from './timeLimit.ts';
import { reportToTerminal } from '../../terminal/trainingTerminal.ts';
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
  const say = args.quiet ? () => {} : note;
  let isTraining = false;
  const signals = stopSignals({
    doing: () => (isTraining ? 'finishing this step and saving' : undefined),
    again: 'stops at once, without saving',
    onSave: () => say('SIGUSR1: saving after this step'),
    isQuiet: args.quiet,
    ignoreHangup: args.ignoreHangup,
  });
  const limit =
    maxTimeMs === undefined ? undefined : startTimeLimit(maxTimeMs, () => signals.stop(`--max-time ${args.maxTime}`));
  try {
    const located = findConfig(request, say);
    const { runDirectory } = located;
    const lock = await lockRun(runDirectory);
    try {
      if (lock.unsupported !== undefined) printWarning(withoutLocks(runDirectory, lock.unsupported));
      const clearWaiting = args.quiet ? () => {} : showWaiting('reading the corpus');
      const prepared = await signals.unlessStopped(prepareTraining(located)).finally(clearWaiting);
      if (prepared === 'stopped') {
        const reason = String(signals.signal.reason);
        say(`${reason}: stopped before the first step`);
        if (args.json) printJson({ run: runDirectory, state: 'stopped', reason });
        process.exitCode = signals.exitCode();
        return;
      }
      isTraining = true;
      outliveStdout(({ message }) =>
        printWarning(`${message}\nTraining goes on; its figures are in ${runPaths(runDirectory).metrics}`),
      );
      await trainPrepared(prepared, lock, args, signals, limit);
    } finally {
      await lock.release();
    }
  } finally {
    limit?.close();
    signals.close();
  }
}

const withoutLocks = (runDirectory: string, reason: string): string =>
  `${runDirectory} cannot be locked (${reason}): start no second process there at the same moment. One started later ` +
  'is refused if it can see the process of this one.';

function warnOfSlowBfloat16({ training, device }: Config): void {
  if (training.precision !== 'bfloat16' || device === 'cuda' || hasBfloat16Arithmetic() !== false) return;
  printWarning('training.precision is bfloat16, but this CPU has no bfloat16 instructions: slower than float32');
}

async function trainPrepared(
  prepared: PreparedTraining,
  lock: RunLock,
  args: ArgumentsOf<typeof trainUsage>,
  signals: StopSignals,
  limit: TimeLimit | undefined,
): Promise<void> {
  for (const { path: skipped, reason } of prepared.skipped) printWarning(`skipped ${skipped}: ${reason}`);
  warnOfSlowBfloat16(prepared.config);
  const { plan, runDirectory } = prepared;
  const startStep = prepared.progress.step;
  const shownDirectory = path.relative(process.cwd(), runDirectory) || '.';
  const say = args.quiet ? () => {} : note;
  if (prepared.isFinished) {
    await clearLeftovers(runDirectory);
    const key = startStep < plan.steps ? 'evaluation.patience' : 'training.steps';
    say(`${shownDirectory} is finished: ${startStep} of ${plan.steps} steps. To train further, raise ${key}.`);
    if (args.json) printJson({ run: runDirectory, step: startStep, state: 'done' });
    return;
  }
  for (const warning of prepared.warnings) printWarning(warning);
  say(
    `${prepared.config.name}: ${grouped(plan.parameters)} parameters, ${grouped(plan.steps)} steps of ` +
      `${grouped(plan.tokensPerStep)} tokens (${plan.epochs.toFixed(2)} epochs), into ${shownDirectory}`,
  );
  for (const line of supplyLines(plan, prepared.config.corpus.packing)) say(`windows: ${line}`);
  reportIgnored(prepared.tokenizer, args.quiet);
  reportLeftOut(prepared.manifest.leftOut, prepared.corpus, args.quiet);
  if (args.resume) say(startStep > 0 ? `resuming from step ${startStep}` : 'no checkpoint yet: starting at step 0');
  const reportToUser = reportToTerminal(plan.steps, startStep, args.quiet);
  // Parameters and two AdamW moments, 4 bytes each, written at 20 MB/s; one second for everything else.
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
        reportToUser(fact);
        if (args.json && fact.kind !== 'saving') printJson(fact);
      },
    });
    clearLive();
    const { step, state, reason, elapsedMs, waitingShare, validationLoss } = outcome;
    if (args.json) printJson({ run: runDirectory, step, state, reason, validationLoss, device, waitingShare });
    if (state === 'stopped') {
      const why = reason?.startsWith('--') ? ` (${reason})` : '';
      say(`stopped after step ${step}${why}. To continue: clm train --run ${shellPath(shownDirectory)} --resume`);
      process.exitCode = signals.exitCode();
      return;
    }
    say(
      `done: ${step} steps in ${duration(elapsedMs)}` +
        (validationLoss === undefined ? '' : `, validation loss ${validationLoss.toFixed(4)}`) +
        (reason === null ? '' : ` (${reason})`) +
        `; waited for data ${(100 * waitingShare).toFixed(2)} % of the time`,
    );
    say(`to sample: clm sample ${shellPath(shownDirectory)}`);
  } finally {
    clearLive();
  }
}
