import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeRun } from '../experiments/runFolders.ts';
import { root } from './clm.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'clm-output-'));
  writeFileSync(path.join(folder, 'text.txt'), 'The cat sat on the mat. '.repeat(60));
  writeFileSync(
    path.join(folder, 'tiny.yaml'),
    `corpus: { sources: [{ path: text.txt }] }
tokenizer: { kind: bytes }
model: { layers: 1, heads: 2, width: 16, contextLength: 8 }
training: { microBatchSize: 3, steps: 3 }
schedule: { warmupSteps: 1 }
samples: { everySteps: null }
`,
  );
  writeRun(path.join(folder, 'done'), { losses: [3, 2], steps: 2, evaluations: [[2, 1.5]] });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a line of the shell in the folder; `clm` is the built program. */
function shell(line: string): Promise<{ code: number; stdout: string; stderr: string }> {
  const clm = `clm() { '${process.execPath}' '${path.join(root, 'dist/cli/main.js')}' "$@"; }`;
  return new Promise((resolve) => {
    execFile('bash', ['-c', `${clm}\n${line}`], { cwd: folder }, (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr }),
    );
  });
}

const full = 'the disk is full. Free some space, or choose another place.\n';

describe.skipIf(!existsSync('/dev/full'))('a full disk', () => {
  it.each([
    '--help',
    '--version',
    'config show tiny.yaml',
    'config schema',
    'completion json',
    'data check tiny.yaml',
    'plan tiny.yaml --no-estimate --json',
    'runs show done',
    'runs watch done',
    'inspect tiny.yaml --text abc',
  ])('behind the stdout of clm %s ends it with exit code 3', async (args) => {
    const { code, stderr } = await shell(`clm ${args} > /dev/full`);
    expect({ code, stderr }).toEqual({ code: 3, stderr: `error: Cannot write to stdout: ${full}` });
  });

  it('in place of a file is named', async () => {
    const { code, stderr } = await shell('clm report done --output /dev/full');
    expect({ code, stderr }).toEqual({ code: 3, stderr: `error: Cannot write /dev/full: ${full}` });
    expect(statSync('/dev/full').isCharacterDevice()).toBe(true); // not replaced by a file
  });

  it('behind --json or stderr does not end a training run', async () => {
    const { code, stderr } = await shell('clm train tiny.yaml --run json --json --quiet > /dev/full');
    expect(code).toBe(0);
    expect(stderr.match(/Cannot write/g)).toHaveLength(1);
    expect(stderr).toMatch(/^warning: Cannot write to stdout: .*\nTraining goes on; .*metrics\.jsonl\n$/);
    expect(await shell('clm train tiny.yaml --run quiet --json 2> /dev/full')).toMatchObject({ code: 0, stderr: '' });
    for (const run of ['json', 'quiet']) {
      expect(readFileSync(path.join(folder, run, 'status.json'), 'utf8')).toContain('"done"');
      expect(existsSync(path.join(folder, run, 'checkpoints/step-00000003'))).toBe(true);
    }
  });
});

it('a file that takes only a part of a text is not taken for written', async () => {
  const { code, stderr } = await shell('ulimit -f 4; clm config schema > part.json');
  expect({ code, stderr }).toEqual({
    code: 3,
    stderr: 'error: Cannot write to stdout: the file grew beyond what the file system or "ulimit -f" allows.\n',
  });
  expect(statSync(path.join(folder, 'part.json')).size).toBe(4096);
});

it('a reader that has seen enough is no failure', async () => {
  const line = 'clm completion json | head -n 1 > /dev/null; echo ${PIPESTATUS[0]}';
  expect(await shell(line)).toEqual({ code: 0, stdout: '0\n', stderr: '' });
});
