import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ctrlC, type TerminalStep } from './atTerminal.ts';
import { root } from './clm.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'clm-signals-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/**
 * A program that handles signals as clm does, prints "ready", and ends after `ms` with the exit code of the signals.
 */
function programOf(name: string, ms: number, options: string, setUp: string): string[] {
  const file = path.join(folder, `${name}.mjs`);
  writeFileSync(
    file,
    `import { stopSignals } from '${path.join(root, 'dist/cli/stopSignals.js')}';
const signals = stopSignals({ doing: () => 'saving', again: 'stops at once', ${options} });
${setUp}
setTimeout(() => { process.exitCode = 40 + signals.exitCode(); signals.close(); }, ${ms});
console.log('ready');
`,
  );
  return [process.execPath, file];
}

async function atTerminal(program: string[], steps: TerminalStep[]): Promise<number> {
  const args = [path.join(root, 'test/cli/terminal.py'), JSON.stringify(steps), 'null', ...program];
  const { stdout } = await promisify(execFile)('python3', args);
  return (JSON.parse(stdout) as { code: number }).code;
}

function inPipes([file, ...args]: string[], names: NodeJS.Signals[]): Promise<number | null> {
  const child = spawn(file!, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  child.stdout.once('data', () => names.forEach((name) => child.kill(name)));
  return new Promise((resolve) => child.on('close', resolve));
}

const blocked = `signals.signal.addEventListener('abort', () =>
  setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1400)));`;

describe.concurrent('signals to stop', () => {
  it('take another Ctrl-C for an answer a second after the offer', async () => {
    const program = programOf('answered', 20_000, '', '');
    const steps: TerminalStep[] = [
      ['ready', ctrlC],
      ['another Ctrl-C stops at once', ctrlC],
      ['', ctrlC, 1.4],
    ];
    expect(await atTerminal(program, steps)).toBe(-2);
  });

  it('take no Ctrl-C for an answer that was typed before and is heard later', async () => {
    const program = programOf('blocked', 2000, '', blocked);
    const steps: TerminalStep[] = [
      ['ready', ctrlC],
      ['another Ctrl-C stops at once', ctrlC, 0.2],
    ];
    expect(await atTerminal(program, steps)).toBe(170);
  });

  it('give the exit code of the first, however many come', async () => {
    const more = `signals.signal.addEventListener('abort', () =>
      setInterval(() => process.kill(process.pid, 'SIGTERM'), 5).unref());`;
    expect(await inPipes(programOf('many', 500, '', more), ['SIGHUP'])).toBe(40 + 129);
  });

  it('leave exit code 0 to a stop that came before, e.g. of --max-time', async () => {
    const program = programOf('earlier', 500, '', `signals.stop('--max-time 1s');`);
    expect(await inPipes(program, ['SIGTERM', 'SIGHUP'])).toBe(40);
  });

  it('pass over SIGHUP with --ignore-hangup', async () => {
    const program = programOf('ignoring', 500, 'ignoreHangup: true', '');
    expect(await inPipes(program, ['SIGHUP', 'SIGHUP'])).toBe(40);
  });
});
