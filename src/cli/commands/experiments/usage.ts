/** Interfaces of the commands for runs and experiments. */
import { ignoreHangupOption, jsonOption, logOption, quietOption, runsArgument } from '../../options.ts';
import { defineUsage } from '../../usage.ts';

export const runsUsage = defineUsage({
  command: 'runs [dir]',
  describe: 'List runs with their state, step, best validation loss and speed',
  positionals: {
    dir: { type: 'string', default: 'runs', describe: 'Folder of run directories, searched with its subfolders' },
  },
  options: {
    sort: {
      choices: ['age', 'name', 'state', 'step', 'loss', 'speed'],
      default: 'age',
      describe: 'Sort by this column: latest, lowest loss or highest speed first',
    },
    reverse: { type: 'boolean', default: false, describe: 'Reverse the order' },
    state: {
      array: true,
      choices: ['running', 'done', 'stopped', 'failed'],
      describe: 'List only runs in these states',
    },
    name: { type: 'string', describe: 'List only runs whose name contains this text' },
    ...jsonOption,
  },
  examples: [
    ['clm runs', 'List the runs in runs/, latest first'],
    ['clm runs runs/rates --sort loss --state done', 'List the finished runs of a sweep, best first'],
  ],
});

export const runsShowUsage = defineUsage({
  command: 'runs show <run>',
  describe: 'Show one run: state, evaluations, checkpoints, environment, config',
  positionals: { run: { type: 'string', demandOption: true, describe: 'Run directory' } },
  options: {
    all: {
      type: 'boolean',
      default: false,
      describe: 'Show every config key, not only those that differ from defaults',
    },
    ...jsonOption,
  },
  examples: [
    ['clm runs show runs/moby-dick', 'Show what this run is and how it went'],
    ['clm runs show runs/moby-dick --all', 'With the complete config'],
  ],
});

export const runsWatchUsage = defineUsage({
  command: 'runs watch [runs..]',
  describe: 'Follow runs with a live chart until all have ended (plain lines in a pipe)',
  positionals: {
    runs: {
      type: 'string',
      array: true,
      default: [] as string[],
      describe: 'Run directories, or folders whose runs are followed as they come (default: what trains below runs/)',
    },
  },
  options: {
    interval: { type: 'number', default: 1, describe: 'Seconds between two updates' },
    ...jsonOption,
  },
  examples: [
    ['clm runs watch', 'Watch what is training now'],
    ['clm runs watch runs/moby-dick', 'Watch one run'],
    ['clm runs watch runs/rates', 'Watch all runs of a sweep, also those that begin later, until it ends'],
  ],
});

export const compareUsage = defineUsage({
  command: 'compare <runs..>',
  describe: 'Compare runs: differing config keys, losses, spread between seeds',
  positionals: runsArgument,
  options: {
    at: {
      choices: ['tokens', 'flops', 'time', 'steps'],
      describe: 'Also compare the losses at an equal amount of this (default: tokens); with --to-loss, rank by it',
    },
    'to-loss': {
      type: 'number',
      describe: 'Compare instead what runs need to come to this validation loss; ranked by --at (default: time)',
    },
    amount: { type: 'number', describe: 'That amount; milliseconds for time (default: what every run has reached)' },
    rank: {
      choices: ['final', 'best', 'aligned'],
      describe:
        'Validation loss to rank by; aligned is the one at --amount (default: final, or aligned while fewer than two ' +
        'settings have finished runs)',
    },
    ...jsonOption,
  },
  examples: [
    ['clm compare runs/rates', 'Compare the runs of a sweep; runs that differ only by seed share a row'],
    ['clm compare runs/rates --to-loss 1.757', 'Steps, tokens, FLOPs and seconds to a validation loss'],
    ['clm compare runs/small runs/large --at flops --rank aligned', 'Compare two sizes at equal computation'],
  ],
});

export const reportUsage = defineUsage({
  command: 'report <runs..>',
  describe: 'Write a self-contained HTML page about runs',
  positionals: runsArgument,
  options: {
    output: { type: 'string', default: 'report.html', describe: 'HTML file to write' },
    title: { type: 'string', describe: 'Heading of the page (default: the given names)' },
    ...jsonOption,
    ...quietOption,
  },
  examples: [
    ['clm report runs/moby-dick', 'Write report.html about one run'],
    ['clm report runs/rates --output rates.html', 'Write a page about the runs of a sweep'],
  ],
});

export const sweepUsage = defineUsage({
  command: 'sweep <sweep>',
  describe: 'Train many runs from a base config: grids, pairs, random draws, seeds',
  positionals: { sweep: { type: 'string', demandOption: true, describe: 'YAML file that describes the sweep' } },
  options: {
    output: { type: 'string', describe: 'Folder for the run directories (default: runs/<name of the sweep>)' },
    jobs: { type: 'number', default: 1, describe: 'Number of runs at the same time; they share the cores' },
    processes: { type: 'number', default: 1, describe: 'Number of processes that train each run together' },
    'dry-run': {
      type: 'boolean',
      default: false,
      describe: 'Print the runs and the expected time, without training',
    },
    retry: { type: 'boolean', default: false, describe: 'Also repeat the runs that failed' },
    'max-time': {
      type: 'string',
      describe: 'Time for the whole sweep, e.g. 3h: the runs that train then save and stop; the same command goes on',
    },
    ...logOption,
    ...ignoreHangupOption,
    ...jsonOption,
    ...quietOption,
  },
  examples: [
    ['clm sweep configs/sweeps/learning-rates.yaml --dry-run', 'Show the runs and the expected time'],
    ['clm sweep configs/sweeps/learning-rates.yaml', 'Train them; repeat the command to continue after a stop'],
    ['clm sweep configs/sweeps/learning-rates.yaml --max-time 2h', 'For at most two hours'],
    ['clm compare runs/learning-rates', 'Compare the results'],
  ],
});
