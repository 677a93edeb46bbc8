/** Finds run directories: below a folder, or those that the arguments of a command name. */
import { existsSync, readdirSync, statSync, type Dirent } from 'node:fs';
import { join } from 'node:path';
import { runPaths } from '../run/runPaths.ts';
import { wrongInput } from '../errors.ts';

/** Folders searched below the given one: the runs of a sweep are one folder deeper than single runs. */
const maxDepth = 3;

/** Run directories at and below `folder`, sorted by name; run directories themselves are not searched. */
export function findRuns(folder: string): string[] {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    throw wrongInput(`${folder} is not a folder; clm runs [DIR] lists the runs below DIR (default: runs)`);
  }
  return below(folder, 0);
}

function below(folder: string, depth: number): string[] {
  let entries: Dirent[];
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch {
    return []; // no permission, or just deleted
  }
  if (entries.some(({ name }) => name === 'environment.json' || name === 'metrics.jsonl')) return [folder];
  if (depth === maxDepth) return [];
  return entries
    .filter((entry) => (entry.isDirectory() || entry.isSymbolicLink()) && !entry.name.startsWith('.'))
    .map(({ name }) => join(folder, name))
    .sort()
    .flatMap((path) => below(path, depth + 1));
}

/** The runs that arguments name; each is a run directory or a folder of them, such as a sweep's. */
export function resolveRuns(paths: readonly string[]): string[] {
  const runs = paths.flatMap((path) => {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (!stats) throw wrongInput(`There is no run at ${path}.`);
    if (!stats.isDirectory()) throw wrongInput(`${path} is a file; give a run directory or a folder of them`);
    if (existsSync(runPaths(path).metrics)) return [path];
    const found = existsSync(runPaths(path).environment) ? [path] : findRuns(path);
    if (found.length === 0)
      throw wrongInput(`${path} neither is a run directory nor contains one: no metrics.jsonl was found`);
    return found;
  });
  return [...new Set(runs)];
}
