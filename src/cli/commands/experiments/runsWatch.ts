/**
 * `clm runs watch [RUN…]`: a chart of losses that is updated while the runs train, until none of them does and no sweep
 * has any left. On a terminal it takes the whole screen, as `top` does, so that resizing leaves nothing behind; in a
 * pipe it prints lines.
 */
import { wrongInput } from '../../../errors.ts';
import { followRuns, runningIn, type FollowedRun } from '../../../experiments/followRuns.ts';
import { finite, type RunSummary } from '../../../experiments/runSummary.ts';
import { terminalChart } from '../../../experiments/terminalChart.ts';
import type { MetricsRecord } from '../../../run/metrics.ts';
import { canRedraw } from '../../terminal/abilities.ts';
import { duration, escapeControls, grouped, paint, paints, printJson, printResult } from '../../terminal/output.ts';
import { openScreen } from '../../terminal/screen.ts';
import { lossText, stdoutWidth } from '../../terminal/table.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { runsWatchUsage } from './usage.ts';

/** Columns below which a chart says nothing. */
const narrowest = 20;
const lineIntervalMs = 10_000;
const painted = (text: string, series: number): string => paint(paints[series % paints.length]!, text);

export async function watch({ runs, interval, json }: ArgumentsOf<typeof runsWatchUsage>): Promise<void> {
  const isScreen = canRedraw(process.stdout) && process.stdout.columns >= narrowest && !json;
  if (!(interval > 0)) throw wrongInput('--interval must be a number of seconds greater than 0');
  const followed = followRuns(runs.length > 0 ? runs : runningIn('runs'));
  let watched: FollowedRun[] = [];
  let stopped = false;
  let wake = (): void => {};
  const stop = (): void => {
    stopped = true;
    wake();
  };
  const sleep = (): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.max(0.1, interval) * 1000);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  const sayLines = linePrinter(json);
  const draw = (): void => screen?.show(screenOf(watched, followed.waiting()));
  const screen = isScreen ? openScreen(draw, stop) : undefined;
  if (!isScreen) process.once('SIGINT', stop).once('SIGTERM', stop);
  try {
    for (;;) {
      const looks = followed.look();
      watched = looks.map(({ run }) => run);
      if (screen === undefined) for (const { run, records } of looks) sayLines(run, records);
      draw();
      if (stopped || process.stdout.errored || followed.areOver()) break;
      await sleep();
    }
  } finally {
    screen?.close();
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
  for (const run of watched) {
    if (json) printJson({ run: run.path, kind: 'run', ...run.summary, trainedMs: run.trainedMs });
    else for (const line of linesOf(run, stdoutWidth())) printResult(line);
  }
}

/** A screen of the terminal's current size: some lines per run, and the chart in the remaining lines. */
function screenOf(runs: readonly FollowedRun[], waiting: number): string[] {
  const width = Math.max(narrowest, process.stdout.columns);
  const height = Math.max(6, process.stdout.rows);
  const isTraining = ({ summary }: FollowedRun): number => Number(summary.state === 'running');
  const ordered = runs.map((run, i) => ({ run, i })).sort((a, b) => isTraining(b.run) - isTraining(a.run) || a.i - b.i);
  const lines: string[] = [];
  let shown = 0;
  for (const { run, i } of ordered) {
    const own = linesOf({ ...run, name: escapeControls(run.name) }, width).map((line) => cut(line, width));
    if (shown > 0 && lines.length + own.length > (height >> 1) - 1) break;
    lines.push(...own.map((line) => painted(line, i)));
    shown++;
  }
  const others = [
    ...(shown < runs.length ? [`${runs.length - shown} more`] : []),
    ...(waiting > 0 ? [`${waiting} of the sweep still to come`] : []),
  ];
  if (others.length > 0) lines.push(cut(`… and ${others.join(', ')}`, width));
  const title = runs.length === 1 ? 'training loss (smoothed), and validation loss' : 'training loss (smoothed)';
  const series =
    runs.length === 1
      ? [{ points: runs[0]!.training }, { points: runs[0]!.validation }]
      : runs.map(({ training }) => ({ points: training }));
  const chart = terminalChart(series, { width, height: height - lines.length - 2, paint: painted });
  return [...lines, cut(title, width), ...chart];
}

/** What is known of a run; on several lines if they would be wider than `width`, each fact whole. */
function linesOf(run: FollowedRun, width: number): string[] {
  const { name, summary, training, resumedAt } = run;
  const { state, reason, step, steps, loss, validationLoss, tokensPerSecond } = summary;
  const smoothed = training.at(-1)?.[1] ?? null;
  const facts = [
    `${name}: ${state}${reason === null ? '' : ` (${reason})`}`,
    `step ${grouped(step)}${steps === null ? '' : `/${grouped(steps)}`}`,
    `validation loss ${lossText(validationLoss)}`,
    `training loss ${lossText(smoothed)} smoothed, ${lossText(loss)} at the last step`,
    ...(tokensPerSecond === null ? [] : [`${grouped(tokensPerSecond)} tokens/s`]),
    ...timeLeft(summary),
    ...(resumedAt > 0
      ? [`trained ${duration(run.trainedMs)}, ${duration(run.elapsedMs)} since step ${resumedAt}`]
      : []),
  ];
  return packed(facts, width);
}

/** Facts side by side on as few lines as they fit on; further lines are indented. */
function packed(facts: readonly string[], width: number): string[] {
  const lines: string[] = [];
  for (const fact of facts) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 2 + fact.length <= width) lines.push(`${lines.pop()!}  ${fact}`);
    else lines.push(last === undefined ? fact : `  ${fact}`);
  }
  return lines;
}

function timeLeft({ state, step, steps, tokensPerSecond, tokensPerStep }: RunSummary): string[] {
  if (state !== 'running' || steps === null || tokensPerStep === null || !tokensPerSecond) return [];
  return [`${duration((1000 * (steps - step) * tokensPerStep) / tokensPerSecond)} left`];
}

const cut = (text: string, width: number): string => (text.length > width ? `${text.slice(0, width - 1)}…` : text);

/** Lines for a pipe: every evaluation, and every 10 s the state of a run. */
function linePrinter(json: boolean): (run: FollowedRun, records: readonly MetricsRecord[]) => void {
  const saidMs = new Map<string, number>();
  return (run, records) => {
    if (json) return records.forEach((record) => printJson({ run: run.path, ...record }));
    for (const record of records) {
      const loss = record.kind === 'evaluation' ? finite(record.loss) : null;
      if (loss === null) continue;
      const facts = [`${run.name}: step ${record.step}`, `validation loss ${loss.toFixed(4)}`];
      for (const line of packed(facts, stdoutWidth())) printResult(line);
    }
    const last = saidMs.get(run.path) ?? -Infinity;
    if (run.summary.state !== 'running' || performance.now() - last < lineIntervalMs) return;
    saidMs.set(run.path, performance.now());
    for (const line of linesOf(run, stdoutWidth())) printResult(line);
  };
}
