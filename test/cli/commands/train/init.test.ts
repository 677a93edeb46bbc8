import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../../../src/config/load.ts';
import { clmAtTerminal, ctrlD, type TerminalStep } from '../../atTerminal.ts';
import { clm } from '../../clm.ts';

const sentence = 'The cat sat on the mat. ';
let folder: string;
const at = (name: string) => path.join(folder, name);
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'clm-init-test-'));
  writeFileSync(at('my text.txt'), `${sentence.repeat(1000)}Un caf\u00e9. ${sentence.repeat(1000)}`, 'latin1');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('clm init', () => {
  it('writes a valid config, and never overwrites one', async () => {
    const kept = ['--encoding-errors', 'skip'];
    const args = ['init', '--text', at('my text.txt'), ...kept, '--minutes', '0.05', '--output', at('mine.yaml')];
    const { code, stderr } = await clm(args);
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: expect.stringMatching(
        /wrote .*mine\.yaml:\n {2}tokenizer {2}characters.*\n {2}model .*\n {2}training {3}[\d,]+ steps/,
      ),
    });
    const config = loadConfig(at('mine.yaml'));
    expect(config.name).toBe('my-text');
    expect(config.corpus.sources[0]!.path).toBe(at('my text.txt'));
    const before = readFileSync(at('mine.yaml'), 'utf8');
    expect(await clm(args)).toMatchObject({ code: 2, stderr: expect.stringContaining('already exists') });
    expect(readFileSync(at('mine.yaml'), 'utf8')).toBe(before);
  });

  it('writes what clm train takes at once: a folder of files, a tokenizer that is named', async () => {
    mkdirSync(at('texts'));
    for (let i = 0; i < 24; i++) writeFileSync(at(`texts/${i}.txt`), `Text ${i} of many. ${sentence.repeat(30)}`);
    const args = [
      'init',
      '--text',
      at('texts'),
      '--tokenizer',
      'bpe',
      '--minutes',
      '0.01',
      '--output',
      at('texts.yaml'),
    ];
    const { code, stdout } = await clm([...args, '--quiet', '--json', '--yes']);
    expect(code).toBe(0);
    const made = JSON.parse(stdout) as { vocabularySize: number };
    expect(made).toMatchObject({ name: 'texts', tokenizer: 'bpe', layers: 2, config: at('texts.yaml') });
    expect(made.vocabularySize).toBeLessThan(512); // as many as the text has pairs for
    const config = loadConfig(at('texts.yaml'));
    expect(config.corpus.sources[0]!.documents).toBe('file');
    expect(config.tokenizer.vocabularySize).toBe(made.vocabularySize);
    const run = ['--run', at('run'), '--set', 'training.steps=2', '--set', 'schedule.warmupSteps=1', '--quiet'];
    const trained = await clm(['train', at('texts.yaml'), ...run]);
    expect(trained).toMatchObject({ code: 0, stdout: expect.stringContaining('state=done step=2'), stderr: '' });
  });

  it('asks on a terminal until the answer is valid', async () => {
    const [text, encoding, minutes] = ['folder\\):', '\\[windows-1252\\]', '\\[5\\]'];
    const answers: TerminalStep[] = [
      [text, '/nothing/there\n'],
      [text, `'${at('my text.txt')}'\n`],
      [encoding, 'windows-1252\n'],
      [minutes, 'soon\n'],
      [minutes, '3s\n'],
    ];
    const { code, output } = await clmAtTerminal(['init', '--output', at('asked.yaml')], answers);
    expect(code).toBe(0);
    expect(output).toMatch(
      /no such file or folder: \/nothing\/there[^]*must be a duration such as[^]*wrote .*asked\.yaml/,
    );
    const asked = loadConfig(at('asked.yaml'));
    expect(asked.name).toBe('my-text');
    expect(asked.corpus.sources[0]!.path).toBe(at('my text.utf-8.txt'));
    const left = await clmAtTerminal(['init', '--output', at('left.yaml')], [[text, ctrlD]]);
    expect({ code: left.code, exists: existsSync(at('left.yaml')) }).toEqual({ code: 2, exists: false });
    expect(left.output).toContain('There was no answer');
  });

  it.each([
    [['init'], /--text is missing/],
    [['init', '--text', 'README.md', '--encoding', 'klingon'], /--encoding klingon is not an encoding/],
    [['init', '--text', 'README.md', '--output', 'package.json'], /package.json already exists.*--output/],
    [['init', '--text', '/nothing/there', '--minutes', '1'], /no such file or folder: \/nothing\/there/],
    [
      ['init', '--text', 'README.md', '--minutes', '-1', '--output', '/tmp/never.yaml'],
      /--minutes -1: the training time must be/,
    ],
  ])('refuses %j', async (args, message) => {
    expect(await clm(args)).toMatchObject({ code: 2, stderr: expect.stringMatching(message) });
  });
});
