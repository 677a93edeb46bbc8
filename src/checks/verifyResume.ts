/**
 * Checks that stopping changes nothing: trains N steps without a stop, and again with stops and resumes, then compares
 * every record of the log, parameters, optimizer and cursor bit by bit.
 */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { loadCheckpoint, type Checkpoint } from '../checkpoint/checkpoint.ts';
import { checkpointPath } from '../run/findCheckpoint.ts';
import { runPaths } from '../run/runPaths.ts';
import type { NamedTensor } from '../tensors/tensors.ts';
import { wrongInput } from '../errors.ts';
import { findConfig, prepareTraining } from '../training/prepare.ts';
import { runTraining } from '../training/run.ts';
import type { Mode } from '../runtime/session.ts';

interface ResumeCheck {
  steps: number;
  /** Steps after which the second run was stopped. */
  stops: number[];
  equal: boolean;
  /** The first difference, in words; null if there is none. */
  difference: string | null;
}

interface ResumeCheckRequest {
  configPath: string;
  set: readonly string[];
  steps: number;
  stops: number[];
  /** For the two runs; must be empty or absent. */
  folder: string;
  mode: Mode;
  signal: AbortSignal;
}

/** @throws wrongInput if the config does not allow the run, or the stops are not within it */
export async function verifyResume(request: ResumeCheckRequest): Promise<ResumeCheck> {
  const { steps, stops, folder } = request;
  if (stops.some((stop, i) => stop <= (stops[i - 1] ?? 0) || stop >= steps)) {
    throw wrongInput(`The stops (${stops.join(', ')}) must be ascending numbers from 1 to ${steps - 1}.`);
  }
  const straight = path.join(folder, 'straight');
  const stopped = path.join(folder, 'stopped');
  await trainUntil(request, straight, false, undefined);
  for (const [i, stop] of [...stops, undefined].entries()) await trainUntil(request, stopped, i > 0, stop);
  const difference =
    firstRecordDifference(await logOf(straight), await logOf(stopped)) ??
    stateDifference(await finalState(straight, steps), await finalState(stopped, steps));
  return { steps, stops, equal: difference === null, difference };
}

async function trainUntil(
  request: ResumeCheckRequest,
  runDirectory: string,
  resume: boolean,
  stop: number | undefined,
): Promise<void> {
  const { configPath, steps, mode, signal } = request;
  const set = [...request.set, 'training.tokens=null', 'training.epochs=null', `training.steps=${steps}`];
  const prepared = await unlessAborted(
    prepareTraining(findConfig({ config: configPath, runDirectory, set, resume })),
    signal,
  );
  const stopping = new AbortController();
  const { outcome } = await runTraining(prepared, {
    mode,
    signal: AbortSignal.any([signal, stopping.signal]),
    report: (fact) => {
      if (fact.kind === 'step' && fact.step === stop) stopping.abort('a stop of the comparison');
    },
  });
  signal.throwIfAborted();
  if (stop !== undefined && outcome.step !== stop) throw new Error(`stopped after ${outcome.step}, not ${stop}`);
}

/** The result of work that may be abandoned. @throws the reason of the signal once it aborts */
function unlessAborted<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  const aborted = new Promise<never>((_, reject) => {
    const abort = (): void => reject(signal.reason as unknown);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
  });
  aborted.catch(() => undefined); // matters only while there is work
  return Promise.race([work, aborted]);
}

type LogRecord = Record<string, unknown>;

/** The records by step, without times and paths. A checkpoint is logged once it is complete, some steps later. */
async function logOf(runDirectory: string): Promise<LogRecord[]> {
  const lines = (await readFile(runPaths(runDirectory).metrics, 'utf8')).trimEnd().split('\n');
  const records = lines.map((line) => {
    const { elapsedMs: _, tokensPerSecond: __, path: ___, ...rest } = JSON.parse(line) as LogRecord;
    return rest;
  });
  const isCheckpoint = (record: LogRecord): number => Number(record['kind'] === 'checkpoint');
  return records.sort((a, b) => Number(a['step']) - Number(b['step']) || isCheckpoint(a) - isCheckpoint(b));
}

function firstRecordDifference(straight: readonly LogRecord[], stopped: readonly LogRecord[]): string | null {
  for (let i = 0; i < Math.max(straight.length, stopped.length); i++) {
    const [a, b] = [JSON.stringify(straight[i]), JSON.stringify(stopped[i])];
    if (a !== b)
      return (
        `the logs differ from step ${Number((straight[i] ?? stopped[i])!['step'])} on: ` +
        `without a stop ${a}, with stops ${b}`
      );
  }
  return null;
}

const finalState = (runDirectory: string, steps: number): Promise<Checkpoint> =>
  loadCheckpoint(checkpointPath(runDirectory, steps), { optimizer: true });

function stateDifference(straight: Checkpoint, stopped: Checkpoint): string | null {
  for (const part of ['model', 'optimizer'] as const) {
    const difference = tensorDifference(straight[part], stopped[part]);
    if (difference !== null) return difference;
  }
  const [a, b] = [JSON.stringify(straight.state), JSON.stringify(stopped.state)];
  return a === b ? null : `the training state differs: without a stop ${a}, with stops ${b}`;
}

function tensorDifference(straight: readonly NamedTensor[], stopped: readonly NamedTensor[]): string | null {
  for (const [i, { name, values }] of straight.entries()) {
    const other = stopped[i]!.values;
    // Bitwise: NaN equals itself, and 0 differs from −0.
    const [a, b] = [values, other].map((floats) => new Uint32Array(floats.buffer, floats.byteOffset, floats.length));
    const at = a!.findIndex((bits, i) => bits !== b![i]);
    if (at >= 0) return `${name}[${at}] is ${values[at]} without a stop and ${other[at]} with stops`;
  }
  return null;
}
