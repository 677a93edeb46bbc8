/** What a run leaves out is said before its first step, and two configs never become one run. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { clm } from '../../clm.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'clm-left-out-'));
const inFolder = (name: string): string => path.join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));

const config = `
corpus: { sources: [{ path: rows.tsv, emptyRows: skip }], validation: { path: held } }
tokenizer: { kind: bytes }
model: { layers: 1, heads: 1, width: 8, contextLength: 8 }
training: { microBatchSize: 1, steps: 1 }
samples: { everySteps: null }
`;

beforeAll(() => {
  writeFileSync(inFolder('rows.tsv'), 'id\ttext\n1\t"Yes, he said\n2\tNo\n3\tthen "\n4\t\n5\ta longer text\n');
  mkdirSync(inFolder('held'));
  writeFileSync(inFolder('held/a.tsv'), 'id\ttext\n1\tsome more text\n');
  writeFileSync(inFolder('held/.b.tsv'), '');
  for (const name of ['c.yaml', 'мир.yaml', 'a b.yaml', 'a+b.yaml']) writeFileSync(inFolder(name), config);
  writeFileSync(inFolder('my sweep.yaml'), 'config: c.yaml\nseeds: [1, 2]\n');
});

test('train says what it leaves out, and warns of records that look joined', async () => {
  const { code, stderr } = await clm(['train', inFolder('c.yaml'), '--run', inFolder('run')]);
  expect(code, stderr).toBe(0);
  const [before] = stderr.split('done:');
  expect(before).toContain('empty documents left out: 1\n');
  expect(before).toContain(`hidden files and folders left out: 1 (the first: ${inFolder('held/.b.tsv')})`);
  expect(before).toMatch(/warning: 1 record looks as if .* record 2 \(byte 8\) .* set quotes: false in corpus.sources/);
});

test('evaluate and tokenizer train say it too', async () => {
  writeFileSync(inFolder('held/c.tsv'), 'id\ttext\n1\t\n2\tand another one\n3\t\n');
  const evaluated = await clm(['evaluate', inFolder('run')]);
  expect(evaluated.code, evaluated.stderr).toBe(0);
  expect(evaluated.stderr).toContain('empty documents left out: 2\n');
  const [output, size] = [inFolder('tokenizer.json'), '257'];
  const trained = await clm([
    'tokenizer',
    'train',
    '--sources',
    inFolder('held'),
    '--vocabulary-size',
    size,
    '--output',
    output,
  ]);
  expect(trained).toMatchObject({ code: 0, stderr: expect.stringContaining('empty documents left out: 2\n') });
  expect(trained.stderr).toContain(`hidden files and folders left out: 1 (the first: ${inFolder('held/.b.tsv')})`);
  rmSync(inFolder('held/c.tsv'));
  const truncation = { direction: 'Right', max_length: 7, strategy: 'LongestFirst', stride: 0 };
  writeFileSync(inFolder('cut.json'), JSON.stringify({ ...JSON.parse(readFileSync(output, 'utf8')), truncation }));
  expect(await clm(['tokenizer', 'encode', '--tokenizer', inFolder('cut.json'), '--text', 'b'])).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^\d+\n$/),
    stderr: expect.stringContaining('truncation (to 7 tokens)'),
  });
});

describe('a file whose name is not that of its run', () => {
  test.each(['a b.yaml', 'a+b.yaml'])('%s asks for a name', async (file) => {
    const { code, stderr } = await clm(['train', inFolder(file)]);
    expect(code).toBe(2);
    expect(stderr).toContain('another file might become a-b too');
    expect(stderr).toContain('name: a-b in the file, or --run DIR');
  });

  test('so does a sweep', async () => {
    const { code, stderr } = await clm(['sweep', inFolder('my sweep.yaml'), '--dry-run']);
    expect(code).toBe(2);
    expect(stderr).toContain('name: my-sweep in the file, or --output DIR');
    const named = await clm(['sweep', inFolder('my sweep.yaml'), '--dry-run', '--output', inFolder('sweep')]);
    expect(named.code, named.stderr).toBe(0);
    expect(named.stderr).toContain('empty documents left out: 1\n');
    expect(named.stderr).toMatch(/warning: 1 record looks as if/);
    expect(named.stderr).toMatch(/warning: seed-1 and seed-2: schedule.warmupSteps is 100, and the run has 1 step/);
    expect(named.stderr.match(/seed-2/g)).toHaveLength(1);
    expect(existsSync(inFolder('sweep'))).toBe(false);
  });

  test('letters of other scripts stay as they are', async () => {
    const { code, stdout } = await clm(['config', 'show', inFolder('мир.yaml')]);
    expect(code).toBe(0);
    expect(stdout).toContain('name: мир');
  });
});
