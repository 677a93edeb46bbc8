import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { shellPath, shellWord } from '../src/shellWord.ts';

it('words of commands in messages are quoted if a shell needs it', () => {
  expect(['runs/base', 'мой-запуск', 'мой запуск', "it's", '$HOME', '', '~x', 'a;b'].map(shellWord)).toEqual([
    ...['runs/base', 'мой-запуск', "'мой запуск'", "'it'\\''s'", "'$HOME'", "''", "'~x'", "'a;b'"],
  ]);
});

it('a shell takes the words as they were', () => {
  const texts = [
    ...[
      '',
      ' ',
      "it's",
      '"',
      '$HOME',
      '`id`',
      '~',
      '~root',
      '=ls',
      'a*b',
      '{a,b}',
      '!x',
      '#x',
      '\\',
      'a\\nb',
      'a|b&c;d',
    ],
    ...['two\nlines', 'tab\there', '\u001b[31m', "all ' \\ \n of it", 'мой запуск', 'é', '-x', '--resume', '%1', 'a=b'],
  ];
  const words = texts.map(shellWord).join(' ');
  const environment = { env: { ...process.env, LC_ALL: 'C.UTF-8' }, encoding: 'utf8' } as const;
  const read = execFileSync('bash', ['-c', `printf '%s\\0' ${words}`], environment);
  expect(read.split('\0').slice(0, -1)).toEqual(texts);
});

it('a path is not taken for an option', () => {
  expect(['-x', '--resume', 'a -x', '-'].map(shellPath)).toEqual(['./-x', './--resume', "'a -x'", './-']);
});
