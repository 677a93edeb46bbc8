// Two network namespaces that take the part of machines, and a run that two processes train in them, one in each.

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { awakeMs } from '../../../lib/awakeTime.mjs';
import { print, program } from '../../../lib/clm.mjs';

/** Of the machines of rank 0 and rank 1. */
export const names = /** @type {const} */ (['clm-check-a', 'clm-check-b']);
export const addresses = /** @type {const} */ (['10.213.77.1', '10.213.77.2']);
/** Where rank 0 listens for the meeting. */
export const meetingPort = 29_400;

/** @param {string[]} args */
export const ip = (...args) => execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
/** @param {string} name @param {string[]} command @returns {string} what it printed */
export const inNamespace = (name, ...command) =>
  execFileSync('ip', ['netns', 'exec', name, ...command], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** @param {readonly string[]} namespaces */
function remove(namespaces) {
  for (const name of namespaces) {
    try {
      ip('netns', 'delete', name);
    } catch {
      // it is not there
    }
  }
}

/**
 * Makes namespaces and joins them, for as long as this script runs; where that is not possible the script ends.
 * @param {readonly string[]} namespaces @param {() => void} join
 */
export function makeNamespaces(namespaces, join) {
  process.on('exit', () => remove(namespaces));
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(signal, () => process.exit(1));
  try {
    remove(namespaces);
    for (const name of namespaces) ip('netns', 'add', name);
    join();
  } catch (error) {
    const [reason] = /** @type {Error} */ (error).message.split('\n');
    print(`skipped: network namespaces cannot be made and joined here (${reason})`);
    process.exit(0);
  }
}

/** @typedef {{ code: number | null, stderr: string, endedMs: number }} End */

/**
 * A config, and what starts it on both machines.
 * @param {string} check its name @param {{ watchdog: string, steps: number }} options
 */
export function writeRun(check, { watchdog, steps }) {
  const scratch = mkdtempSync(path.join(os.tmpdir(), `clm-${check}-`));
  writeFileSync(path.join(scratch, 'text.txt'), 'It was the best of times, it was the worst of times. '.repeat(60));
  writeFileSync(path.join(scratch, 'secret'), 'a secret of both machines\n');
  writeFileSync(path.join(scratch, 'other'), 'not the secret of the others\n');
  const config = path.join(scratch, 'tiny.yaml');
  writeFileSync(
    config,
    `corpus: { sources: [{ path: text.txt }] }
model: { layers: 2, heads: 2, width: 64, contextLength: 16 }
training: { microBatchSize: 2, microBatchesPerStep: 2, branches: 1, steps: ${steps} }
evaluation: { everySteps: 100 }
samples: { everySteps: null }
checkpoints: { everySteps: 50 }
schedule: { warmupSteps: 5 }
`,
  );
  const folderOf = (/** @type {string} */ run) => path.join(scratch, run);

  /** @param {number} rank @param {string} run @param {string} [secret] @returns {Promise<End>} */
  function start(rank, run, secret = 'secret') {
    const place = ['--rank', `${rank}`, '--processes', '2', '--rendezvous', `${addresses[0]}:${meetingPort}`];
    const open = ['--open-network', '--secret-file', path.join(scratch, secret), '--watchdog', watchdog];
    const train = [program, 'train', config, '--run', folderOf(run), '--resume', ...place, ...open];
    // With process ids of its own, as on another machine: else rank 0 would end a process that it no longer hears of.
    const machine = ['netns', 'exec', names[rank] ?? '', 'unshare', '--pid', '--fork', '--mount-proc', '--kill-child'];
    const child = spawn('ip', [...machine, process.execPath, ...train], { stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr.on('data', (chunk) => (stderr += chunk));
    return new Promise((resolve) => child.on('close', (code) => resolve({ code, stderr, endedMs: awakeMs() })));
  }

  /** How many steps a run has made. @param {string} run */
  function stepsOf(run) {
    const log = path.join(folderOf(run), 'metrics.jsonl');
    return existsSync(log) ? (readFileSync(log, 'utf8').match(/"kind":"step"/g)?.length ?? 0) : 0;
  }

  return {
    start,
    /** Starts both ranks. @param {string} run */
    startBoth: (run) => Promise.all([start(0, run), start(1, run)]),
    /** The run by one process, without a network. @param {string} run */
    trainAlone: (run) =>
      void execFileSync(process.execPath, [program, 'train', config, '--run', folderOf(run), '--quiet']),
    stepsOf,
    /** Waits until a run has made a step. @param {string} run @param {number} step */
    async reached(run, step) {
      for (let tries = 0; stepsOf(run) < step; tries++) {
        if (tries > 2400) throw new Error(`step ${step} was not reached; kept in ${scratch}`);
        await sleep(50);
      }
    },
    /** The weights at the end. @param {string} run */
    weights: (run) =>
      readFileSync(
        path.join(folderOf(run), `checkpoints/step-${String(steps).padStart(8, '0')}/model.safetensors`),
        'base64',
      ),
    /** @param {boolean} isRight @param {string} what @param {unknown} [detail] */
    check(isRight, what, detail) {
      if (!isRight) throw new Error(`${what}: ${JSON.stringify(detail)}; kept in ${scratch}`);
      print(`ok: ${what}`);
    },
    /** All is right: nothing need be kept. */
    removeFiles: () => rmSync(scratch, { recursive: true }),
  };
}
