import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { withLock } from '../../scripts/setup/lock.mjs';
import { progressOn } from '../../scripts/setup/progress.mjs';
import { projectDirectory } from './scratchProject.ts';

/** A process that takes the lock, runs a program that sleeps, and prints "locked" and the program's process id. */
function holder(lock: string): { process: ChildProcess; sleeper: Promise<number> } {
  const script = `
    import { withLock } from '${projectDirectory}/scripts/setup/lock.mjs';
    import { runProgram } from '${projectDirectory}/scripts/setup/process.mjs';
    import { progressOn } from '${projectDirectory}/scripts/setup/progress.mjs';
    await withLock(process.argv[1], progressOn(true), () =>
      runProgram('sh', ['-c', 'echo $$; exec sleep 60'], { onOutput: (text) => console.log(text) }));
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, lock], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const sleeper = new Promise<number>((resolve) => child.stdout.once('data', (text) => resolve(Number(text))));
  return { process: child, sleeper };
}

test('the lock of a killed set-up is free once the programs it had started have ended too', async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'clm-lock-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const lock = path.join(folder, 'lock');
  const { process: first, sleeper } = holder(lock);
  const sleeperId = await sleeper;
  expect(sleeperId).toBeGreaterThan(0);

  const events: string[] = [];
  const progress = { ...progressOn(true), longStep: (text: string) => void events.push(text) };
  const second = withLock(lock, progress, async () => void events.push('locked'));
  await expect.poll(() => events, { timeout: 20_000 }).toEqual([expect.stringContaining('Another set-up is running')]);

  first.kill('SIGKILL');
  await new Promise((resolve) => first.once('exit', resolve));
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(events).not.toContain('locked'); // the sleeper, like an orphaned npm, may still be writing

  process.kill(sleeperId, 'SIGKILL');
  await second;
  expect(events.at(-1)).toBe('locked');
});
