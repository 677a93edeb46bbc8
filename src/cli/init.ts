/** `clm init`: asks for a text and a time, measures this machine, and writes a commented config that fits both. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { CommandModule } from 'yargs';
import { wrongInput } from '../errors.ts';
import { modelSizes, renderStartingConfig, sizeFor, stepFlops, stepsFor, type StartingChoices } from '../experiments/startingConfig.ts';
import { jsonOption, quietOption } from './options.ts';
import { grouped, note, printJson } from './output.ts';

interface InitArguments {
  text?: string;
  minutes?: number;
  output?: string;
  json: boolean;
  quiet: boolean;
}

export const initCommand: CommandModule<object, InitArguments> = {
  command: 'init',
  describe: 'Write a first config for a text of yours and this machine',
  builder: (parser) =>
    parser
      .option('text', { type: 'string', describe: 'Text file, or a folder of them (asked for where it is missing)' })
      .option('minutes', { type: 'number', describe: 'How long training may take (asked for; 5 without a terminal)' })
      .option('output', { type: 'string', describe: 'The config (default: <name of the text>.yaml); never overwritten' })
      .options({ ...jsonOption, quiet: quietOption.quiet })
      .example('clm init', 'Asks')
      .example('clm init --text texts/ --minutes 30 --output mine.yaml', 'Asks nothing') as never,
  handler: async (args) => {
    const { text, minutes } = await answers(args);
    const stats = statSync(text, { throwIfNoEntry: false });
    if (!stats) throw wrongInput(`There is no text at ${text}. Name a text file, or a folder of them, with --text.`);
    if (!(minutes > 0 && minutes <= 60 * 24 * 30)) throw wrongInput('--minutes must be a number greater than 0, and at most a month');
    const name = path.basename(path.resolve(text)).replace(/\.[^.]*$/, '').replace(/^\.+/, '').replace(/[^A-Za-z0-9._-]/g, '-') || 'first';
    const output = args.output ?? `${name}.yaml`;
    if (existsSync(output)) throw wrongInput(`${output} exists already; choose another name with --output`);
    const textBytes = stats.isDirectory() ? Infinity : stats.size;

    const say = args.quiet ? () => {} : note;
    const choices = (size: StartingChoices['size'], steps: number, folder: string): StartingChoices => ({
      ...{ name, minutes, size, steps, textBytes },
      textPath: path.relative(folder, path.resolve(text)).replaceAll(path.sep, '/'),
      schema: path.relative(folder, fileURLToPath(new URL('../../schema/config.schema.json', import.meta.url))).replaceAll(path.sep, '/'),
    });
    const scratch = mkdtempSync(path.join(os.tmpdir(), 'clm-init-'));
    try {
      const measure = (size: StartingChoices['size']): Promise<number> => msPerStep(path.join(scratch, 'config.yaml'), renderStartingConfig(choices(size, 1000, scratch)));
      say('measuring this machine on your text');
      const trial = modelSizes[1]!;
      const trialMs = await measure(trial);
      const size = sizeFor(minutes, stepFlops(trial) / (trialMs / 1000));
      const stepMs = size === trial ? trialMs : await measure(size);
      const steps = stepsFor(minutes, stepMs);
      writeFileSync(output, renderStartingConfig(choices(size, steps, path.dirname(path.resolve(output)))), { flag: 'wx' });
      if (args.json) printJson({ config: path.resolve(output), ...size, steps, msPerStep: stepMs });
      say(`wrote ${output}: ${size.layers} layers of width ${size.width}, ${grouped(steps)} steps of ${stepMs.toFixed(1)} ms`);
      say(`to train: clm train ${output}`);
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  },
};

/** What the flags do not say is asked for, where there is somebody to ask. */
async function answers({ text, minutes }: InitArguments): Promise<{ text: string; minutes: number }> {
  if (text !== undefined && minutes !== undefined) return { text, minutes };
  if (!process.stdin.isTTY) {
    if (text === undefined) throw wrongInput('--text is missing, and there is no terminal to ask: clm init --text FILE --minutes 5');
    return { text, minutes: minutes ?? 5 };
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const askedText = text ?? (await terminal.question('Which text shall it learn from (a file or a folder)? ')).trim();
    const askedMinutes = minutes ?? Number((await terminal.question('How many minutes may training take? [5] ')).trim() || 5);
    return { text: askedText, minutes: askedMinutes };
  } finally {
    terminal.close();
  }
}

/** By `clm bench` in a process of its own; what it refuses is refused here. */
async function msPerStep(file: string, config: string): Promise<number> {
  writeFileSync(file, config);
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [process.argv[1]!, 'bench', file, '--steps', '10', '--json']);
    return (JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as { msPerStep: number }).msPerStep;
  } catch (error) {
    const message = /error: ([^\n]+)/.exec(String((error as { stderr?: string }).stderr))?.[1];
    throw message === undefined ? error : wrongInput(message, { cause: error });
  }
}
