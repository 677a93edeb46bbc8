import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../../../src/config/load.ts';
import {
  modelSizes,
  renderStartingConfig,
  sizeFor,
  stepFlops,
  stepsFor,
} from '../../../../src/experiments/startingConfig.ts';
import { clmAtTerminal, ctrlD, type TerminalStep } from '../../atTerminal.ts';
import { clm } from '../../clm.ts';

let folder: string;
const at = (name: string) => path.join(folder, name);
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'clm-init-test-'));
  writeFileSync(at('my text.txt'), 'The cat sat on the mat. '.repeat(2000));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('a starting config', () => {
  it('has a larger model for more time, and at least 1,500 updates', () => {
    const sizes = [0.1, 2, 10, 60, 24 * 60].map((minutes) => sizeFor(minutes, 1e11, 1e6));
    expect(sizes[0]).toBe(modelSizes[0]);
    expect(sizes.map((size) => modelSizes.indexOf(size))).toEqual(sizes.map((size) => modelSizes.indexOf(size)).sort());
    expect(new Set(sizes).size).toBeGreaterThan(3);
    const steps = stepsFor(60, (1000 * stepFlops(sizes[3]!, 1e6)) / 1e11);
    expect(steps).toBeGreaterThanOrEqual(1500);
    expect(stepFlops(sizes[3]!, 1e9)).toBeGreaterThan(stepFlops(sizes[3]!, 1e6)); // a larger vocabulary
  });

  it.each([
    [1000, 1],
    [5e7, 600],
  ])('of %d bytes loads, whatever its size', (textBytes, minutes) => {
    for (const size of modelSizes) {
      writeFileSync(
        at('sized.yaml'),
        renderStartingConfig({
          name: 'x y',
          textPath: 'my text.txt',
          textBytes,
          minutes,
          size,
          steps: 1500,
          field: null,
          schema: 's',
        }).replace('"x y"', 'sized'),
      );
      const config = loadConfig(at('sized.yaml'));
      expect(config).toMatchObject({
        model: { width: size.width },
        training: { steps: 1500 },
        tokenizer: { kind: textBytes > 1e7 ? 'bpe' : 'characters' },
      });
    }
  });
});

describe('clm init', () => {
  it('writes a valid config, and never overwrites one', async () => {
    const args = ['init', '--text', at('my text.txt'), '--minutes', '0.05', '--output', at('mine.yaml')];
    const { code, stderr } = await clm(args);
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: expect.stringMatching(/wrote .*mine\.yaml: \d+ layers of width \d+, [\d,]+ steps/),
    });
    const config = loadConfig(at('mine.yaml'));
    expect(config.name).toBe('my-text');
    expect(config.corpus.sources[0]!.path).toBe(at('my text.txt'));
    const before = readFileSync(at('mine.yaml'), 'utf8');
    expect(await clm(args)).toMatchObject({ code: 2, stderr: expect.stringContaining('already exists') });
    expect(readFileSync(at('mine.yaml'), 'utf8')).toBe(before);
  });

  it('accepts a folder, and JSON lines with the text in a field', async () => {
    mkdirSync(at('folder/inner'), { recursive: true });
    for (const name of ['a.txt', 'inner/b.txt'])
      writeFileSync(at(`folder/${name}`), 'The cat sat on the mat. '.repeat(1000));
    writeFileSync(at('rows.jsonl'), '{"body":"The cat sat on the mat."}\n'.repeat(500));
    const [folderOf, rows] = await Promise.all([
      clm(['init', '--text', at('folder'), '--minutes', '0.05', '--output', at('folder.yaml'), '--quiet']),
      clm([
        'init',
        '--text',
        at('rows.jsonl'),
        '--field',
        'body',
        '--minutes',
        '0.05',
        '--output',
        at('rows.yaml'),
        '--quiet',
      ]),
    ]);
    expect([folderOf, rows]).toEqual([
      { code: 0, stdout: '', stderr: '' },
      { code: 0, stdout: '', stderr: '' },
    ]);
    expect(loadConfig(at('folder.yaml'))).toMatchObject({
      name: 'folder',
      tokenizer: { kind: 'characters' },
      corpus: { validation: { tail: 0.1 } },
    });
    expect(loadConfig(at('rows.yaml')).corpus.sources[0]).toMatchObject({ path: at('rows.jsonl'), field: 'body' });
  });

  it('asks on a terminal until the answer is valid', async () => {
    const [text, minutes] = ['folder\\):', '\\[5\\]'];
    const answers: TerminalStep[] = [
      [text, '/nothing/there\n'],
      [text, `${at('my text.txt')}\n`],
      [minutes, 'soon\n'],
      [minutes, '0.05\n'],
    ];
    const { code, output } = await clmAtTerminal(['init', '--output', at('asked.yaml')], answers);
    expect(code).toBe(0);
    expect(output).toMatch(
      /no such file or folder: \/nothing\/there[^]*--minutes must be a number[^]*wrote .*asked\.yaml/,
    );
    expect(loadConfig(at('asked.yaml')).name).toBe('my-text');
    const left = await clmAtTerminal(['init', '--output', at('left.yaml')], [[text, ctrlD]]);
    expect({ code: left.code, exists: existsSync(at('left.yaml')) }).toEqual({ code: 2, exists: false });
    expect(left.output).toContain('There was no answer');
  });

  it.each([
    [['init'], /--text is missing/],
    [['init', '--text', '/nothing/there', '--minutes', '1'], /no such file or folder: \/nothing\/there/],
    [['init', '--text', 'README.md', '--minutes', '-1', '--output', '/tmp/never.yaml'], /--minutes must be/],
  ])('refuses %j', async (args, message) => {
    expect(await clm(args)).toMatchObject({ code: 2, stderr: expect.stringMatching(message) });
  });
});
