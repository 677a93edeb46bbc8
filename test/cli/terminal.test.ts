import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeRun } from '../experiments/runFolders.ts';
import { clmAtTerminal, ctrlBackslash, ctrlC, ctrlZ, type Surroundings, type TerminalStep } from './atTerminal.ts';

let folder: string;
const at = (name: string) => path.join(folder, name);

beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'clm-terminal-'));
  writeFileSync(at('text.txt'), 'The cat sat on the mat. '.repeat(60));
  writeFileSync(
    at('tiny.yaml'),
    `corpus: { sources: [{ path: text.txt }] }
tokenizer: { kind: bytes }
model: { layers: 1, heads: 2, width: 16, contextLength: 8 }
training: { microBatchSize: 3, steps: 12 }
schedule: { warmupSteps: 1 }
evaluation: { everySteps: 6 }
samples: { everySteps: null }
checkpoints: { everySteps: null }
`,
  );
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A run that seems to train, since it has written just now. */
function runningRun(name: string): string {
  writeRun(at(name), { losses: [3, 2, 2, 1], steps: 9, evaluations: [[0, 4]] });
  return at(name);
}

function finished(name: string): string {
  writeRun(at(name), { losses: [3, 2, 2, 1], evaluations: [[4, 1.5]] });
  return at(name);
}

/** What a terminal is left with: what its user would have to restore. */
function leftBehind(output: string): string[] {
  const last = (on: string, off: string): boolean => output.lastIndexOf(on) > output.lastIndexOf(off);
  return [
    ...(last('\x1b[?25l', '\x1b[?25h') ? ['no cursor'] : []),
    ...(last('\x1b[?7l', '\x1b[?7h') ? ['no wrapping'] : []),
    ...(last('\x1b[?1049h', '\x1b[?1049l') ? ['another screen'] : []),
    ...(/\[(?:stopped|ended) raw\]/.test(output) ? ['raw input'] : []),
    ...(/\x1b\[3[1-8]m[^\x1b]*$/.test(output) ? ['a colour'] : []),
  ];
}

const count = (text: string, part: string): number => text.split(part).length - 1;
const eighty: [number, number] = [80, 24];

/** Commands that draw: what they are given, and the escape sequences that show that they have drawn. */
const drawing: Record<string, { args: () => string[]; drawn: RegExp; foreign?: RegExp; steps?: TerminalStep[] }> = {
  train: {
    args: () => ['train', at('tiny.yaml'), '--run', at(`run-${performance.now()}`)],
    drawn: /\r\x1b\[J|\x1b\[36mvalidation/,
  },
  inspect: {
    args: () => ['inspect', at('tiny.yaml'), '--text', 'T\x1b[31m c', '--position', '1'],
    drawn: /\x1b\[3[123]m/,
    foreign: /\\u001b/g, // a token's own
  },
  'runs watch': {
    args: () => ['runs', 'watch', runningRun('\x1b[31mred')],
    drawn: /\x1b\[\?1049h\x1b\[\?25l\x1b\[H\x1b\[36m/,
    foreign: /\\u\{1b\}\[31m/g, // its name's
    steps: [['red', ctrlC]],
  },
  'an error': { args: () => ['train', at('none.yaml')], drawn: /\x1b\[31merror/ },
};

const show = (name: string, surroundings: Surroundings) =>
  clmAtTerminal(drawing[name]!.args(), drawing[name]!.steps, surroundings);

describe('at a terminal', () => {
  it.each(Object.keys(drawing))('%s draws, shows no escape of its own as text, and restores', async (name) => {
    const { output } = await show(name, { size: eighty });
    const { drawn, foreign } = drawing[name]!;
    expect(output).toMatch(drawn);
    expect(leftBehind(output)).toEqual([]);
    if (foreign !== undefined) expect(output).toMatch(foreign);
    expect(output.replaceAll(foreign ?? /$/g, '')).not.toMatch(/\\u\{1b\}|\\u001b|\\x1b/);
  });

  it.each([
    ['train', { TERM: 'dumb' }],
    ['inspect', { TERM: 'dumb' }],
    ['runs watch', { TERM: 'dumb' }],
    ['runs watch', { TERM: '' }],
    ['runs watch', { CI: '1' }],
    ['an error', { CI: '1' }],
  ])('%s writes no escape with %o', async (name, env) => {
    const { output } = await show(name, { size: eighty, env });
    expect(output).not.toContain('\x1b');
    expect(output).toContain('[ended cooked]');
  });

  it.each(['runs watch', 'an error'])('%s writes no colour with NO_COLOR', async (name) => {
    expect((await show(name, { size: eighty, env: { NO_COLOR: '1' } })).output).not.toMatch(/\x1b\[3\dm/);
  });

  it.each([
    ['data check', () => ['data', 'check', at('tiny.yaml'), '--examples', '0'], /^total +1 +1,440 +1,440$/m],
    ['plan', () => ['plan', at('tiny.yaml'), '--no-estimate'], /^ {13}\S.*gradients/m],
    [
      'runs watch',
      () => ['runs', 'watch', finished('a-run-with-a-name-that-takes-some-room')],
      /^ {2}training loss 2\.629/m,
    ],
  ])('%s fits 60 columns, with its numbers whole', async (_, args, expected) => {
    const { output } = await clmAtTerminal(args(), [], { size: [60, 24], env: { TERM: 'dumb' } });
    const lines = output.replaceAll('\r', '').split('\n');
    expect(lines.filter(({ length }) => length > 60)).toEqual([]);
    expect(lines.join('\n')).toMatch(expected);
  });

  it.each([
    ['train', 20],
    ['runs watch', 20],
    ['runs watch', 0],
  ])('%s takes a terminal of %d columns', async (name, columns) => {
    const { output } = await show(name, { size: [columns, columns && 10] });
    expect(leftBehind(output)).toEqual([]);
    expect(output).not.toContain('This is a bug');
    if (columns === 0) expect(output).not.toMatch(/\x1b\[(?:\?|J|H|K|\d*A)/);
  });
});

describe('a stopped program leaves the terminal as the shell needs it', () => {
  const watch = (run: string) => ['runs', 'watch', runningRun(run)];

  it('runs watch: Ctrl-Z, fg, Ctrl-Z, fg, Ctrl-C', async () => {
    const { output, code } = await clmAtTerminal(
      watch('a'),
      [
        ['step 4', ctrlZ],
        ['stopped.*step 4', ctrlZ],
        ['stopped.*step 4', ctrlC],
      ],
      { size: eighty },
    );
    expect(code).toBe(0);
    const [first, second, third] = output.split('[stopped cooked]');
    for (const part of [first, second, third]) {
      expect(part).toContain('\x1b[?1049h\x1b[?25l\x1b[H');
      expect(leftBehind(part!)).toEqual([]);
    }
    expect(count(output, '\x1b[?1049h')).toBe(3);
  });

  it.each([
    ['Ctrl-\\', ctrlBackslash, 131],
    ['Ctrl-C Ctrl-C', ctrlC + ctrlC, 0],
  ])('runs watch: %s', async (_, keys, expected) => {
    const { output, code } = await clmAtTerminal(watch('b'), [['step 4', keys]], { size: eighty });
    expect([expected, 130]).toContain(code);
    expect(leftBehind(output)).toEqual([]);
  });

  it('train: Ctrl-Z and fg while the bar is drawn, then Ctrl-C', async () => {
    const args = ['train', at('tiny.yaml'), '--run', at('stopped'), '--set', 'training.steps=1000000'];
    const { output, code } = await clmAtTerminal(
      args,
      [
        ['tokens/s', ctrlZ],
        ['stopped.*tokens/s', ctrlC],
      ],
      { size: eighty },
    );
    expect(code).toBe(130);
    expect(output).toContain('stopped after step');
    expect(leftBehind(output.split('[stopped')[0]!)).toEqual([]);
    expect(leftBehind(output)).toEqual([]);
  });
});
