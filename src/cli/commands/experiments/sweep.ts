/** `clm sweep SWEEP.yaml`: trains many runs from one base config; checks all plans first, and can be resumed. */
import path from 'node:path';
import { parseDuration } from '../../../duration.ts';
import { refuseOtherName } from '../../../config/runNames.ts';
import { shellPath } from '../../../shellWord.ts';
import { makeFolder } from '../../../storage/durable.ts';
import { runSweep, type SweepEvent } from '../../../experiments/sweep/runSweep.ts';
import { readSweep, type Sweep } from '../../../experiments/sweep/sweepFile.ts';
import { planSweep, type PlannedRun } from '../../../experiments/sweep/planSweep.ts';
import { expandSweep } from '../../../experiments/sweep/expandSweep.ts';
import { listed } from '../../../experiments/comparison/texts.ts';
import { logTargets, openModules } from '../../logTargets.ts';
import { assertWhole } from '../../options.ts';
import { savingTakesMs, startTimeLimit, type TimeLimit } from '../../../training/timeLimit.ts';
import { timeText } from '../../../units.ts';
import { grouped, note, printFinal, printJson, printResult, printWarning } from '../../terminal/output.ts';
import { stopSignals, type StopSignals } from '../../stopSignals.ts';
import { outliveStdout } from '../../terminal/streams.ts';
import { reportIgnored, reportLeftOut } from '../../terminal/supplyText.ts';
import { lossText, renderTable } from '../../terminal/table.ts';
import { checkHalving, halvingEventText, halvingText } from '../../../experiments/sweep/halvingTexts.ts';
import type { ArgumentsOf } from '../../usage.ts';
import { openSweepProgress } from './sweepProgress.ts';
import { expectedSweep, type ExpectedSweep } from './sweepSpeed.ts';
import type { sweepUsage } from './usage.ts';

export async function sweep(args: ArgumentsOf<typeof sweepUsage>): Promise<void> {
  assertWhole('jobs', args.jobs, 1);
  const maxTimeMs = args.maxTime === undefined ? undefined : parseDuration(args.maxTime);
  let isTraining = false;
  let limit: TimeLimit | undefined;
  const signals = stopSignals({
    doing: () => (isTraining ? 'the current runs finish their step and save' : undefined),
    again: 'does not wait for that',
    isQuiet: args.quiet,
    ignoreHangup: args.ignoreHangup,
  });
  try {
    const prepared = await signals.unlessStopped(prepareSweep(args, signals.signal));
    if (prepared === 'stopped') {
      if (!args.quiet) note(`${String(signals.signal.reason)}: stopped before the first run`);
      process.exitCode = signals.exitCode();
      return;
    }
    if (args.dryRun) return printPlan(prepared, args.json);
    isTraining = true;
    const stopInTime = (): void => signals.stop(`--max-time ${args.maxTime}`);
    if (maxTimeMs !== undefined) limit = startTimeLimit(maxTimeMs, 0, stopInTime);
    limit?.savingTakes(Math.max(...prepared.planned.map(({ plan }) => savingTakesMs(plan.parameters))));
    await trainPlanned(prepared, args, signals);
  } finally {
    limit?.close();
    signals.close();
  }
}

interface PreparedSweep {
  sweep: Sweep;
  output: string;
  planned: PlannedRun[];
  /** Null if the speed of this machine could not be measured. */
  expected: ExpectedSweep | null;
}

async function prepareSweep(args: ArgumentsOf<typeof sweepUsage>, signal: AbortSignal): Promise<PreparedSweep> {
  const sweep = readSweep(args.sweep);
  await (await openModules(logTargets(args.log).modules)).close(); // are they usable?
  if (args.output === undefined && sweep.isNamedByFile)
    refuseOtherName(path.basename(args.sweep, path.extname(args.sweep)), args.sweep, ', or --output DIR');
  const output = path.resolve(args.output ?? path.join('runs', sweep.name));
  const runs = expandSweep(sweep);
  const planned = await planSweep(runs, {
    ...{ config: sweep.config, output, retry: args.retry },
    opened: ({ corpus, manifest, tokenizer }) => {
      reportIgnored(tokenizer, args.quiet);
      reportLeftOut(manifest.leftOut, corpus, args.quiet);
    },
  });
  for (const warning of new Set(planned.flatMap(({ warnings }) => warnings))) {
    const names = planned.filter(({ warnings }) => warnings.includes(warning)).map(({ name }) => name);
    printWarning(`${listed(names)}: ${warning}`);
  }
  const say = args.quiet && !args.dryRun ? () => {} : note;
  const { halving } = sweep;
  const halvingWarning = halving === null ? undefined : checkHalving(halving, planned);
  if (halvingWarning !== undefined) printWarning(halvingWarning);
  return { sweep, output, planned, expected: await expectedSweep(planned, { jobs: args.jobs, halving, say, signal }) };
}

async function trainPlanned(
  { sweep, output, planned, expected }: PreparedSweep,
  args: ArgumentsOf<typeof sweepUsage>,
  signals: StopSignals,
): Promise<void> {
  const say = args.quiet ? () => {} : note;
  const left = planned.filter(({ work }) => work.steps > 0).length;
  const shownOutput = path.relative(process.cwd(), output) || '.';
  const time = expected === null ? '' : `; about ${timeText(expected.wholeMs)}`;
  const runs = `${planned.length} ${planned.length === 1 ? 'run' : 'runs'}`;
  say(`${sweep.name}: ${runs}, ${left} of them to train, into ${shownOutput}${time}`);
  if (sweep.halving !== null) say(`halving: ${halvingText(sweep.halving, planned)}`);
  await makeFolder(output);

  const ends: SweepEvent[] = [];
  let [firstFailure, dropped] = [0, 0];
  outliveStdout(({ message }) =>
    printWarning(`${message}\nThe sweep goes on; its events are in ${path.join(output, 'sweep.jsonl')}`),
  );
  const progress = openSweepProgress(planned, { output, expected, isQuiet: args.quiet });
  await runSweep(planned, {
    ...{
      config: sweep.config,
      output,
      halving: sweep.halving,
      jobs: args.jobs,
      processes: args.processes,
      retry: args.retry,
      signal: signals.signal,
      logs: args.log ?? [],
    },
    program: [process.execPath, process.argv[1]!],
    report: (fact) => {
      progress.report(fact);
      if (fact.kind === 'halving') dropped += fact.dropped.length;
      else if (fact.kind !== 'started' && fact.kind !== 'warning' && fact.kind !== 'paused') ends.push(fact);
      if (fact.kind === 'failed' && firstFailure === 0) firstFailure = fact.exitCode;
      if (args.json) printJson(fact);
      else if (fact.kind === 'failed') printWarning(`${fact.run} failed: ${fact.reason}`);
      else if (fact.kind === 'warning') printWarning(`${fact.run}: ${fact.message}`);
      else if (fact.kind === 'halving') say(halvingEventText(fact, planned));
      else if (fact.kind !== 'started') say(`[${ends.length + dropped}/${planned.length}] ${factText(fact)}`);
    },
  }).finally(() => progress.close());
  const outcome = { ...outcomeOf(sweep.name, planned.length, ends), ...(sweep.halving && { dropped }) };
  if (args.json) printJson({ kind: 'sweep', ...outcome });
  else printFinal(outcome);
  if (signals.signal.aborted) {
    say(`stopped. To continue: clm sweep ${shellPath(args.sweep)}`);
    process.exitCode = signals.exitCode();
    return;
  }
  if (firstFailure !== 0) process.exitCode = firstFailure;
  say(`to compare: clm compare ${shellPath(shownOutput)}`);
}

/** What a sweep has come to: how many of its runs are in which state, and the one with the lowest validation loss. */
function outcomeOf(name: string, runs: number, ends: readonly SweepEvent[]) {
  const summaries = ends.flatMap((fact) => (fact.kind === 'done' || fact.kind === 'skipped' ? [fact] : []));
  const isDone = ({ summary }: (typeof summaries)[number]): boolean => summary.state === 'done';
  const lossOf = (fact: (typeof summaries)[number]): number => fact.summary.validationLoss ?? Infinity;
  const [best] = summaries.filter(isDone).sort((a, b) => lossOf(a) - lossOf(b));
  const failed = ends.filter(({ kind }) => kind === 'failed').length;
  return {
    ...{ name, runs, done: summaries.filter(isDone).length },
    failed: failed + summaries.filter(({ summary }) => summary.state === 'failed').length,
    best: best?.run ?? null,
    validationLoss: best?.summary.validationLoss ?? null,
  };
}

function factText(fact: Exclude<SweepEvent, { kind: 'started' | 'failed' | 'warning' | 'halving' }>): string {
  if (fact.kind === 'stopped') return `${fact.run}: stopped`;
  const { state, reason, validationLoss } = fact.summary;
  if (fact.kind === 'skipped')
    return `${fact.run}: already ${state}${reason === null ? '' : ` (${reason}); --retry repeats it`}`;
  const { step } = fact.summary;
  if (fact.kind === 'paused') return `${fact.run}: step ${grouped(step)}, validation loss ${lossText(validationLoss)}`;
  return `${fact.run}: done in ${timeText(fact.elapsedMs)}, validation loss ${lossText(validationLoss)}`;
}

function printPlan({ sweep, planned, expected }: PreparedSweep, json: boolean): void {
  const expectedMs = expected?.wholeMs ?? null;
  if (json) {
    for (const { name, set, plan, summary } of planned)
      printJson({ run: name, set, ...plan, state: summary.step === 0 ? 'new' : summary.state });
    return void printJson({ runs: planned.length, expectedMs });
  }
  const rows = renderTable(planned, [
    { title: 'run', text: ({ name }) => name },
    { title: 'parameters', align: 'right', text: ({ plan }) => grouped(plan.parameters) },
    { title: 'steps', align: 'right', text: ({ plan }) => grouped(plan.steps) },
    { title: 'tokens', align: 'right', text: ({ plan }) => grouped(plan.tokens) },
    {
      title: 'so far',
      text: ({ summary }) =>
        summary.step === 0 && summary.state !== 'failed' ? 'new' : `${summary.state} at step ${grouped(summary.step)}`,
    },
  ]);
  rows.forEach((line) => printResult(line));
  const time = expectedMs === null ? '' : `, about ${timeText(expectedMs)} on this machine`;
  printResult(`\n${planned.length} ${planned.length === 1 ? 'run' : 'runs'}${time}`);
  if (sweep.halving !== null) printResult(`halving: ${halvingText(sweep.halving, planned)}`);
}
