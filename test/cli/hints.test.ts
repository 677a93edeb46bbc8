/** What clm proposes in place of a wrong command can be pasted into a shell, and works. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commands } from '../../src/cli/commands.ts';
import { optionHint } from '../../src/cli/hints/optionHint.ts';
import { argumentNames, commandNames, optionNames } from '../../src/cli/hints/otherNames.ts';
import { nameOf, type Usage } from '../../src/cli/usage.ts';
import { keyNames } from '../../src/config/sections/otherNames.ts';
import { schemaAt, suggestKey } from '../../src/config/keys.ts';
import { parseKeyPath } from '../../src/config/located.ts';
import { writeRun } from '../experiments/runFolders.ts';
import { root } from './clm.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'clm-hints-'));
  const at = (name: string) => path.join(folder, name);
  mkdirSync(at('my texts'));
  mkdirSync(at('bin'));
  writeFileSync(at('my texts/a.txt'), 'The cat sat on the mat. '.repeat(60));
  const config = 'corpus: { sources: [{ path: my texts }] }\nmodel: { layers: 1, contextLength: 8 }\n';
  writeFileSync(at('base.yaml'), config);
  writeFileSync(at('other one.yml'), config);
  writeFileSync(at('grid.yaml'), 'config: base.yaml\ngrid: { n_layer: [1, 2] }\n');
  writeFileSync(
    at('bin/clm'),
    `#!/bin/sh\nexec '${process.execPath}' '${path.join(root, 'dist/cli/main.js')}' "$@"\n`,
    {
      mode: 0o755,
    },
  );
  writeRun(at('runs/base'), { losses: [3, 2], evaluations: [[2, 2.5]] });
  for (const seed of [1, 2, 3, 4, 5, 6, 7])
    writeRun(at(`runs/seven/seed-${seed}`), { losses: [3], evaluations: [[1, 2]] });
  writeRun(at('runs/lone/seed-1'), { losses: [3], evaluations: [[1, 2]] });
  writeFileSync(at('seven.yaml'), 'config: base.yaml\nseeds: 7\n');
  writeFileSync(at('runs/base/config.yaml'), config.replace('my texts', '../../my texts'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a line in a shell that finds this clm. */
async function shell(line: string): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = { ...process.env, PATH: `${path.join(folder, 'bin')}:${process.env['PATH']}` };
  return promisify(execFile)('sh', ['-c', line], { cwd: folder, env }).then(
    (done) => ({ code: 0, ...done }),
    (failed: { code: number; stdout: string; stderr: string }) => failed,
  );
}

const usageOf = (name: string): Usage => commands.find((each) => nameOf(each) === name)!;
const proposed = (message: string): string => /(?:did you mean|text|in it): (clm .*)/.exec(message)?.[1] ?? message;

describe('a wrong command line', () => {
  it.each([
    [
      'clm config show base.yaml --bf16 --no-bias --n_embd 64 --learning_rate=6e-4',
      /bfloat16.*biases=false.*width=64.*learningRate=6e-4/,
    ],
    ['clm config show base.yaml model.layers=2 "model.width=8"', /--set model.layers=2 --set model.width=8$/],
    ['clm config show --config base.yaml --tokenizer bpe', /base.yaml --set '?tokenizer=\{ kind: bpe/],
    ['clm confg show base.yaml', /^clm config show base.yaml$/],
    ['clm ls', /^clm runs$/],
    ['clm plan "other one.yaml"', /^clm plan 'other one.yml'$/],
    ['clm plan bsae.yaml', /^clm plan base.yaml$/],
    ['clm plan runs/base', /^clm plan runs\/base\/config.yaml$/],
    ['clm runs show runs/bsae --json', /^clm runs show runs\/base --json$/],
    ['clm runs show base.yaml', /^clm runs show runs\/base$/],
    ['clm compare base', /^clm compare runs\/base$/],
    ['clm config show seven.yaml', /^clm config show base.yaml$/],
  ])('%s', async (line, expected) => {
    const wrong = await shell(line);
    expect(wrong).toMatchObject({ code: 2, stdout: '' });
    const right = proposed(wrong.stderr.split('\n')[0]!);
    expect(right).toMatch(expected);
    expect(await shell(right)).toMatchObject({ code: 0 });
  });

  it.each([
    ['clm train runs/base', 'clm train --run runs/base --resume'],
    ['clm train runs/base --resume --quiet', 'clm train --run runs/base --resume --quiet'],
    ['clm resume runs/base', 'clm train --resume --run runs/base'],
    ['clm train "my texts"', "clm init --text 'my texts'"],
    ['clm inspect bsae.yaml --text x', 'clm inspect base.yaml --text x'],
    ['clm sample "other one.yml"', "clm train 'other one.yml'"],
    ['clm train seven.yaml', 'clm sweep seven.yaml'],
    ['clm sample seven.yaml', 'clm sweep seven.yaml'],
    ['clm sweep base.yaml', 'clm train base.yaml'],
    ['clm sample runs/lone --json', 'clm sample runs/lone/seed-1 --json'],
    ['clm sample runs/base Once upon "a time"', "clm sample runs/base --prompt 'Once upon a time'"],
  ])('%s', async (line, expected) => {
    const { code, stderr } = await shell(line);
    expect(code).toBe(2);
    expect(
      /(clm (?:train|init|sample|inspect|sweep) .*)/.exec(stderr.split('\n')[0]!.replace(/^.*?: .*?: /, ''))?.[1],
    ).toBe(expected);
  });

  it('names the runs of a folder where one is wanted, and the only one of a folder that is taken', async () => {
    for (const command of ['evaluate', 'runs show']) {
      const { code, stderr } = await shell(`clm ${command} runs/seven`);
      const names = [1, 2, 3, 4, 5].map((seed) => `  seed-${seed}\n`).join('');
      const example = `For example: clm ${command} runs/seven/seed-1\n`;
      expect({ code, stderr }).toEqual({
        code: 2,
        stderr: `error: runs/seven is a folder of 7 runs; name one of them:\n${names}  and 2 more\n${example}`,
      });
    }
    const lone = await shell('clm runs show runs/lone');
    expect(lone).toMatchObject({ code: 0, stderr: 'runs/lone is a folder with one run, runs/lone/seed-1\n' });
  });

  it.each([
    ['clm train x.yaml --qqqqqq', 'unknown option "--qqqqqq"'],
    ['clm train nothing.yaml', 'nothing.yaml does not exist'],
  ])('%s proposes nothing', async (line, message) => {
    expect((await shell(line)).stderr.split('\n')[0]).toBe(`error: ${message}`);
  });
});

const escaped = (text: string): string => text.replace(/[$()*+.?[\\\]^{|}]/g, '\\$&');

/** A value that the key takes, by its kind. */
function exampleOf(key: string): string {
  if (/kind$|family|precision|recompute|^tokenizer$/.test(key))
    return (
      { 'optimizer.kind': 'adam', 'schedule.kind': 'cosine', 'model.family': 'llama', tokenizer: 'char' }[key] ?? 'true'
    );
  if (/path$|from$/.test(key)) return 'a.txt';
  if (key === 'model.biases' || key === 'model.tiedEmbeddings') return 'True';
  return /tail|Rate|Decay|Clip|epsilon|dropout/.test(key) ? '0.25' : key === 'corpus.workers' ? '8' : '512';
}

describe('the names of other programs', () => {
  it.each(Object.entries(keyNames))('%s is a key, and %s are answered with it', (key, others) => {
    for (const other of others.split(' ')) {
      const hint = optionHint(usageOf('train'), ['any.yaml', `--${other}`, exampleOf(key)]);
      const [, set] = /--set '?([^']*)'?$/.exec(proposed(hint!)) ?? [];
      expect(set?.split('=')[0], other).toBe(key);
    }
  });

  it.each(Object.entries(keyNames))('%s is meant by %s in a config, --set and the grid of a sweep', (key, others) => {
    for (const other of others.split(' ').filter((name) => schemaAt(parseKeyPath(name)!) === undefined)) {
      const path = parseKeyPath(other)!;
      expect(suggestKey(path.slice(0, -1), String(path.at(-1))), other).toContain(key);
      if (path.length === 1) expect(suggestKey(['schedule'], other), other).toContain(key);
    }
  });

  it.each([
    ['clm plan base.yaml --set max_iters=100', 'training.steps'],
    ['clm plan base.yaml --set model.n_embd=64', 'model.width'],
    ['clm sweep grid.yaml --dry-run', 'model.layers'],
  ])('%s is answered with %s', async (line, key) => {
    const { code, stderr } = await shell(line);
    expect(code).toBe(2);
    expect(stderr).toContain(`is not a config key; did you mean ${key}?`);
  });

  it('are each in one row of their table, and lead to options, arguments and commands that exist', () => {
    for (const table of [keyNames, commandNames]) {
      const all = Object.values(table).flatMap((names) => names.split(' '));
      expect(all.filter((name, i) => all.indexOf(name) !== i)).toEqual([]);
    }
    const options = new Set(commands.flatMap(({ options = {} }) => Object.keys(options)));
    expect(Object.keys(optionNames).filter((name) => !options.has(name))).toEqual([]);
    const places = new Set(commands.flatMap(({ positionals = {} }) => Object.keys(positionals)));
    expect(Object.keys(argumentNames).filter((name) => !places.has(name))).toEqual([]);
    const names = commands.map(nameOf);
    expect(Object.keys(commandNames).filter((name) => !names.includes(name.replace(/ --.*/, '')))).toEqual([]);
  });

  it.each([
    ['clm generate "runs/x y"', "clm sample 'runs/x y'"],
    ['clm generate --model runs/base --prompt Hi', 'clm sample runs/base --prompt Hi'],
    ['clm generate --prompt Hi', 'clm sample? It needs <run>'],
    ['clm pretrain pythia-14m --config base.yaml', 'clm train? But: unknown option "--config"'],
    ['clm tokenize hi', 'clm tokenizer encode? It needs --tokenizer'],
    ['clm stats book.txt', 'clm tokenizer stats? It needs --tokenizer'],
    ['clm encode --help', 'clm tokenizer encode --help'],
  ])('%s is answered with a command that is right, or with what is wrong: %s', async (line, answer) => {
    expect((await shell(line)).stderr.split('\n')[0]).toMatch(new RegExp(`did you mean:? ${escaped(answer)}$`));
  });

  it.each([
    ['--eval_only=True', 'to evaluate a run: clm evaluate RUN'],
    ['--lr 1e-3 --wandb', 'to log for TensorBoard: --set reports.log=[tensorboard]'],
    ['--train --model x --data y', 'clm train always trains: leave it out'],
    ['--model_name llama-15m', 'did you mean: clm train base.yaml --set model.preset=llama-15m'],
  ])('clm train base.yaml %s is answered with: %s', async (options, answer) => {
    expect((await shell(`clm train base.yaml ${options}`)).stderr.split('\n')[0]).toContain(`; ${answer}`);
  });

  it('are answered with options in commands that have them', () => {
    const hint = (name: string, ...written: string[]) => proposed(optionHint(usageOf(name), written)!);
    expect(hint('sample', '--out_dir=runs/x', '--start=Once', '--max_new_tokens', '9', '--temp', '-1')).toBe(
      'clm sample runs/x --prompt Once --max-tokens 9 --temperature -1',
    );
    expect(hint('train', 'a.yaml', '--out_dir', 'o', '--resume_from_checkpoint')).toBe(
      'clm train a.yaml --run o --resume',
    );
    expect(hint('init', 'book.txt')).toBe('clm init --text book.txt');
    expect(optionHint(usageOf('train'), ['a.yaml', '--lr', 'abc'])).toBe(
      'unknown option "--lr"; did you mean --set optimizer.learningRate=…?',
    );
    expect(hint('bench', 'a.yaml', '--stpes', '3')).toBe('clm bench a.yaml --steps 3');
  });
});
