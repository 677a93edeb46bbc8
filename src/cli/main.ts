#!/usr/bin/env node
/**
 * The program. A command's file is loaded only when that command is asked for, so that `--help` costs
 * milliseconds and the device is chosen before anything native is loaded. The only place that exits.
 */
import { closeSync, readFileSync } from 'node:fs';
import { isatty } from 'node:tty';
import type { CommandModule } from 'yargs';
import { ExpectedError } from '../errors.ts';
import { describeCommand } from './describeCommands.ts';
import { printError, printResult } from './terminal/output.ts';
import {
  meantCommand,
  optionWithoutValue,
  switchWithValue,
  unknownCommand,
  UsageError,
  usageProblem,
} from './usage.ts';

interface CommandEntry {
  command: string;
  describe: string;
  load: () => Promise<CommandModule<object, never>>;
}

const commands: CommandEntry[] = [
  {
    command: 'init',
    describe: 'Write a first config for a text of yours and this machine',
    load: async () => (await import('./commands/train/init.ts')).initCommand as CommandModule<object, never>,
  },
  {
    command: 'train [config]',
    describe: 'Train a decoder as a config says, or continue a run',
    load: async () => (await import('./commands/train/train.ts')).trainCommand as CommandModule<object, never>,
  },
  {
    command: 'sample <run>',
    describe: 'Complete prompts with a trained model',
    load: async () => (await import('./commands/model/sample.ts')).sampleCommand as CommandModule<object, never>,
  },
  {
    command: 'evaluate <run>',
    describe: 'Score a whole validation set, or a text: loss, perplexity, bits per byte',
    load: async () => (await import('./commands/model/evaluate.ts')).evaluateCommand as CommandModule<object, never>,
  },
  {
    command: 'score <run>',
    describe: 'Log-probabilities of given texts or choices',
    load: async () => (await import('./commands/model/score.ts')).scoreCommand as CommandModule<object, never>,
  },
  {
    command: 'inspect <model>',
    describe: 'Show tokens, shifted targets, losses and the likeliest tokens of a text',
    load: async () => (await import('./commands/model/inspect.ts')).inspectCommand as CommandModule<object, never>,
  },
  {
    command: 'runs',
    describe: 'List runs, show one, or watch running ones',
    load: async () => (await import('./commands/experiments/runs.ts')).runsCommand as CommandModule<object, never>,
  },
  {
    command: 'sweep <sweep>',
    describe: 'Make many runs from a base config: grids, pairs, random draws, seeds',
    load: async () => (await import('./commands/experiments/sweep.ts')).sweepCommand as CommandModule<object, never>,
  },
  {
    command: 'report <runs..>',
    describe: 'Write one self-contained HTML page about runs',
    load: async () => (await import('./commands/experiments/report.ts')).reportCommand as CommandModule<object, never>,
  },
  {
    command: 'compare <runs..>',
    describe: 'Compare runs: differing keys, losses, spread of seeds',
    load: async () =>
      (await import('./commands/experiments/compare.ts')).compareCommand as CommandModule<object, never>,
  },
  {
    command: 'tokenizer <action>',
    describe: 'Train a tokenizer, encode and decode with one',
    load: async () => (await import('./commands/text/tokenizer.ts')).tokenizerCommand as CommandModule<object, never>,
  },
  {
    command: 'plan <config>',
    describe: 'Parameters, memory, FLOPs and time of a run before it starts',
    load: async () => (await import('./commands/train/plan.ts')).planCommand as CommandModule<object, never>,
  },
  {
    command: 'bench <config>',
    describe: 'Measure the training step against this machine’s matmul peak',
    load: async () => (await import('./commands/train/bench.ts')).benchCommand as CommandModule<object, never>,
  },
  {
    command: 'import <directory>',
    describe: 'Make a run of a Hugging Face folder',
    load: async () => (await import('./commands/model/import.ts')).importCommand as CommandModule<object, never>,
  },
  {
    command: 'export <run> <directory>',
    describe: 'Write a run as a Hugging Face folder',
    load: async () => (await import('./commands/model/export.ts')).exportCommand as CommandModule<object, never>,
  },
  {
    command: 'data <action>',
    describe: 'Check what a corpus holds: documents, tokens, duplicates, example windows',
    load: async () => (await import('./commands/text/data.ts')).dataCommand as CommandModule<object, never>,
  },
  {
    command: 'config <action>',
    describe: 'Show a config as it would run, or the schema for editors',
    load: async () => (await import('./commands/setup/config.ts')).configCommand as CommandModule<object, never>,
  },
  {
    command: 'checkpoint <action> <run>',
    describe: 'Check that every checkpoint of a run is whole',
    load: async () =>
      (await import('./commands/train/checkpoint.ts')).checkpointCommand as CommandModule<object, never>,
  },
  {
    command: 'verify-resume <config>',
    describe: 'Train twice, once with stops, and compare every bit',
    load: async () =>
      (await import('./commands/train/verifyResume.ts')).verifyResumeCommand as CommandModule<object, never>,
  },
  {
    command: 'doctor',
    describe: 'Say what is installed, which device is taken, and what is missing',
    load: async () => (await import('./commands/setup/doctor.ts')).doctorCommand as CommandModule<object, never>,
  },
  {
    command: 'completion <shell>',
    describe: 'Print a completion script for bash, zsh or fish',
    load: async () => {
      const { completionCommand } = await import('./commands/setup/completion.ts');
      // All but itself, which is the last.
      return completionCommand(commands.slice(0, -1).map(({ load }) => load)) as CommandModule<object, never>;
    },
  },
];

/** Options and arguments that take several values. */
const mayRepeat = [
  ...['_', 'set', 'sources', 'runs', 'state', 'log'],
  ...['prompt', 'stop', 'stop-token', 'stopToken', 'logit-bias', 'logitBias', 'choice'],
];

/** What `clm --help` prints, without the 100 ms that loading yargs takes on a slow machine. */
function overview(): string {
  const column = Math.max(...commands.map(({ command }) => command.length)) + 2;
  const lines = commands.map(({ command, describe }) => `  clm ${command.padEnd(column)}${describe}`);
  return [
    'clm <command>',
    '',
    'Train language models from the terminal.',
    '',
    'Commands:',
    ...lines,
    '',
    'clm <command> --help explains a command, with examples; clm --version prints the version.',
  ].join('\n');
}

/** Options may also stand before the command: they are moved behind it, where its own parser knows them. */
function commandFirst(args: string[]): string[] {
  const at = args.findIndex((arg) => commands.some(({ command }) => command.split(' ')[0] === arg));
  return at > 0 && args[0]!.startsWith('-') ? [args[at]!, ...args.slice(0, at), ...args.slice(at + 1)] : args;
}

async function run(args: string[]): Promise<void> {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  if (args[0] === '--help' || args[0] === '-h') return void printResult(overview());
  if (args[0] === '--version') return void printResult(version);
  const asked = args.find((arg) => !arg.startsWith('-'));
  const names = commands.map(({ command }) => command.split(' ')[0]!);
  if (asked !== undefined && !names.includes(asked)) throw new UsageError(unknownCommand(asked, names));
  const module = await commands.find((entry) => entry.command.split(' ')[0] === asked)?.load();
  const described = module && describeCommand(module);
  const withoutValue = described && optionWithoutValue(described, args);
  if (withoutValue !== undefined) throw new UsageError(`${withoutValue} needs a value`);
  const withValue = described && switchWithValue(described, args);
  if (withValue !== undefined) throw new UsageError(`${withValue}: this option is given alone, or as true or false`);
  const { default: yargs } = await import('yargs');
  const parser = yargs(args)
    .scriptName('clm')
    .version(version)
    .help()
    .alias('help', 'h')
    .strict()
    .demandCommand(1, 'a command is missing')
    .check((values) => {
      const twice = Object.keys(values).find((name) => Array.isArray(values[name]) && !mayRepeat.includes(name));
      if (twice !== undefined) throw new UsageError(`--${twice} is given twice`);
      return true;
    }, true)
    .wrap(Math.min(100, process.stderr.columns ?? 100))
    .exitProcess(false)
    .showHelpOnFail(false)
    .fail((message, error) => {
      throw error ?? new UsageError(described ? usageProblem(message, meantCommand(described, args)) : message);
    });
  for (const entry of commands) {
    const isAsked = entry.command.split(' ')[0] === asked;
    parser.command(
      isAsked && module ? module : { command: entry.command, describe: entry.describe, handler: () => {} },
    );
  }
  await parser.parseAsync();
}

/** The end of the process: a message without a stack where the failure is expected, a stack where it is a bug. */
function fail(error: unknown): never {
  if (error instanceof ExpectedError) {
    printError(error.message);
    process.exit(error.exitCode);
  }
  if (error instanceof UsageError) {
    const command = commandFirst(process.argv.slice(2)).find((arg) => !arg.startsWith('-'));
    const known = commands.some((entry) => entry.command.split(' ')[0] === command);
    printError(`${error.message}\nSee: clm ${known ? `${command} ` : ''}--help`);
    process.exit(2);
  }
  printError(`This is a bug in clm: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  process.exit(1);
}

// A reader that has seen enough (head, less) closes the pipe, and a terminal can go away: no failure of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE' && error.code !== 'EIO') fail(error);
});

// Node 20 restores the settings of its terminals at the end and aborts where one has gone (SIGHUP), unless it was
// closed.
const terminals = [0, 1, 2].filter((descriptor) => isatty(descriptor));
process.on('exit', () => {
  for (const descriptor of terminals) if (!isatty(descriptor)) closeSync(descriptor);
});

// A closed stderr must not end a training run: there is nobody left to tell, but work to save.
process.stderr.on('error', () => {});

run(commandFirst(process.argv.slice(2))).then(() => {
  // After a stop, work that was given up (a pass over the corpus) would keep the process alive.
  if (process.exitCode !== undefined) process.exit();
}, fail);
