// Runs the programs that the set-up needs: npm, python3, the C++ compiler, tsc.

import { spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import path from 'node:path';

/** @typedef {{ status: number | null, signal: string | null, output: string }} Outcome */

/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set();

/** Descriptors of the locks held now (lock.mjs). @type {Set<number>} */
export const heldLocks = new Set();

/**
 * Runs a program to its end and collects what it prints. It inherits the set-up's locks: should the set-up be killed,
 * they hold until the program, which may still be writing, has ended too.
 * @param {string} command
 * @param {string[]} argumentList
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, locks?: number[], onOutput?: (text: string) => void }} [options]
 * @returns {Promise<Outcome>} status null when it was killed or could not be started
 */
export function runProgram(command, argumentList, { cwd, env = process.env, locks = [...heldLocks], onOutput } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, argumentList, { cwd, env, stdio: ['ignore', 'pipe', 'pipe', ...locks] });
    running.add(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text) => {
        output += text;
        onOutput?.(text);
      });
    }
    const finish = (/** @type {number | null} */ status, /** @type {string | null} */ signal) => {
      running.delete(child);
      resolve({ status, signal, output });
    };
    child.on('error', (error) => {
      output += error.message;
      finish(null, null);
    });
    child.on('close', finish);
  });
}

/** Passes the signals that end the set-up on to the program that is running, which may not get them by itself. */
export function passSignalsOn() {
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.once(signal, () => {
      for (const child of running) child.kill(signal);
      process.kill(process.pid, signal);
    });
  }
}

/**
 * The first of the named programs that is found: by path where the name holds a slash, else on PATH.
 * @param {string[]} programs
 */
export function findProgram(programs) {
  const folders = (process.env.PATH ?? '').split(path.delimiter).filter((folder) => folder !== '');
  const candidates = programs.flatMap((program) =>
    program.includes('/') ? [program] : folders.map((folder) => path.join(folder, program)),
  );
  return candidates.find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return statSync(file).isFile();
    } catch {
      return false;
    }
  });
}
