/**
 * A process run to its end and measured. Linux only: memory comes from /proc.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

/**
 * Runs a process to its end: wall time, peak resident memory (polled) and what it printed.
 * @param {string} command
 * @param {string[]} args
 * @param {string} [cwd]
 * @returns {Promise<{ seconds: number, peakMib: number, output: string }>}
 */
export function measureProcess(command, args, cwd) {
  const startMs = performance.now();
  const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  let peakKib = 0;
  child.stdout.on('data', (chunk) => (output += chunk));
  const poll = setInterval(() => {
    try {
      peakKib = Math.max(
        peakKib,
        Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1] ?? 0),
      );
    } catch {
      // the process has just ended
    }
  }, 100);
  return new Promise((resolve, reject) =>
    child.on('close', (code) => {
      clearInterval(poll);
      if (code !== 0) return reject(new Error(`${command} ${args.join(' ')} ended with ${code}`));
      return resolve({ seconds: (performance.now() - startMs) / 1000, peakMib: peakKib / 1024, output });
    }),
  );
}
