/** `clm plan`: the size and cost of a run before it starts, whether it fits this machine, and how to make it fit. */
import { loadConfig } from '../../../config/load.ts';
import { refuseUnscoredValidation } from '../../../data/validationPart.ts';
import { planWarnings, repetitionWarning } from '../../../training/plan/planWarnings.ts';
import { preparePlan, type PreparedPlan } from '../../../training/plan/preparePlan.ts';
import { processesPlan } from '../../../training/plan/processesPlan.ts';
import { bytesText } from '../../../units.ts';
import { wrongInput } from '../../../errors.ts';
import { assertWhole } from '../../options.ts';
import { showWaiting } from '../../terminal/liveLine.ts';
import { note, printJson, printResult, printWarning } from '../../terminal/output.ts';
import { leftOutLines, reportIgnored, suspicionText } from '../../terminal/supplyText.ts';
import { hanging } from '../../terminal/table.ts';
import type { ArgumentsOf } from '../../usage.ts';
import { parseDuration } from '../../../duration.ts';
import { planLines, processesLine, timeLine } from './planText.ts';
import { expectedTime, timeJson } from './planTime.ts';
import type { planUsage } from './usage.ts';

/**
 * The exit code for a run that does not fit the memory of this machine. It is of `clm plan` alone: the plan is made and
 * printed, so that this is an answer and not a failure, but a script must be able to tell it from a run that fits (0)
 * and from a config that is wrong (2). Commands that cannot go on refuse such a config as wrong input (2).
 */
const doesNotFitExitCode = 5;

/** Where the texts after the labels of the plan begin. */
const labelWidth = 13;

export async function plan(args: ArgumentsOf<typeof planUsage>): Promise<void> {
  const set = [...args.set, ...(args.device ? [`device=${args.device}`] : [])];
  if (args.processes !== undefined) assertWhole('processes', args.processes, 1);
  if (!(args.networkGigabits > 0)) throw wrongInput('--network-gigabits must be a number above 0, e.g. 1');
  const maxMs = args.measure === undefined ? null : parseDuration(args.measure, '--measure');
  const beganMs = performance.now();
  const config = loadConfig(args.config, { set, onReplaced: args.quiet ? undefined : note });
  const prepared = await preparePlan(config).finally(args.quiet ? () => {} : showWaiting('reading the corpus'));
  const prepareMs = performance.now() - beganMs;
  const { plan, tokenizer, trainingTokens, validationTokens } = prepared;
  await refuseUnscoredValidation(prepared.corpus, tokenizer, validationTokens);
  reportIgnored(tokenizer, args.quiet);
  for (const warning of warningsOf(prepared)) printWarning(warning);
  const isTimed = plan.fits && (args.estimate || maxMs !== null);
  const time = isTimed ? await expectedTime(prepared, { prepareMs, maxMs, isQuiet: args.quiet }) : null;
  const { processes, networkGigabits } = args;
  const alone = time === null ? null : (time.low.stepsMs + time.high.stepsMs) / 2 / plan.steps;
  const shared =
    processes === undefined
      ? null
      : processesPlan(config, tokenizer.vocabularySize, { processes, networkGigabits, alone });
  if (!plan.fits) process.exitCode = doesNotFitExitCode;
  if (args.json) {
    printJson({
      ...plan,
      vocabularySize: tokenizer.vocabularySize,
      trainingTokens,
      validationTokens,
      ...(time && timeJson(time, prepared)),
      ...(shared && { processes: shared }),
    });
    return;
  }
  for (const line of planLines(prepared).flatMap((text) => hanging(text, labelWidth))) printResult(line);
  for (const line of leftOutLines(prepared.leftOut, prepared.corpus)) printResult(line);
  if (time !== null) for (const line of hanging(timeLine(time, prepared), labelWidth)) printResult(line);
  if (shared !== null) for (const line of hanging(processesLine(shared), labelWidth)) printResult(line);
  if (!plan.fits && maxMs !== null) note('nothing was measured, because the run does not fit');
}

function warningsOf({ config, plan, leftOut }: PreparedPlan): string[] {
  const { bytes, machineBytes, freeBytes, fits } = plan;
  const isTight = fits && bytes.total > freeBytes;
  return [
    ...planWarnings(config, plan.steps),
    repetitionWarning(config, plan.epochs),
    suspicionText(leftOut),
    isTight
      ? `the run needs ${bytesText(bytes.total)} of memory; of the ${bytesText(machineBytes)} that there are, other ` +
        `programs leave ${bytesText(freeBytes)} free now`
      : undefined,
  ].filter((warning) => warning !== undefined);
}
