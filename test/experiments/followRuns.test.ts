import { spawn } from 'node:child_process';
import { appendFileSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { followRuns, runningIn } from '../../src/experiments/followRuns.ts';
import { useTemporaryFolder } from '../temporaryFolder.ts';
import { writeRun } from './runFolders.ts';

const folder = useTemporaryFolder();
const at = (name: string) => path.join(folder(), name);
const finished = (name: string) => writeRun(at(name), { losses: [2, 1], evaluations: [[2, 1.5]] });
/** A run that seems to train, since it has written just now. */
const running = (name: string) => writeRun(at(name), { losses: [3, 2], steps: 9 });
const hourAgo = () => Date.now() / 1000 - 3600;

describe('runs that are followed', () => {
  it('are joined by those that begin in their folder, until none trains', () => {
    finished('a');
    const first = running('b');
    const followed = followRuns([folder()]);
    expect(followed.look().map(({ run, records }) => [run.name, records.length])).toEqual([
      ['a', 3],
      ['b', 2],
    ]);
    expect(followed.areOver()).toBe(false);
    running('c');
    expect(followed.look().map(({ run, records }) => [run.name, records.length])).toEqual([
      ['a', 0],
      ['b', 0],
      ['c', 2],
    ]);
    for (const name of ['b', 'c']) utimesSync(path.join(at(name), 'metrics.jsonl'), hourAgo(), hourAgo());
    expect(first).toBe(at('b'));
    followed.look();
    expect(followed.areOver()).toBe(true);
  });

  it('say what the process does that resumed a run, and what the run has', () => {
    const run = writeRun(at('a'), { losses: [3, 2, 2], steps: 9 });
    const resumed = [4, 5].map((step) => JSON.stringify({ kind: 'step', step, loss: 1, elapsedMs: 70 * (step - 3) }));
    appendFileSync(path.join(run, 'metrics.jsonl'), `${resumed.join('\n')}\n`);
    const [looked] = followRuns([run]).look();
    expect(looked!.run).toMatchObject({ resumedAt: 3, elapsedMs: 140, trainedMs: 300 + 140, summary: { step: 5 } });
    expect(looked!.run.training.at(-1)).toEqual([5, expect.closeTo(2.4661, 4)]);
  });

  it('of a sweep are not over while it has runs to come', async () => {
    mkdirSync(at('rates'));
    expect(() => followRuns([at('rates')])).toThrow(/neither is a run directory nor contains one, and no sweep/);
    const sweep = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)', 'sweep'], { stdio: 'ignore' });
    try {
      const note = { kind: 'sweep', pid: sweep.pid, runs: ['a', 'b', 'c'] };
      writeFileSync(at('rates/sweep.jsonl'), `${JSON.stringify(note)}\n`);
      await expect.poll(() => followRuns([at('rates')]).waiting()).toBe(3);
      const followed = followRuns([at('rates')]);
      finished('rates/a');
      expect(followed.look().map(({ run }) => run.name)).toEqual(['a']);
      expect([followed.waiting(), followed.areOver()]).toEqual([2, false]);
      running('rates/b');
      expect(runningIn(folder())).toEqual([at('rates')]); // the next of its runs come too
      sweep.kill('SIGKILL');
      await new Promise((resolve) => sweep.once('close', resolve));
      utimesSync(at('rates/b/metrics.jsonl'), hourAgo(), hourAgo());
      followed.look();
      expect([followed.waiting(), followed.areOver()]).toEqual([0, true]);
    } finally {
      sweep.kill('SIGKILL');
    }
  });

  it('are those that train now, if none is named', () => {
    finished('a');
    expect(() => runningIn(folder())).toThrow(/No run below .* is training now\. .* clm runs lists them\.$/);
    expect(() => runningIn(at('nothing'))).toThrow(/There are none yet\.$/);
    running('b');
    running('c');
    expect(runningIn(folder())).toEqual([at('b'), at('c')]);
  });
});
