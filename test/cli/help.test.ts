import { describe, expect, it } from 'vitest';
import { clm } from './clm.ts';

describe('clm --help', () => {
  it('lists the commands', async () => {
    const { code, stdout, stderr } = await clm(['--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatchSnapshot();
  });

  it.each([
    'init',
    'train',
    'sample',
    'evaluate',
    'score',
    'inspect',
    'tokenizer',
    'runs',
    'sweep',
    'compare',
    'bench',
    'data',
    'config',
    'doctor',
    'report',
    'completion',
  ])('explains %s, with an example', async (command) => {
    const { code, stdout, stderr } = await clm([command, '--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatchSnapshot();
  });

  it('takes options before the command too', async () => {
    const [before, after] = await Promise.all([
      clm(['--set', 'seed=7', 'config', 'show', 'configs/moby-dick.yaml']),
      clm(['config', 'show', 'configs/moby-dick.yaml', '--set', 'seed=7']),
    ]);
    expect(before).toEqual(after);
    expect(before).toMatchObject({ code: 0, stdout: expect.stringContaining('seed: 7\n') });
  });

  it('prints the version', async () => {
    expect(await clm(['--version'])).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
  });

  it.each([
    [[], 'error: a command is missing\nSee: clm --help\n'],
    [['trian', 'x.yaml'], 'error: trian is no command; did you mean train?\nSee: clm --help\n'],
    [['quiet', 'train'], 'error: quiet is no command\nSee: clm --help\n'],
    [
      ['config', 'shwo', 'x.yaml'],
      'error: clm config does not know x.yaml; there is clm config show <config>, clm config schema\nSee: clm config --help\n',
    ],
    [
      ['train', 'x.yaml', '--resume=maybe'],
      'error: --resume=maybe: this option is given alone, or as true or false\nSee: clm train --help\n',
    ],
    [['data', 'check', 'x.yaml', '--examples', '-1'], 'error: --examples must be a whole number of at least 0\n'],
    [['train', '--stpes', '3'], 'error: clm train does not know stpes\nSee: clm train --help\n'],
    [
      ['sample', 'x', '--temprature', '1'],
      'error: clm sample does not know temprature; did you mean --temperature?\nSee: clm sample --help\n',
    ],
    [['train', 'x.yaml', '--set'], 'error: --set needs a value\nSee: clm train --help\n'],
    [['train', '--run', '--resume'], 'error: --run needs a value\nSee: clm train --help\n'],
    [
      ['runs', '--sort', 'colour'],
      'error: --sort "colour" is none of "age", "name", "state", "step", "loss", "speed"\nSee: clm runs --help\n',
    ],
    [
      ['tokenizer', 'train', '--output', 'x'],
      'error: clm tokenizer train needs --sources, --vocabulary-size\nSee: clm tokenizer --help\n',
    ],
    [['sample'], 'error: An argument is missing: clm sample <run>\nSee: clm sample --help\n'],
    [['train', 'a.yaml', '--run', 'x', '--run', 'y'], 'error: --run is given twice\nSee: clm train --help\n'],
  ])('refuses %j with exit code 2', async (args, message) => {
    expect(await clm(args)).toEqual({ code: 2, stdout: '', stderr: message });
  });
});
