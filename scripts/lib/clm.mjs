/** The built program as a process, and what scripts that start processes share. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** The project's folder. */
export const root = path.resolve(import.meta.dirname, '../..');
/** The file that `node` runs as clm. */
export const program = path.join(root, 'dist/cli/main.js');

/**
 * Runs a command to its end.
 * @param {string} command
 * @param {string[]} args
 * @param {import('node:child_process').SpawnSyncOptions} [options]
 * @returns {string} what it printed on stdout
 * @throws Error with its stderr if it ends with another exit code than 0
 */
export function run(command, args, options) {
  const { status, signal, stdout, stderr, error } = spawnSync(command, args, {
    ...{ cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 },
    ...options,
  });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status ?? signal}\n${stderr ?? ''}`);
  return String(stdout ?? '');
}

/** Runs clm to its end; returns its stdout. @param {...string} args */
export const clm = (...args) => run(process.execPath, [program, ...args]);

/** `--set` for each key of a config. @param {Record<string, unknown>} values */
export const settings = (values) => Object.entries(values).flatMap(([key, value]) => ['--set', `${key}=${value}`]);

/** Output in JSON lines, parsed. @param {string} text @returns {any[]} */
export const jsonLines = (text) =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

/** A new temporary folder, removed when the script ends. @param {string} name @param {string} [parent] */
export function scratchFolder(name, parent = os.tmpdir()) {
  const folder = mkdtempSync(path.join(parent, `clm-${name}-`));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(signal, () => process.exit(1));
  return folder;
}

/** @param {string} line */
export const print = (line) => void process.stdout.write(`${line}\n`);
