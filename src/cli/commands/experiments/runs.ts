/** `clm runs`: a table of runs. */
import { relative } from 'node:path';
import { findRuns } from '../../../experiments/findRuns.ts';
import { summarizeRun, type RunSummary } from '../../../experiments/runSummary.ts';
import { ageText, grouped, note, printJson, printResult } from '../../terminal/output.ts';
import { lossText, renderTable, type Column } from '../../terminal/table.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { runsUsage } from './usage.ts';

const lastIfNull = (value: number | null): number => value ?? Infinity;

/** The most interesting run comes first: latest, lowest loss or fastest. */
const orders = {
  age: (a, b) => a.ageMs - b.ageMs,
  name: (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  state: (a, b) => a.state.localeCompare(b.state),
  step: (a, b) => b.step - a.step,
  loss: (a, b) => lastIfNull(a.bestValidationLoss) - lastIfNull(b.bestValidationLoss),
  speed: (a, b) => (b.tokensPerSecond ?? 0) - (a.tokensPerSecond ?? 0),
} satisfies Record<string, (a: RunSummary, b: RunSummary) => number>;

const columns: Column<RunSummary>[] = [
  { title: 'name', text: ({ name }) => name },
  { title: 'state', text: ({ state }) => state },
  {
    title: 'step',
    align: 'right',
    text: ({ step, steps }) => (steps === null ? grouped(step) : `${grouped(step)}/${grouped(steps)}`),
  },
  { title: 'best val loss', align: 'right', text: ({ bestValidationLoss }) => lossText(bestValidationLoss) },
  {
    title: 'tokens/s',
    align: 'right',
    text: ({ tokensPerSecond }) => (tokensPerSecond === null ? '–' : grouped(tokensPerSecond)),
  },
  { title: 'age', align: 'right', text: ({ ageMs }) => ageText(ageMs) },
  { title: 'device', isOptional: true, text: ({ device }) => device ?? '–' },
  { title: '', isOptional: true, text: ({ reason }) => brief(reason ?? '') },
];

/** `clm runs show` prints the whole reason. */
const brief = (reason: string): string => (reason.length > 60 ? `${reason.slice(0, 59)}…` : reason);

export function list({ dir, sort, reverse, state, name, json }: ArgumentsOf<typeof runsUsage>): void {
  const nowMs = Date.now();
  const runs = findRuns(dir)
    .filter((path) => name === undefined || shortened(path, dir).includes(name))
    .map((path) => summarizeRun(path, nowMs))
    .filter((run) => state === undefined || state.includes(run.state))
    .sort(orders[sort]);
  if (reverse) runs.reverse();
  if (json) {
    for (const run of runs) printJson(run);
    return;
  }
  if (runs.length === 0)
    return void note(`no ${name === undefined && state === undefined ? 'runs' : 'matching runs'} in ${dir}`);
  // Named by the path below the folder, so that runs of a sweep carry its name.
  const named = runs.map((run) => ({ ...run, name: shortened(run.path, dir) }));
  renderTable(named, columns).forEach((line) => printResult(line));
}

function shortened(path: string, folder: string): string {
  return relative(folder, path) || path;
}
