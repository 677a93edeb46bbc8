/**
 * Running a sweep: each run is a `clm train` of its own, so that a failing one takes no other with it and its losses
 * are those of the run made singly (every process has the same threads; the operating system shares the cores).
 * `sweep.jsonl` notes what began and how it ended; what is done is not done again.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { summarizeRun, type RunSummary } from '../runSummary.ts';
import type { SweepRun } from './expandSweep.ts';

export type SweepFact =
  | { kind: 'started'; run: string; pid: number | null }
  | { kind: 'skipped'; run: string; summary: RunSummary }
  | { kind: 'done'; run: string; summary: RunSummary; elapsedMs: number }
  | { kind: 'stopped'; run: string }
  | { kind: 'failed'; run: string; reason: string; exitCode: number };

interface SweepOptions {
  /** Absolute path of the base config, and folder of the run directories. */
  config: string;
  output: string;
  /** Processes at a time. */
  jobs: number;
  /** Make failed runs again, which diverge again unless what made them fail has changed. */
  retry: boolean;
  /** The program: Node.js and the file of clm. */
  program: readonly [string, string];
  signal: AbortSignal;
  report: (fact: SweepFact) => void;
}

/** Exit codes of a run that was asked to stop, and saved. */
const stopCodes = [129, 130, 143];

/** Makes the runs that are not done; returns when all have ended, or those under way after the signal. */
export async function runSweep(runs: readonly SweepRun[], options: SweepOptions): Promise<void> {
  const waiting = [...runs];
  const worker = async (): Promise<void> => {
    for (let run = waiting.shift(); run !== undefined && !options.signal.aborted; run = waiting.shift()) {
      await makeRun(run, options);
    }
  };
  await Promise.all(Array.from({ length: Math.min(options.jobs, runs.length) }, worker));
}

async function makeRun({ name, set }: SweepRun, options: SweepOptions): Promise<void> {
  const { output, signal, report, retry } = options;
  const directory = join(output, name);
  const note = (fact: SweepFact): void => {
    const { kind, run } = fact;
    const rest =
      fact.kind === 'failed'
        ? { reason: fact.reason, exitCode: fact.exitCode }
        : fact.kind === 'started'
          ? { pid: fact.pid }
          : {};
    if (kind !== 'skipped') appendFileSync(join(output, 'sweep.jsonl'), `${JSON.stringify({ kind, run, ...rest })}\n`);
    report(fact);
  };
  await endOfEarlierProcess(output, name, directory, signal);
  if (signal.aborted) return;
  const before = summarizeRun(directory);
  if (before.state === 'done' || (before.state === 'failed' && !retry))
    return note({ kind: 'skipped', run: name, summary: before });

  const beganMs = performance.now();
  const args = [
    'train',
    options.config,
    '--run',
    directory,
    '--resume',
    '--quiet',
    ...set.flatMap((assignment) => ['--set', assignment]),
  ];
  // A process group of its own, or Ctrl-C would reach it twice; a channel, by whose end it sees that the sweep is gone.
  const child = spawn(options.program[0], [options.program[1], ...args], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    detached: true,
  });
  note({ kind: 'started', run: name, pid: child.pid ?? null });
  const stop = (): void => void child.kill('SIGTERM');
  signal.addEventListener('abort', stop);
  const { exitCode, errors } = await ended(child);
  signal.removeEventListener('abort', stop);
  if (exitCode === 0)
    note({ kind: 'done', run: name, summary: summarizeRun(directory), elapsedMs: performance.now() - beganMs });
  else if (signal.aborted && (exitCode === null || stopCodes.includes(exitCode))) note({ kind: 'stopped', run: name });
  else note({ kind: 'failed', run: name, reason: reasonOf(errors, exitCode), exitCode: exitCode ?? 1 });
}

const maxErrorCharacters = 10_000;

function ended(child: ChildProcess): Promise<{ exitCode: number | null; errors: string }> {
  let errors = '';
  child.stderr?.on('data', (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(-maxErrorCharacters)));
  return new Promise((resolve, reject) =>
    child.once('error', reject).once('close', (exitCode) => resolve({ exitCode, errors })),
  );
}

/** The message of the run, without its colour and its mark. */
function reasonOf(errors: string, exitCode: number | null): string {
  const plain = errors.replace(/\x1b\[[0-9;]*m/g, '');
  const message = /(?:^|\n)error: ([^\n]+)/.exec(plain)?.[1];
  return message ?? (exitCode === null ? 'ended by a signal' : `exit code ${exitCode}`);
}

/**
 * Where a sweep was killed, the process of its run may still be about to save: two on one directory would spoil it.
 * The process is known by its id and, where the system tells, by the run directory on its command line.
 */
async function endOfEarlierProcess(
  output: string,
  name: string,
  directory: string,
  signal: AbortSignal,
): Promise<void> {
  const pid = lastPid(output, name);
  while (pid !== null && isTraining(pid, directory) && !signal.aborted) await sleep(100);
}

function lastPid(output: string, name: string): number | null {
  try {
    const lines = readFileSync(join(output, 'sweep.jsonl'), 'utf8').trimEnd().split('\n');
    const last = lines.map((line) => JSON.parse(line) as Record<string, unknown>).findLast(({ run }) => run === name);
    return last?.['kind'] === 'started' && typeof last['pid'] === 'number' ? last['pid'] : null;
  } catch {
    return null; // no sweep has run here, or its last note is torn
  }
}

function isTraining(pid: number, directory: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(directory);
  } catch {
    if (process.platform === 'linux') return false;
  }
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
