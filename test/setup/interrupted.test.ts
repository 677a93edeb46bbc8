// Ctrl-C in the set-up: what it has started ends with it, also programs that its programs have started.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { fillCache, scratchProject } from './scratchProject.ts';

/** Whether a process runs; one that has ended but that nobody has waited for does not. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const stat = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : '';
  return !/\) Z /.test(stat);
}

test.each(['SIGINT', 'SIGTERM'] as const)('%s ends the compiler and the parts that it has started', async (signal) => {
  const project = scratchProject();
  fillCache(project);
  // A shell's background process ignores SIGINT.
  project.stub(
    'c++',
    '/bin/sleep 300 > /dev/null 2>&1 & echo "$$ $!" > "$HOME/pids.new"; /bin/mv "$HOME/pids.new" "$HOME/pids"; wait',
  );
  const setUp = project.start('scripts/setup.mjs', ['--device', 'cpu']);
  onTestFinished(() => void setUp.kill('SIGKILL'));
  let output = '';
  setUp.stderr?.on('data', (text: Buffer) => (output += text.toString()));
  const file = path.join(project.directory, '../pids');
  await expect.poll(() => existsSync(file), { timeout: 60_000 }).toBe(true);
  const pids = readFileSync(file, 'utf8').split(' ').map(Number);
  expect(pids.map(isRunning)).toEqual([true, true]);
  const ended = new Promise((resolve) => setUp.once('close', (_, by) => resolve(by)));
  setUp.kill(signal);
  expect(await ended).toBe(signal);
  await expect.poll(() => pids.map(isRunning)).toEqual([false, false]);
  expect(output).not.toContain('could not compile'); // the end of the compiler is not reported as its failure
});
