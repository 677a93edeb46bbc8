/** `clm sweep SWEEP.yaml`: trains many runs from one base config; checks all plans first, and can be resumed. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import path from 'node:path';
import { makeFolder } from '../../../storage/durable.ts';
import { runSweep, type SweepEvent } from '../../../experiments/sweep/runSweep.ts';
import { readSweep } from '../../../experiments/sweep/sweepFile.ts';
import { measuredFlops, planSweep, type PlannedRun } from '../../../experiments/sweep/planSweep.ts';
import { expandSweep } from '../../../experiments/sweep/expandSweep.ts';
import { assertWhole } from '../../options.ts';
import { duration, grouped, note, printJson, printResult, printWarning } from '../../terminal/output.ts';
import { stopSignals } from '../../stopSignals.ts';
import { lossText, renderTable } from '../../terminal/table.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { sweepUsage } from './usage.ts';

export async function sweep(args: ArgumentsOf<typeof sweepUsage>): Promise<void> {
  assertWhole('jobs', args.jobs, 1);
  const sweep = readSweep(args.sweep);
  const output = path.resolve(args.output ?? path.join('runs', sweep.name));
  const planned = await planSweep(expandSweep(sweep), { config: sweep.config, output, retry: args.retry });
  const say = args.quiet ? () => {} : note;
  const expectedMs = await expectedTime(planned, sweep.config, args.dryRun ? note : say);
  if (args.dryRun) return printPlan(planned, expectedMs, args.json);
  const left = planned.filter(({ flopsLeft }) => flopsLeft > 0).length;
  const shownOutput = path.relative(process.cwd(), output) || '.';
  const expected = expectedMs === null ? '' : `; about ${duration(expectedMs)} of training`;
  say(`${sweep.name}: ${planned.length} runs, ${left} of them to train, into ${shownOutput}${expected}`);
  await makeFolder(output);

  let ended = 0;
  let firstFailure = 0;
  const signals = stopSignals((name) =>
    say(`${name}: the current runs finish their step and save; a second one stops immediately`),
  );
  try {
    await runSweep(planned, {
      ...{ config: sweep.config, output, jobs: args.jobs, retry: args.retry, signal: signals.signal },
      program: [process.execPath, process.argv[1]!],
      report: (fact) => {
        if (fact.kind !== 'started') ended++;
        if (fact.kind === 'failed' && firstFailure === 0) firstFailure = fact.exitCode;
        if (args.json) printJson(fact);
        else if (fact.kind === 'failed') printWarning(`${fact.run} failed: ${fact.reason}`);
        else if (fact.kind !== 'started') say(`[${ended}/${planned.length}] ${factText(fact)}`);
      },
    });
  } finally {
    signals.close();
  }
  if (signals.exitCode() !== 0) {
    say(`stopped. To continue: clm sweep ${args.sweep}`);
    process.exitCode = signals.exitCode();
    return;
  }
  if (firstFailure !== 0) process.exitCode = firstFailure;
  say(`to compare: clm compare ${shownOutput}`);
}

function factText(fact: Exclude<SweepEvent, { kind: 'started' | 'failed' }>): string {
  if (fact.kind === 'stopped') return `${fact.run}: stopped`;
  const { state, reason, validationLoss } = fact.summary;
  if (fact.kind === 'skipped')
    return `${fact.run}: already ${state}${reason === null ? '' : ` (${reason}); --retry repeats it`}`;
  return `${fact.run}: done in ${duration(fact.elapsedMs)}, validation loss ${lossText(validationLoss)}`;
}

function printPlan(planned: readonly PlannedRun[], expectedMs: number | null, json: boolean): void {
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
  const expected = expectedMs === null ? '' : `, about ${duration(expectedMs)} of training on this machine`;
  printResult(`\n${planned.length} ${planned.length === 1 ? 'run' : 'runs'}${expected}`);
}

/**
 * From the remaining FLOPs and the speed of the sweep's finished runs or, if there are none, of `clm bench` on the
 * first config. Does not include evaluations, samples and checkpoints. Null if the benchmark fails, as the runs will.
 */
async function expectedTime(
  planned: readonly PlannedRun[],
  config: string,
  say: (text: string) => unknown,
): Promise<number | null> {
  const flops = planned.reduce((sum, { flopsLeft }) => sum + flopsLeft, 0);
  const first = planned.find(({ flopsLeft }) => flopsLeft > 0);
  if (first === undefined) return 0;
  const measured = measuredFlops(planned);
  if (measured !== null) return (1000 * flops) / measured;
  say('measuring the training speed of the first config');
  const sets = first.set.flatMap((assignment) => ['--set', assignment]);
  const args = [process.argv[1]!, 'bench', config, '--steps', '10', '--json', ...sets];
  try {
    const { stdout } = await promisify(execFile)(process.execPath, args);
    const { gflops } = JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as { gflops: number };
    return flops / (gflops * 1e6);
  } catch {
    return null;
  }
}
