import { mkdtempSync, rmSync, utimesSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeRun } from '../../../experiments/runFolders.ts';
import { clm } from '../../clm.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'clm-runs-'));
  const runs = [
    ['a', 1.5, 4],
    ['b', 1.25, 4],
    ['c', 1.75, 9],
  ] as const;
  for (const [name, loss, steps] of runs) {
    writeRun(path.join(folder, name), {
      losses: [3, 2, 2, 1],
      steps,
      evaluations: [
        [0, 4],
        [4, loss],
      ],
    });
    utimesSync(path.join(folder, name, 'metrics.jsonl'), 1e9, 1e9);
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('clm runs', () => {
  it('prints a table, the best first when asked', async () => {
    const { code, stdout, stderr } = await clm(['runs', folder, '--sort', 'loss', '--state', 'done']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const [titles, ...rows] = stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.split(/ {2,}/));
    expect(titles).toEqual(['name', 'state', 'step', 'best val loss', 'tokens/s', 'age', 'device']);
    expect(rows.map((row) => row.slice(0, 5))).toEqual([
      ['b', 'done', '4/4', '1.2500', '102'],
      ['a', 'done', '4/4', '1.5000', '102'],
    ]);
  });

  it('prints one object per line, filtered by name', async () => {
    const { stdout } = await clm(['runs', folder, '--json', '--name', 'c']);
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toMatchObject([{ name: 'c', state: 'stopped', step: 4, steps: 9, bestValidationLoss: 1.75, device: 'cpu' }]);
  });

  it('shows one run', async () => {
    const { code, stdout } = await clm(['runs', 'show', path.join(folder, 'a')]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/state +done\nstep +4 of 4\n/);
    expect(stdout).toMatch(/\n +4 +1\.5000 +4\.48 /);
  });

  it('prints lines in a pipe until all runs have ended', async () => {
    const { code, stdout } = await clm(['runs', 'watch', path.join(folder, 'a'), path.join(folder, 'b')]);
    expect(code).toBe(0);
    expect(stdout).not.toContain('\x1b');
    expect(stdout).toContain('b: step 4  validation loss 1.2500\n');
    const losses = 'validation loss 1.5000  training loss 2.6290 smoothed, 1.0000 at the last step';
    expect(stdout).toContain(`\na: done  step 4/4  ${losses}  102 tokens/s\nb: done  step 4/4  `);
  });

  it('ends JSON lines with a line for each run', async () => {
    const { stdout } = await clm(['runs', 'watch', path.join(folder, 'a'), '--json']);
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toHaveLength(7);
    expect(lines[0]).toMatchObject({ run: path.join(folder, 'a'), kind: 'evaluation', step: 0 });
    expect(lines.at(-1)).toMatchObject({ kind: 'run', name: 'a', state: 'done', step: 4, trainedMs: 400 });
  });

  it('says what to do if nothing trains', async () => {
    const { code, stdout, stderr } = await clm(['runs', 'watch'], undefined, undefined, folder);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^error: No run below runs is training now\. Start one \(clm train CONFIG\), or name/);
  });

  it.each([[['runs', '/nothing/there']], [['runs', 'show', '/nothing/there']]])('refuses %j', async (args) => {
    const { code, stderr } = await clm(args);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error: .*\/nothing\/there/);
  });
});
