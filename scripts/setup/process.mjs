// Runs the programs that the set-up needs: npm, python3, the C++ compiler, tsc.

import { spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** @typedef {{ status: number | null, signal: string | null, output: string }} Outcome */

/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set();

/** Whether a signal ends the set-up: its work must not go on then, nor report the end of its programs as failures. */
let isStopping = false;

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
    if (isStopping) return;
    // In a process group of its own, so that a signal reaches what the program itself has started (a compiler's parts,
    // npm's and pip's helpers) by `passSignalsOn`, and only once.
    const stdio = /** @type {import('node:child_process').StdioOptions} */ (['ignore', 'pipe', 'pipe', ...locks]);
    const child = spawn(command, argumentList, { cwd, env, stdio, detached: true });
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
      if (!isStopping) resolve({ status, signal, output });
    };
    child.on('error', (error) => {
      output += error.message;
      finish(null, null);
    });
    child.on('close', finish);
  });
}

/** How long the running programs may take to clean up after a signal. */
const graceMs = 5000;

/**
 * Lets SIGINT, SIGTERM and SIGHUP end the set-up only after the programs that it has started, and theirs: they get the
 * signal, and after a while, or with a second signal, SIGKILL.
 */
export function passSignalsOn() {
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.on(signal, async () => {
      const children = [...running];
      for (const child of children) signalGroup(child, isStopping ? 'SIGKILL' : signal);
      if (isStopping) return;
      isStopping = true;
      const ends = children.map((child) => new Promise((resolve) => child.once('close', resolve)));
      await Promise.race([Promise.all(ends), sleep(graceMs)]);
      for (const child of children) signalGroup(child, 'SIGKILL'); // what outlived its parent
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    });
  }
}

/**
 * @param {import('node:child_process').ChildProcess} child
 * @param {NodeJS.Signals} signal
 */
function signalGroup({ pid }, signal) {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // the group has ended
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
