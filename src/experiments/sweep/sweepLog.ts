/** `sweep.jsonl` in the folder of a sweep: which process trains which runs, and the start and end of each run. */
import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const sweepLogFile = (folder: string): string => join(folder, 'sweep.jsonl');

/** What a sweep was last started with. */
export interface SweepState {
  /** Names of all its runs. */
  runs: string[];
  /** Whether its process lives: runs may still come. */
  isRunning: boolean;
}

/** Notes that this process begins, or continues, a sweep. */
export function noteSweep(folder: string, runs: readonly string[]): void {
  appendFileSync(sweepLogFile(folder), `${JSON.stringify({ kind: 'sweep', pid: process.pid, runs })}\n`);
}

/** @returns undefined if the folder is not that of a sweep, or of one that an older clm trained */
export function sweepState(folder: string): SweepState | undefined {
  const last = sweepNotes(folder).findLast(({ kind }) => kind === 'sweep');
  if (!Array.isArray(last?.['runs']) || typeof last['pid'] !== 'number') return undefined;
  return { runs: last['runs'].map(String), isRunning: isProcess(last['pid'], 'sweep') };
}

/** The notes of a sweep so far; a last line that is not complete is left out. */
export function sweepNotes(folder: string): Record<string, unknown>[] {
  try {
    const lines = readFileSync(sweepLogFile(folder), 'utf8').split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  } catch {
    return []; // no sweep has run here
  }
}

/** Whether a process lives and, where the system tells, has the word on its command line: ids are used again. */
export function isProcess(pid: number, word: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(word);
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
