/** What a run leaves out is said before its first step, and two configs never become one run. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
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
    expect(existsSync(inFolder('sweep'))).toBe(false);
  });

  test('letters of other scripts stay as they are', async () => {
    const { code, stdout } = await clm(['config', 'show', inFolder('мир.yaml')]);
    expect(code).toBe(0);
    expect(stdout).toContain('name: мир');
  });
});
