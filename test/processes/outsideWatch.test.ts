/** Whether a process of this machine gets on, as the kernel tells another: with real processes. */
import { spawn } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { watchFromOutside } from '../../src/processes/outsideWatch.ts';

const busy = 'setInterval(() => { const end = performance.now() + 40; while (performance.now() < end); }, 50)';

/** What is said of a process within a few times the watchdog. */
async function saidOf(code: string, { mayWait, signal }: { mayWait: boolean; signal?: NodeJS.Signals }) {
  const child = spawn(process.execPath, ['-e', `${code}; console.log()`], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  if (signal !== undefined) child.kill(signal);
  try {
    return await new Promise<string | undefined>((resolve) => {
      const forget = watchFromOutside(child.pid!, { watchdogMs: 400, mayWait }, resolve);
      setTimeout(() => {
        forget();
        resolve(undefined);
      }, 600);
    });
  } finally {
    child.kill('SIGKILL');
  }
}

describe.runIf(process.platform === 'linux')('watchFromOutside', () => {
  it('sees that a process is stopped or does nothing, and that one computes or may wait', async () => {
    const idle = 'setInterval(() => {}, 1000)';
    const said = await Promise.all([
      saidOf(busy, { mayWait: true, signal: 'SIGSTOP' }),
      saidOf(busy, { mayWait: false, signal: 'SIGSTOP' }),
      saidOf(idle, { mayWait: false }),
      saidOf(idle, { mayWait: true }),
      saidOf(busy, { mayWait: false }),
    ]);
    expect(said).toEqual([
      expect.stringContaining('has been stopped'),
      expect.stringContaining('has been stopped'),
      expect.stringContaining('has made no progress'),
      undefined,
      undefined,
    ]);
  });
});
