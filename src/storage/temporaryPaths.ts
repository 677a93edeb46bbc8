/**
 * Temporary files and folders that are removed however the program ends, except by SIGKILL or a crash. In a program of
 * somebody else's, signals are not clm's business: there they are removed at its exit alone.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const paths = new Set<string>();
let isWatching = false;
let isProgram = false;

/** To be called by clm's own program at its start: signals that end it remove the paths too. */
export const removeOnSignals = (): void => void (isProgram = true);

/** Removes the path at the end of the process; see `removeOnSignals`. @returns to be called once it is gone */
export function removeAtEnd(path: string): () => void {
  paths.add(path);
  if (!isWatching) watchEnd();
  return () => void paths.delete(path);
}

/** A new folder below the system's for temporary files. */
export function temporaryFolder(prefix: string): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), prefix));
  const done = removeAtEnd(path);
  return {
    path,
    remove: () => {
      rmSync(path, { recursive: true, force: true });
      done();
    },
  };
}

function removeAll(): void {
  for (const path of paths) rmSync(path, { recursive: true, force: true });
  paths.clear();
}

function watchEnd(): void {
  isWatching = true;
  process.once('exit', removeAll);
  if (!isProgram) return;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const handler = (): void => {
      if (process.listenerCount(signal) > 1) return; // the command itself decides what the signal does
      removeAll();
      process.removeListener(signal, handler);
      process.kill(process.pid, signal);
    };
    process.on(signal, handler);
  }
}
