/**
 * `clm runs watch RUN…`: a chart of losses that is updated while the runs train. On a terminal it takes the whole
 * screen, as `top` does, so that resizing leaves nothing behind; in a pipe it prints lines.
 */
import { basename, resolve } from 'node:path';
import { runPaths } from '../../../run/runPaths.ts';
import { wrongInput } from '../../../errors.ts';
import { resolveRuns } from '../../../experiments/findRuns.ts';
import type { MetricsRecord } from '../../../run/metrics.ts';
import { followMetrics } from '../../../run/readMetrics.ts';
import { finite, summarizeRun, type RunSummary } from '../../../experiments/runSummary.ts';
import { terminalChart } from '../../../experiments/terminalChart.ts';
import { canRedraw } from '../../terminal/abilities.ts';
import { duration, escapeControls, grouped, paint, paints, printJson, printResult } from '../../terminal/output.ts';
import { openScreen } from '../../terminal/screen.ts';
import { lossText } from '../../terminal/table.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { runsWatchUsage } from './usage.ts';

interface Watched {
  name: string;
  path: string;
  /** Smoothed training losses and validation losses by step. */
  training: [number, number][];
  validation: [number, number][];
  summary: RunSummary;
}

/** Columns below which a chart says nothing. */
const narrowest = 20;
const lineIntervalMs = 10_000;
const painted = (text: string, series: number): string => paint(paints[series % paints.length]!, text);

export async function watch({ runs, interval, json }: ArgumentsOf<typeof runsWatchUsage>): Promise<void> {
  const isScreen = canRedraw(process.stdout) && process.stdout.columns >= narrowest && !json;
  if (!(interval > 0)) throw wrongInput('--interval must be a number of seconds greater than 0');
  const watched = resolveRuns(runs).map(openRun);
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
  const draw = (): void => screen?.show(screenOf(watched.map(({ run }) => run)));
  const screen = isScreen ? openScreen(draw, stop) : undefined;
  if (!isScreen) process.once('SIGINT', stop).once('SIGTERM', stop);
  try {
    for (;;) {
      for (const { run, look } of watched) {
        const records = look();
        if (screen === undefined) sayLines(run, records);
      }
      draw();
      if (stopped || process.stdout.errored || watched.every(({ run }) => run.summary.state !== 'running')) break;
      await sleep();
    }
  } finally {
    screen?.close();
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
  if (json) return;
  for (const { run } of watched) printResult(lineOf(run));
}

function openRun(path: string): { run: Watched; look: () => MetricsRecord[] } {
  const metrics = followMetrics(runPaths(path).metrics);
  const run: Watched = {
    name: basename(resolve(path)),
    path,
    training: [],
    validation: [],
    summary: summarizeRun(path),
  };
  let smoothed: number | undefined;
  const look = (): MetricsRecord[] => {
    const { records, restarted } = metrics.read();
    if (restarted) {
      run.training = [];
      run.validation = [];
      smoothed = undefined;
    }
    for (const record of records) {
      const loss = record.kind === 'checkpoint' ? null : finite(record.loss);
      if (loss === null) continue;
      if (record.kind === 'evaluation') run.validation.push([record.step, loss]);
      if (record.kind !== 'step') continue;
      smoothed = smoothed === undefined ? loss : 0.9 * smoothed + 0.1 * loss;
      run.training.push([record.step, smoothed]);
    }
    run.summary = summarizeRun(path);
    return records;
  };
  return { run, look };
}

/** A screen of the terminal's current size: one line per run, and the chart in the remaining lines. */
function screenOf(runs: readonly Watched[]): string[] {
  const width = Math.max(narrowest, process.stdout.columns);
  const height = Math.max(6, process.stdout.rows);
  const shown = runs.slice(0, Math.max(1, Math.min(runs.length, (height >> 1) - 1)));
  const lines = shown.map((run, i) => painted(cut(escapeControls(lineOf(run)), width), i));
  if (shown.length < runs.length) lines.push(cut(`… and ${runs.length - shown.length} more`, width));
  const title = runs.length === 1 ? 'training loss (smoothed), and validation loss' : 'training loss (smoothed)';
  const series =
    runs.length === 1
      ? [{ points: runs[0]!.training }, { points: runs[0]!.validation }]
      : runs.map(({ training }) => ({ points: training }));
  const chart = terminalChart(series, { width, height: height - lines.length - 2, paint: painted });
  return [...lines, cut(title, width), ...chart];
}

function lineOf({ name, summary }: Watched): string {
  const { state, reason, step, steps, loss, validationLoss, tokensPerSecond } = summary;
  const parts = [
    `${name}: ${state}${reason === null ? '' : ` (${reason})`}`,
    `step ${grouped(step)}${steps === null ? '' : `/${grouped(steps)}`}`,
    `loss ${lossText(loss)}`,
    `validation ${lossText(validationLoss)}`,
    ...(tokensPerSecond === null ? [] : [`${grouped(tokensPerSecond)} tokens/s`]),
    ...timeLeft(summary),
  ];
  return parts.join('  ');
}

function timeLeft({ state, step, steps, tokensPerSecond, tokensPerStep }: RunSummary): string[] {
  if (state !== 'running' || steps === null || tokensPerStep === null || !tokensPerSecond) return [];
  return [`${duration((1000 * (steps - step) * tokensPerStep) / tokensPerSecond)} left`];
}

const cut = (text: string, width: number): string => (text.length > width ? `${text.slice(0, width - 1)}…` : text);

/** Lines for a pipe: every evaluation, and every 10 s the state of a run. */
function linePrinter(json: boolean): (run: Watched, records: readonly MetricsRecord[]) => void {
  const saidMs = new Map<string, number>();
  return (run, records) => {
    if (json) return records.forEach((record) => printJson({ run: run.path, ...record }));
    for (const record of records) {
      const loss = record.kind === 'evaluation' ? finite(record.loss) : null;
      if (loss !== null) printResult(`${run.name}: step ${record.step}  validation loss ${loss.toFixed(4)}`);
    }
    const last = saidMs.get(run.path) ?? -Infinity;
    if (run.summary.state !== 'running' || performance.now() - last < lineIntervalMs) return;
    saidMs.set(run.path, performance.now());
    printResult(lineOf(run));
  };
}
