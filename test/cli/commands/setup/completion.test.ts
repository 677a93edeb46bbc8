import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clm } from '../../clm.ts';

let folder: string;
const script = (shell: string) => path.join(folder, `clm.${shell}`);
const has = (shell: string) =>
  ['/usr/bin', '/bin', '/usr/local/bin'].some((place) => existsSync(path.join(place, shell)));
const skipped = (shell: string) => (has(shell) ? '' : ` (SKIPPED: no ${shell} here)`);

beforeAll(async () => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'clm-completion-'));
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { code, stdout, stderr } = await clm(['completion', shell]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    writeFileSync(script(shell), stdout);
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const cases: [string[], string[]][] = [
  [
    ['clm', 'comp'],
    ['compare', 'completion'],
  ],
  [['clm', 'runs', 'wa'], ['watch']],
  [['clm', 'runs', 'watch', '--int'], ['--interval']],
  [['clm', 'runs', '--sort', 'lo'], ['loss']],
  [['clm', 'train', '--set', 'model.lay'], ['model.layers=']],
  [['clm', 'train', '--ea'], ['--eager']],
];

describe('completion', () => {
  it.skipIf(!has('bash')).each(cases)(`bash: %j${skipped('bash')}`, (words, expected) => {
    const program = `source ${script('bash')}; COMP_WORDS=(${words.join(' ')}); COMP_CWORD=${words.length - 1}
_clm; printf '%s\\n' "\${COMPREPLY[@]}"`;
    expect(execFileSync('bash', ['-c', program], { encoding: 'utf8' }).trim().split('\n').sort()).toEqual(expected);
  });

  it.skipIf(!has('fish')).each(cases)(`fish: %j${skipped('fish')}`, (words, expected) => {
    const printed = execFileSync(
      'fish',
      ['--no-config', '-c', `source ${script('fish')}; complete -C '${words.join(' ')}'`],
      { encoding: 'utf8' },
    );
    expect(
      printed
        .trim()
        .split('\n')
        .map((line) => line.split('\t')[0])
        .sort(),
    ).toEqual(expected);
  });

  it.skipIf(!has('zsh')).each(cases)(`zsh: %j${skipped('zsh')}`, (words, expected) => {
    // Outside of an interactive shell compadd cannot be called: a function of its name takes its words.
    const program = `compdef() { : }; _files() { : }
compadd() { [[ $1 == -S ]] && shift 2; [[ $1 == -- ]] && shift; print -l -- "$@" }
source ${script('zsh')}; words=(${words.join(' ')}); CURRENT=${words.length}; _clm`;
    const printed = execFileSync('zsh', ['-f', '-c', program], { encoding: 'utf8' }).trim().split('\n');
    expect(printed.filter((word) => word.startsWith(words.at(-1)!)).sort()).toEqual(expected);
  });
});
