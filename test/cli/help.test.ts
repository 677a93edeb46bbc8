import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { commands } from '../../src/cli/commands.ts';
import { nameOf } from '../../src/cli/usage.ts';
import { clm, root } from './clm.ts';

describe('clm --help', () => {
  it('lists the commands', async () => {
    const { code, stdout, stderr } = await clm(['--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatchSnapshot();
  });

  it.each(commands.map(nameOf))('explains %s, with an example', async (command) => {
    const { code, stdout, stderr } = await clm([...command.split(' '), '--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatchSnapshot();
  });

  it('is printed without loading any command', () => {
    const packages = new Set<string>();
    const seen = new Set<string>();
    const visit = (file: string): void => {
      if (seen.has(file)) return;
      seen.add(file);
      for (const [, from] of readFileSync(file, 'utf8').matchAll(/^(?:import|export) .*?from '([^']+)'/gm)) {
        if (from!.startsWith('.')) visit(path.join(path.dirname(file), from!));
        else if (!from!.startsWith('node:')) packages.add(from!);
      }
    };
    visit(path.join(root, 'dist/cli/main.js'));
    expect([...packages]).toEqual(['fastest-levenshtein']); // yargs only once a command is named
    expect([...seen].filter((file) => /commands\/.*(?<!\/usage\.js)$/.test(file))).toEqual([]);
  });

  it('lists the commands of a family', async () => {
    const { code, stdout, stderr } = await clm(['tokenizer', '--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatchSnapshot();
  });

  it('accepts options before the command too', async () => {
    const [before, after] = await Promise.all([
      clm(['--set', 'seed=7', 'config', 'show', 'configs/moby-dick.yaml']),
      clm(['config', 'show', 'configs/moby-dick.yaml', '--set', 'seed=7']),
    ]);
    expect(before).toEqual(after);
    expect(before).toMatchObject({ code: 0, stdout: expect.stringContaining('seed: 7\n') });
  });

  it('is what clm alone shows, with the exit code of a wrong command line', async () => {
    const { stdout } = await clm(['--help']);
    expect(await clm([])).toEqual({ code: 2, stdout: '', stderr: stdout });
  });

  it('names a --set that a later one of the same key overrides', async () => {
    const sets = ['seed=7', 'model.layers=2', 'seed=8', 'model.layers=2'].flatMap((each) => ['--set', each]);
    const { stdout, stderr } = await clm(['config', 'show', 'configs/moby-dick.yaml', ...sets]);
    expect(stdout).toContain('seed: 8\n');
    expect(stderr).toBe('warning: --set seed=7 has no effect, because --set seed=8 follows\n');
  });

  it('prints the version', async () => {
    expect(await clm(['--version'])).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
  });

  it.each(['--version', '--help', '-h'])(
    'takes %s behind an option for a forgotten value, not for a wish',
    async (word) => {
      const { code, stdout, stderr } = await clm(['sample', 'runs/none', '--prompt', word]);
      expect([code, stdout]).toEqual([2, '']);
      expect(stderr).toContain(`If ${word} is meant as its value: --prompt=${word}`);
    },
  );

  it('takes --version behind -- for an argument', async () => {
    expect(await clm(['train', '--', '--version'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('./--version does not exist'),
    });
  });

  it.each([
    [['trian', 'x.yaml'], 'error: unknown command "trian"; did you mean: clm train x.yaml\nSee: clm --help\n'],
    [['quiet', 'train'], 'error: unknown command "quiet"\nSee: clm --help\n'],
    [
      ['config', 'shwo', 'x.yaml'],
      'error: unknown command "config shwo"; did you mean: clm config show x.yaml\nSee: clm config --help\n',
    ],
    [
      ['config', 'x.yaml'],
      'error: unknown command "config x.yaml"; choose config show, config schema\nSee: clm config --help\n',
    ],
    [
      ['train', 'x.yaml', '--resume=maybe'],
      'error: --resume takes no value, or true or false, not "maybe"\nSee: clm train --help\n',
    ],
    [['data', 'check', 'x.yaml', '--examples', '-1'], 'error: --examples must be a whole number of at least 0\n'],
    [
      ['train', '--stpes', '3'],
      'error: unknown option "--stpes"; did you mean: clm train --set training.steps=3\nSee: clm train --help\n',
    ],
    [
      ['train', '--model.layers', '6'],
      'error: unknown option "--model.layers"; did you mean: clm train --set model.layers=6\nSee: clm train --help\n',
    ],
    [
      ['sample', 'x', '--temprature', '1'],
      'error: unknown option "--temprature"; did you mean: clm sample x --temperature 1\nSee: clm sample --help\n',
    ],
    [['sample', 'x', '--seed', 'y'], 'error: --seed must be a number\nSee: clm sample --help\n'],
    [['sample', 'x', '--seed', ''], 'error: --seed must be a number\nSee: clm sample --help\n'],
    [['sample', 'x', '--no-seed'], 'error: unknown option "--no-seed"\nSee: clm sample --help\n'],
    [['train', ''], 'error: argument "config" is empty\nSee: clm train --help\n'],
    [['train', 'a.yaml', 'b.yaml'], 'error: unexpected argument "b.yaml"\nSee: clm train --help\n'],
    [['train', 'x.yaml', '--set'], 'error: --set needs a value\nSee: clm train --help\n'],
    [
      ['train', '--run', '--resume'],
      'error: --run needs a value. If --resume is meant as its value: --run=--resume\nSee: clm train --help\n',
    ],
    [
      ['runs', '--sort', 'colour'],
      'error: invalid value: sort is "colour", not one of "age", "name", "state", "step", "loss", "speed"\n' +
        'See: clm runs --help\n',
    ],
    [
      ['tokenizer', 'train', '--output', 'x'],
      'error: missing options: --sources, --vocabulary-size\nSee: clm tokenizer train --help\n',
    ],
    [['--config', 'x'], 'error: missing command: "--config" is an option, and follows it\nSee: clm --help\n'],
    [['sample'], 'error: missing argument (0 of 1 given): clm sample <run>\nSee: clm sample --help\n'],
    [['train', 'a.yaml', '--run', 'x', '--run', 'y'], 'error: --run is given twice\nSee: clm train --help\n'],
  ])('refuses %j with exit code 2', async (args, message) => {
    expect(await clm(args)).toEqual({ code: 2, stdout: '', stderr: message });
  });
});
