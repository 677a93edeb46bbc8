/** `clm train`: trains a model from a config, or resumes a run. */
import { constants } from 'node:os';
import path from 'node:path';
import { wrongInput } from '../../../errors.ts';
import { runPaths } from '../../../run/runPaths.ts';
import { parseDuration, parseUntil } from '../../../duration.ts';
import { shellPath } from '../../../shellWord.ts';
import type { RunPlan } from '../../../training/plan/plan.ts';
import { sumBefore } from '../../../training/plan/stages.ts';
import type { PreparedTraining } from '../../../training/prepare.ts';
import type { Report, TrainingResult } from '../../../training/sinks/facts.ts';
import type { ModuleSink } from '../../../training/sinks/moduleSink.ts';
import { startTimeLimit } from '../../../training/timeLimit.ts';
import { startWarnings, trainRun } from '../../../training/trainRun.ts';
import { clearLive, showWaiting } from '../../terminal/liveLine.ts';
import { duration, grouped, note, printFinal, printJson, printWarning } from '../../terminal/output.ts';
import { outliveStdout } from '../../terminal/streams.ts';
import { stopSignals } from '../../stopSignals.ts';
import { reportIgnored, reportLeftOut, supplyLines } from '../../terminal/supplyText.ts';
import { logTargets, openModules } from '../../logTargets.ts';
import { adapterOf, adapterText } from '../../../model/adapter.ts';
import { frozenLines, parametersText, stageLines, stepTokensText } from './planText.ts';
import { processesOf } from './processes.ts';
import { lengthWithin } from './timeBudget.ts';
import { reportToTerminal } from '../../terminal/trainingTerminal.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { trainUsage } from './usage.ts';

type TrainArguments = ArgumentsOf<typeof trainUsage>;

export async function train(asked: TrainArguments): Promise<void> {
  const { text, ...processes } = await processesOf(asked);
  const isFirst = (processes.join?.rank ?? 0) === 0;
  // The others say nothing: rank 0 has the terminal.
  const args = isFirst ? asked : { ...asked, quiet: true, json: false, log: undefined };
  const maxTimeMs = args.maxTime === undefined ? undefined : parseDuration(args.maxTime);
  const pause = args.until === undefined ? undefined : parseUntil(args.until);
  const { kinds, modules } = logTargets(args.log);
  const set = [
    ...(kinds ? [`reports.log=${JSON.stringify(kinds)}`] : []),
    ...args.set,
    ...(args.device ? [`device=${args.device}`] : []),
    ...(args.overfitBatch ? ['training.overfitBatch=true'] : []),
  ];
  const say = args.quiet ? () => {} : note;
  let isTraining = false;
  const signals = stopSignals({
    doing: () => (isTraining ? 'finishing this step and saving' : undefined),
    again: 'stops at once, without saving',
    onSave: () => say('SIGUSR1: saving after this step'),
    isQuiet: args.quiet,
    ignoreHangup: args.ignoreHangup,
  });
  const stopInTime = (): void => signals.stop(`--max-time ${args.maxTime}`);
  const limit = maxTimeMs === undefined ? undefined : startTimeLimit(maxTimeMs, 0, stopInTime);
  if (text !== undefined) say(text);
  const clearWaiting = args.quiet ? () => {} : showWaiting('reading the corpus');
  let reportToUser: Report = () => {};
  let sinks: ModuleSink | undefined;
  let plan: RunPlan | undefined;
  try {
    const opened = await signals.unlessStopped(openModules(modules));
    if (opened !== 'stopped') sinks = opened;
    const request = { config: args.config, runDirectory: args.run, set, resume: args.resume };
    const mode = args.eager ? 'eager' : 'recorded';
    if (maxTimeMs !== undefined) {
      const length = await signals.unlessStopped(lengthWithin(maxTimeMs, request, say));
      if (length !== undefined && processes.join !== undefined)
        throw wrongInput('--max-time sets no length if the processes are started one by one: set training.steps.');
      if (length !== undefined && length !== 'stopped') set.push(length);
    }
    const result = await trainRun(request, {
      ...{ mode, signal: signals.signal, limit, pause, ...processes },
      takeSave: () => signals.takeSave(),
      onReplaced: say,
      onWarning: isFirst ? printWarning : () => {},
      onPrepared: (prepared) => {
        clearWaiting();
        isTraining = isFirst;
        plan = prepared.plan;
        outliveStdout(({ message }) =>
          printWarning(`${message}\nTraining goes on; its figures are in ${runPaths(prepared.runDirectory).metrics}`),
        );
        if (!isFirst) return;
        sayWhatIsTrained(prepared, args);
        reportToUser = reportToTerminal(prepared.plan.steps, prepared.progress.step, args.quiet);
      },
      report: (fact) => {
        sinks?.report(fact);
        reportToUser(fact);
        if (args.json && !['start', 'saving', 'end'].includes(fact.kind)) printJson(fact);
      },
    });
    clearLive();
    await sinks?.close();
    if (isFirst) sayHowItEnded(result, args, plan);
    if (result.state === 'stopped') process.exitCode = signals.exitCode() || exitCodeOfStop(result.reason);
  } finally {
    clearWaiting();
    clearLive();
    await sinks?.close();
    limit?.close();
    signals.close();
  }
}

/** After a signal that only another of several processes got. */
const exitCodeOfStop = (reason: string | null): number =>
  reason !== null && reason in constants.signals ? 128 + constants.signals[reason as NodeJS.Signals] : 0;

/** What must be known before the first step, on stderr. */
function sayWhatIsTrained(prepared: PreparedTraining, { quiet, resume }: TrainArguments): void {
  const { config, plan, runDirectory, manifest, corpus, tokenizer, progress } = prepared;
  const say = quiet ? () => {} : note;
  const shownDirectory = path.relative(process.cwd(), runDirectory) || '.';
  for (const warning of startWarnings(prepared)) printWarning(warning);
  for (const line of prepared.notes) say(line);
  if (prepared.isFinished) {
    const key = progress.step < plan.steps ? 'evaluation.patience' : 'training.steps';
    say(`${shownDirectory} is finished: ${progress.step} of ${plan.steps} steps. To train further, raise ${key}.`);
    return;
  }
  say(
    `${config.name}: ${parametersText(plan)}, ${grouped(plan.steps)} steps of ` +
      `${stepTokensText(plan)} tokens (${plan.epochs.toFixed(2)} epochs), into ${shownDirectory}`,
  );
  for (const line of stageLines(plan)) say(`stage: ${line}`);
  const adapter = adapterOf(config);
  if (adapter !== null) say(`adapter: ${adapterText(adapter)}`);
  for (const line of frozenLines(plan)) say(`frozen: ${line}`);
  for (const line of supplyLines(plan, corpus.packing)) say(`windows: ${line}`);
  reportIgnored(tokenizer, quiet);
  reportLeftOut(manifest.leftOut, corpus, quiet);
  if (resume) say(progress.step > 0 ? `resuming from step ${progress.step}` : 'no checkpoint yet: starting at step 0');
}

/** @param plan undefined if nothing was trained */
function sayHowItEnded(
  result: TrainingResult,
  { quiet, json, processes = 1 }: TrainArguments,
  plan: RunPlan | undefined,
): void {
  const { run, step, state, reason, device } = result;
  const say = quiet ? () => {} : note;
  const shownDirectory = path.relative(process.cwd(), run) || '.';
  const validationLoss = result.validationLoss ?? undefined;
  if (step === null) {
    say(`${reason}: stopped before the first step`);
    if (json) printJson({ run, state, reason });
  } else if (device === null || plan === undefined) {
    if (json) printJson({ run, step, state });
  } else {
    const { startStep, elapsedMs, trainedMs, waitingShare } = result;
    const times = { startStep, elapsedMs, trainedMs, waitingShare };
    if (json) printJson({ run, step, state, reason, validationLoss, device, ...times });
    const { stages } = plan;
    const work = (from: number, ms: number): string => {
      const [before, after] = [from, step].map((at) => sumBefore(stages, at, ({ tokensPerStep }) => tokensPerStep));
      return `${grouped(step - from)} steps, ${grouped(after! - before!)} tokens in ${duration(ms)}`;
    };
    if (startStep) say(`this process: ${work(startStep, elapsedMs)}; the run: ${work(0, trainedMs)}`);
    if (state === 'stopped') {
      const why = reason?.startsWith('--') ? ` (${reason})` : '';
      const by = processes > 1 ? ` --processes ${processes}` : '';
      say(`stopped after step ${step}${why}. To continue: clm train --run ${shellPath(shownDirectory)} --resume${by}`);
    } else {
      say(
        `done: ${step} steps in ${duration(trainedMs)}` +
          (validationLoss === undefined ? '' : `, validation loss ${validationLoss.toFixed(4)}`) +
          (reason === null ? '' : ` (${reason})`) +
          `; waited for data ${(100 * waitingShare).toFixed(2)} % of the time`,
      );
      say(`to sample: clm sample ${shellPath(shownDirectory)}`);
    }
  }
  if (!json) printFinal({ state, step, validationLoss, run: shownDirectory });
}
