/**
 * Executes a sweep. Each run is a separate `clm train` process, so one failure does not end the others, and the losses
 * equal those of the run alone (each process has the same number of threads; the operating system shares the cores).
 * `sweep.jsonl` logs the start and end of each run, and which settings halving has stopped; runs that are done are
 * skipped.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { readEvaluations } from '../../run/readMetrics.ts';
import { runPaths } from '../../run/runPaths.ts';
import { trainedMsIn } from '../../run/trainedTime.ts';
import { summarizeRun, type RunSummary } from '../runSummary.ts';
import { decide, isBeforeEnd, pauseOf, settingCount, stepAt, type HalvingEvent, type Rung } from './halving.ts';
import { isOver, type PlannedRun } from './planSweep.ts';
import type { Halving } from './sweepFile.ts';
import { isProcess, noteSweep, sweepLogFile, sweepNotes } from './sweepLog.ts';

export type SweepEvent =
  | { kind: 'started'; run: string; pid: number | null }
  | { kind: 'skipped'; run: string; summary: RunSummary }
  | { kind: 'done'; run: string; summary: RunSummary; elapsedMs: number }
  | { kind: 'stopped'; run: string }
  /** The run has come to a rung of halving. */
  | { kind: 'paused'; run: string; summary: RunSummary; elapsedMs: number }
  | HalvingEvent
  /** A module that is handed the facts of the run (`--log`) has failed. */
  | { kind: 'warning'; run: string; message: string }
  | { kind: 'failed'; run: string; reason: string; exitCode: number };

interface SweepOptions {
  /** Absolute path of the base config. */
  config: string;
  /** Folder of the run directories. */
  output: string;
  /** Maximum number of processes at once. */
  jobs: number;
  /** How many processes train each run. */
  processes: number;
  halving: Halving | null;
  /** Values of `--log` for each run. */
  logs: readonly string[];
  /** Run failed runs again; they fail again unless the cause of the failure is gone. */
  retry: boolean;
  /** How to start clm: Node.js and the script. */
  program: readonly [string, string];
  signal: AbortSignal;
  report: (event: SweepEvent) => void;
}

/** What `sweep.jsonl` holds of an event. */
const loggedFields = ['kind', 'run', 'pid', 'reason', 'exitCode'];

/** Trains some runs up to a rung, or to their end. */
type Stage = (runs: readonly PlannedRun[], rung?: Rung) => Promise<void>;

/** Exit codes of a run that saved and stopped on a signal; see stopSignals.ts. */
const { SIGINT, SIGTERM, SIGHUP, SIGXCPU, SIGUSR2 } = constants.signals;
const stopCodes = [SIGINT, SIGTERM, SIGHUP, SIGXCPU, SIGUSR2].map((signal) => 128 + signal);

/** Executes the runs that are not done. After an abort it starts no more and waits for those that are running. */
export async function runSweep(runs: readonly PlannedRun[], options: SweepOptions): Promise<void> {
  noteSweep(
    options.output,
    runs.map(({ name }) => name),
  );
  const known = new Set<string>(); // runs that were over before, and have been reported
  const stage: Stage = async (staged, rung) => {
    const waiting = [...staged];
    const worker = async (): Promise<void> => {
      for (let run = waiting.shift(); run !== undefined && !options.signal.aborted; run = waiting.shift()) {
        await executeRun(run, rung, known, options);
      }
    };
    await Promise.all(Array.from({ length: Math.min(options.jobs, staged.length) }, worker));
  };
  const kept = options.halving === null ? runs : await halve(runs, options.halving, stage, options);
  if (!options.signal.aborted) await stage(kept);
}

/** Trains all runs from rung to rung, each time those that are left. @returns the runs to train to their end */
async function halve(
  runs: readonly PlannedRun[],
  halving: Halving,
  stage: Stage,
  { output, signal, report, retry }: SweepOptions,
): Promise<readonly PlannedRun[]> {
  const directoryOf = (name: string): string => join(output, name);
  const areAllOver = (): boolean =>
    runs.every(({ name, plan }) => isOver(summarizeRun(directoryOf(name)), plan.steps, retry));
  const { factor, unit } = halving;
  for (let amount = halving.from; settingCount(runs) > 1; amount *= factor) {
    const rung = { unit, amount };
    if (!isBeforeEnd(rung, runs)) break;
    await stage(runs, rung);
    if (signal.aborted || areAllOver()) break;
    const { event, isNew } = decide(rung, halving, runs, output, directoryOf);
    if (isNew) appendFileSync(sweepLogFile(output), `${JSON.stringify(event)}\n`);
    report(event);
    runs = runs.filter(({ name }) => event.kept.includes(name));
  }
  return runs;
}

/** @param known runs that were over before, and have been reported; this one is added */
async function executeRun(
  run: PlannedRun,
  rung: Rung | undefined,
  known: Set<string>,
  options: SweepOptions,
): Promise<void> {
  const { name, set, plan } = run;
  const { output, signal, report, retry } = options;
  const directory = join(output, name);
  const log = (event: SweepEvent): void => {
    const line = JSON.stringify(event, loggedFields);
    if (event.kind !== 'skipped') appendFileSync(sweepLogFile(output), `${line}\n`);
    report(event);
  };
  await earlierProcessEnded(output, name, directory, signal);
  if (signal.aborted) return;
  const before = summarizeRun(directory);
  if (isOver(before, plan.steps, retry)) {
    if (!known.has(name)) log({ kind: 'skipped', run: name, summary: before });
    return void known.add(name);
  }
  const pause = rung && pauseOf(rung, run);
  if (pause && hasReached(rung!, run, before, directory, pause.text)) return;

  const beganMs = performance.now();
  const overrides = set.flatMap((assignment) => ['--set', assignment]);
  const logs = options.logs.flatMap((target) => ['--log', target]);
  const until = pause ? ['--until', pause.text] : [];
  const processes = options.processes > 1 ? ['--processes', String(options.processes)] : [];
  const more = [...until, ...processes, ...overrides, ...logs];
  const args = ['train', options.config, '--run', directory, '--resume', '--quiet', ...more];
  // Detached, or the terminal would send Ctrl-C to the run as well as to this process, which passes it on. If this
  // process is killed, the IPC channel closes: the run then saves and stops.
  const child = spawn(options.program[0], [options.program[1], ...args], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    detached: true,
  });
  log({ kind: 'started', run: name, pid: child.pid ?? null });
  const stop = (): void => void child.kill('SIGTERM');
  signal.addEventListener('abort', stop);
  const { exitCode, errors } = await ended(child, (message) => report({ kind: 'warning', run: name, message }));
  signal.removeEventListener('abort', stop);
  if (exitCode === 0) {
    const summary = summarizeRun(directory);
    const isPaused = summary.state === 'stopped' && (summary.reason ?? '').startsWith('--until');
    if (!isPaused) known.add(name);
    log({ kind: isPaused ? 'paused' : 'done', run: name, summary, elapsedMs: performance.now() - beganMs });
  }
  if (exitCode === 0) return;
  if (signal.aborted && (exitCode === null || stopCodes.includes(exitCode))) log({ kind: 'stopped', run: name });
  else log({ kind: 'failed', run: name, reason: reasonOf(errors, exitCode), exitCode: exitCode ?? 1 });
}

/** Whether an earlier process has brought a run to a rung, and evaluated it there. */
function hasReached(
  rung: Rung,
  { plan }: PlannedRun,
  { step, state, reason }: RunSummary,
  directory: string,
  until: string,
): boolean {
  if (state === 'stopped' && reason === `--until ${until}`) return true;
  const { metrics } = runPaths(directory);
  const rungStep = stepAt(rung, plan);
  if (rungStep === null) return trainedMsIn(metrics) >= rung.amount;
  return step >= rungStep && readEvaluations(metrics).some((each) => each.step >= rungStep);
}

const maxErrorCharacters = 10_000;

/** @param warn called with warnings of the run about its `--log` */
function ended(
  child: ChildProcess,
  warn: (message: string) => void,
): Promise<{ exitCode: number | null; errors: string }> {
  let errors = '';
  createInterface({ input: child.stderr! }).on('line', (line) => {
    errors = `${errors}${line}\n`.slice(-maxErrorCharacters);
    const warning = /^warning: (--log .*)/.exec(line)?.[1];
    if (warning !== undefined) warn(warning);
  });
  return new Promise((resolve, reject) =>
    child.once('error', reject).once('close', (exitCode) => resolve({ exitCode, errors })),
  );
}

/** The error message that the run printed, without colours and the `error:` before it. */
function reasonOf(errors: string, exitCode: number | null): string {
  const plain = errors.replace(/\x1b\[[0-9;]*m/g, '');
  const message = /(?:^|\n)error: ([^\n]+)/.exec(plain)?.[1];
  return message ?? (exitCode === null ? 'ended by a signal' : `exit code ${exitCode}`);
}

/**
 * Waits for the process of an earlier, killed sweep that may still be saving this run: two processes must not write to
 * one run directory. It is identified by its process id and, on Linux, by the run directory on its command line.
 */
async function earlierProcessEnded(
  output: string,
  name: string,
  directory: string,
  signal: AbortSignal,
): Promise<void> {
  const pid = lastPid(output, name);
  while (pid !== null && isProcess(pid, directory) && !signal.aborted) await sleep(100);
}

function lastPid(output: string, name: string): number | null {
  const last = sweepNotes(output).findLast(({ run }) => run === name);
  return last?.['kind'] === 'started' && typeof last['pid'] === 'number' ? last['pid'] : null;
}
