/** Which run directories there are below a folder, and which one a name on the command line means. */
import { existsSync, readdirSync, statSync, type Dirent } from 'node:fs';
import { join } from 'node:path';
import { runPaths } from '../run/runPaths.ts';
import { wrongInput } from '../errors.ts';

/** Sweeps put their runs one folder deeper; beyond that nobody looks. */
const maxDepth = 3;

/** Run directories at and below `folder`, by name; what lies inside a run is not looked into. */
export function findRuns(folder: string): string[] {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    throw wrongInput(`${folder} is no folder. clm runs [DIR] lists the runs below DIR (default: runs).`);
  }
  return below(folder, 0);
}

function below(folder: string, depth: number): string[] {
  let entries: Dirent[];
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch {
    return []; // not for us to read
  }
  if (entries.some(({ name }) => name === 'environment.json' || name === 'metrics.jsonl')) return [folder];
  if (depth === maxDepth) return [];
  return entries
    .filter((entry) => (entry.isDirectory() || entry.isSymbolicLink()) && !entry.name.startsWith('.'))
    .map(({ name }) => join(folder, name))
    .sort()
    .flatMap((path) => below(path, depth + 1));
}

/** The runs that arguments name: run directories, or folders of them (a sweep's). */
export function resolveRuns(paths: readonly string[]): string[] {
  const runs = paths.flatMap((path) => {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (!stats) throw wrongInput(`There is no run at ${path}.`);
    if (!stats.isDirectory()) throw wrongInput(`${path} is a file; a run is a directory, or a folder of them.`);
    if (existsSync(runPaths(path).metrics)) return [path];
    const found = existsSync(runPaths(path).environment) ? [path] : findRuns(path);
    if (found.length === 0) throw wrongInput(`${path} is no run directory and holds none (no metrics.jsonl).`);
    return found;
  });
  return [...new Set(runs)];
}
