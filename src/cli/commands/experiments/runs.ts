/** `clm runs`: a table of runs; one run in full; a live chart of running ones. */
import { relative } from 'node:path';
import type { CommandModule } from 'yargs';
import { wrongInput } from '../../../errors.ts';
import { findRuns } from '../../../experiments/findRuns.ts';
import { summarizeRun, type RunSummary } from '../../../experiments/runSummary.ts';
import { ageText, grouped, note, printJson, printResult } from '../../terminal/output.ts';
import { jsonOption } from '../../options.ts';
import { showCommand } from './runsShow.ts';
import { watchCommand } from './runsWatch.ts';
import { lossText, renderTable, stdoutWidth, type Column } from '../../terminal/table.ts';

interface ListArguments {
  dir: string;
  sort: keyof typeof orders;
  reverse: boolean;
  state?: RunSummary['state'][];
  name?: string;
  json: boolean;
}

const lastIfNull = (value: number | null): number => value ?? Infinity;

/** What comes first is what is looked for: the lowest loss, the fastest, the latest. */
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
  { title: 'device', text: ({ device }) => device ?? '–' },
  { title: '', text: ({ reason }) => brief(reason ?? '') },
];

/** The reason in full is for `clm runs show`. */
const brief = (reason: string): string => (reason.length > 60 ? `${reason.slice(0, 59)}…` : reason);

const listCommand: CommandModule<object, ListArguments> = {
  command: '$0 [dir]',
  describe: 'List runs with state, step, best validation loss and speed',
  builder: (parser) =>
    parser
      .positional('dir', { type: 'string', default: 'runs', describe: 'Folder whose runs are listed, sweeps included' })
      .option('sort', {
        choices: Object.keys(orders),
        default: 'age',
        describe: 'Lowest loss, highest speed, latest first',
      })
      .option('reverse', { type: 'boolean', default: false, describe: 'The other way round' })
      .option('state', {
        array: true,
        choices: ['running', 'done', 'stopped', 'failed'],
        describe: 'Only runs in these states',
      })
      .option('name', { type: 'string', describe: 'Only runs whose name contains this text' })
      .options(jsonOption)
      .example('clm runs', 'Runs of this folder, the latest first')
      .example('clm runs runs/rates --sort loss --state done', 'Finished runs of a sweep, the best first') as never,
  handler: ({ dir, sort, reverse, state, name, json }) => {
    const nowMs = Date.now();
    const runs = findRuns(dir)
      .filter((path) => name === undefined || shortened(path, dir).includes(name))
      .map((path) => summarizeRun(path, nowMs))
      .filter((run) => state === undefined || state.includes(run.state))
      .sort(orders[sort]);
    if (reverse) runs.reverse();
    if (json) return runs.forEach((run) => printJson(run));
    if (runs.length === 0)
      return void note(`no ${name === undefined && state === undefined ? 'runs' : 'such runs'} below ${dir}`);
    // Runs of a sweep carry its name.
    const named = runs.map((run) => ({ ...run, name: shortened(run.path, dir) }));
    renderTable(named, columns, stdoutWidth()).forEach((line) => printResult(line));
  },
};

function shortened(path: string, folder: string): string {
  return relative(folder, path) || path;
}

export const runsCommand: CommandModule = {
  command: 'runs',
  describe: 'List runs, show one, or watch running ones',
  builder: (parser) =>
    parser
      .command(listCommand as CommandModule<object, never>)
      .command(showCommand as CommandModule<object, never>)
      .command(watchCommand as CommandModule<object, never>),
  handler: () => {
    throw wrongInput('clm runs [DIR], clm runs show RUN or clm runs watch RUN');
  },
};
