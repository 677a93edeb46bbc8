/**
 * Lets processes of a run fail at random instants: none may hang, and what is resumed must equal an undisturbed run.
 *
 *   npm run check -- process-faults [--count 100] [--seed 1] [--watchdog 5]
 *
 * One of 2 or 4 fails. Faults are SIGKILL and SIGSTOP of any rank, and the connection of a rank to rank 0 closed by a
 * relay, at the start, in a step, an evaluation or a save. After each, all processes must have ended within the
 * watchdog, with exit code 3. The run goes on with another number of processes, 1 among them. Linux only.
 *
 * Time: 25 minutes; 3 minutes for "--count 10"
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, watch } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { awakeMs } from '../../lib/awakeTime.mjs';
import { program } from '../../lib/clm.mjs';
import { runOutcomeAndStatus } from '../../lib/runOutcome.mjs';
import { writeTinyRun } from '../../lib/tinyRun.mjs';

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '100' },
    seed: { type: 'string', default: '1' },
    watchdog: { type: 'string', default: '5' },
  },
});
const [count, watchdogSeconds] = [Number(values.count), Number(values.watchdog)];
let state = Number(values.seed);
/** Uniform in [0, 1), repeatable by its seed: the linear congruential generator of Numerical Recipes. */
const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
/** @template T @param {readonly T[]} choices @returns {T} */
const oneOf = (choices) => /** @type {T} */ (choices[Math.floor(random() * choices.length)]);

/** For the processes to end after they have been told to. */
const slackMs = 1500;
const steps = 60;
const scratch = mkdtempSync(path.join(os.tmpdir(), 'clm-process-faults-'));
const config = writeTinyRun(scratch, { steps, evaluateEverySteps: 6, saveEverySteps: 4 });

/** @typedef {import('node:child_process').ChildProcess} ChildProcess */
/** @typedef {{ code: number | null, signal: string | null, stderr: string, endedMs: number }} End */

/** @param {string[]} args @returns {{ child: ChildProcess, end: Promise<End> }} */
function start(args) {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (chunk) => (stderr += chunk));
  const end = new Promise((resolve) =>
    child.on('close', (code, signal) => resolve({ code, signal, stderr, endedMs: performance.now() })),
  );
  return { child, end };
}

/** @param {string} run */
const trainArguments = (run) => ['train', config, '--run', run, '--resume', '--quiet', '--watchdog', values.watchdog];

/** @param {number} pid @returns {number[]} */
const childrenOf = (pid) =>
  existsSync(`/proc/${pid}/task/${pid}/children`)
    ? readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number)
    : [];

/** Whether a process runs or is stopped; one that has ended and waits to be collected does not. @param {number} pid */
function isAlive(pid) {
  try {
    return !/^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}

/**
 * A relay to a port, whose connections can be closed. @param {number} port
 * @returns {Promise<{ port: number, cut: () => boolean, close: () => void }>} `cut` says whether there was one
 */
async function openRelay(port) {
  /** @type {net.Socket[]} */
  let sockets = [];
  const server = net.createServer((near) => {
    const far = net.connect(port, '127.0.0.1');
    for (const socket of [near, far]) {
      socket.on('error', () => {});
      socket.on('close', () => [near, far].forEach((each) => each.destroy()));
      sockets.push(socket);
    }
    near.pipe(far).pipe(near);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  return {
    port: /** @type {net.AddressInfo} */ (server.address()).port,
    cut: () => {
      const had = sockets.some((socket) => !socket.destroyed);
      sockets.forEach((socket) => socket.destroy());
      sockets = [];
      return had;
    },
    close: () => server.close(),
  };
}

/** Calls `fault` once at an instant of a kind. @param {string} run @param {() => void} fault @returns {() => void} */
function atInstant(run, fault) {
  const kind = oneOf(['start', 'step', 'evaluation', 'save']);
  const delayMs = random() * (kind === 'start' ? 6000 : kind === 'step' ? 400 : 8);
  if (kind === 'start') {
    const timer = setTimeout(fault, delayMs);
    return () => clearTimeout(timer);
  }
  const log = path.join(run, 'metrics.jsonl');
  const count = () => (existsSync(log) ? readFileSync(log, 'utf8').split('\n').length : 0);
  const linesAtFirst = count();
  /** @type {import('node:fs').FSWatcher | undefined} */
  let watcher;
  let isDone = false;
  const timer = setInterval(() => {
    if (isDone || count() <= linesAtFirst) return;
    isDone = true;
    clearInterval(timer);
    if (kind === 'step') return void setTimeout(fault, delayMs);
    const folder = kind === 'save' ? path.join(run, 'checkpoints') : run;
    if (!existsSync(folder)) return fault();
    let left = Math.floor(random() * 8);
    watcher = watch(folder, (_, name) => {
      const isIt = kind === 'save' ? name?.includes('clm-unfinished') : /"evaluation"[^\n]*\n?$/.test(tail(log));
      if (isIt && left-- === 0) setTimeout(fault, delayMs);
    });
  }, 5);
  return () => {
    clearInterval(timer);
    watcher?.close();
  };
}

/** @param {string} file */
const tail = (file) => (existsSync(file) ? readFileSync(file, 'utf8').slice(-400) : '');

let nextPort = 24_000 + Math.floor(Math.random() * 4000);
const told = { SIGKILL: 0, SIGSTOP: 0, closed: 0, slowestMs: 0, runs: 0 };

/** @param {string} what @param {unknown} detail @returns {never} */
const fail = (what, detail) => {
  throw new Error(`${what}: ${typeof detail === 'string' ? detail : JSON.stringify(detail)}; kept in ${scratch}`);
};

/** Trains until a fault or the end. @param {string} run @returns {Promise<boolean>} whether the run is finished */
async function disturbed(run) {
  const size = oneOf([2, 4]);
  const victim = Math.floor(random() * size);
  const kind = oneOf(/** @type {const} */ (['SIGKILL', 'SIGSTOP', 'closed']));
  const relayed = kind === 'closed' ? Math.max(1, victim) : 0;
  /** @type {{ child: ChildProcess, end: Promise<End> }[]} */
  const started = [];
  /** @type {Awaited<ReturnType<typeof openRelay>> | undefined} */
  let relay;
  if (relayed > 0) {
    const port = nextPort++;
    relay = await openRelay(port);
    for (let rank = 0; rank < size; rank++) {
      const place = `127.0.0.1:${rank === relayed ? relay.port : port}`;
      const ranks = ['--rank', `${rank}`, '--processes', `${size}`, '--rendezvous', place];
      started.push(start([...trainArguments(run), ...ranks]));
    }
  } else started.push(start([...trainArguments(run), '--processes', `${size}`]));
  const first = /** @type {typeof started[0]} */ (started[0]);
  let faultMs = 0;
  /** @type {number[]} */
  let pids = [];
  const forget = atInstant(run, () => {
    const own = /** @type {number} */ (first.child.pid);
    pids = relay === undefined ? [own, ...childrenOf(own)] : started.map(({ child }) => Number(child.pid));
    if (faultMs > 0 || pids.length < size || !pids.every(isAlive)) return;
    if (relay !== undefined && !relay.cut()) return;
    faultMs = awakeMs() + 1; // above 0
    if (kind !== 'closed') process.kill(/** @type {number} */ (pids[victim]), kind);
  });
  const ends = await Promise.race([
    Promise.all(started.map(({ end }) => end)),
    new Promise((resolve) => {
      const timer = setInterval(() => {
        if (faultMs === 0 || awakeMs() - faultMs < 1000 * watchdogSeconds + 20_000) return;
        clearInterval(timer);
        resolve(undefined);
      }, 500);
      void Promise.all(started.map(({ end }) => end)).then(() => clearInterval(timer));
    }),
  ]);
  forget();
  relay?.close();
  const what = `${kind} of rank ${relayed || victim} of ${size}`;
  if (ends === undefined) {
    started.forEach(({ child }) => child.kill('SIGKILL'));
    fail('processes hang', what);
  }
  const [end] = /** @type {End[]} */ (ends);
  if (faultMs === 0) {
    if (ends.some((/** @type {End} */ each) => each.code !== 0)) fail('a run without a fault failed', ends);
    return true;
  }
  if (end?.code === 0) return true; // the fault came when all was done
  told[kind] += 1;
  const tookMs = awakeMs() - faultMs;
  told.slowestMs = Math.max(told.slowestMs, tookMs);
  if (tookMs > 1000 * watchdogSeconds + slackMs) fail('too slow', `${what}: ${Math.round(tookMs)} ms`);
  const text = ends.map((/** @type {End} */ each) => each.stderr).join('\n');
  const isCommandKilled = kind === 'SIGKILL' && victim === 0;
  if (isCommandKilled ? end?.signal !== 'SIGKILL' : end?.code !== 3) fail(`${what}: not exit code 3`, ends);
  await new Promise((resolve) => setTimeout(resolve, isCommandKilled ? 3000 : 200));
  if (pids.some(isAlive)) fail(`${what}: processes are left`, pids.filter(isAlive));
  if (!text.includes(`rank ${relayed || victim} `) || !text.includes(os.hostname())) fail(`${what}: not named`, text);
  return false;
}

const straight = path.join(scratch, 'straight');
const whole = await start([...trainArguments(straight)]).end;
if (whole.code !== 0) fail('the undisturbed run failed', whole);
const expected = runOutcomeAndStatus(straight);
const faults = () => told.SIGKILL + told.SIGSTOP + told.closed;
while (faults() < count) {
  const run = path.join(scratch, `run-${told.runs}`);
  let isFinished = false;
  for (let tries = 0; !isFinished && tries < 6 && faults() < count; tries++) isFinished = await disturbed(run);
  if (!isFinished) {
    const last = await start([...trainArguments(run), '--processes', `${oneOf([1, 2, 4])}`]).end;
    if (last.code !== 0) fail('resuming failed', last);
  }
  if (runOutcomeAndStatus(run) !== expected) fail('the resumed run differs from the undisturbed one', run);
  told.runs += 1;
  rmSync(run, { recursive: true });
  console.log(`${faults()} faults, ${told.runs} runs equal`);
}
console.log(JSON.stringify({ ...told, slowestMs: Math.round(told.slowestMs), watchdogSeconds }));
rmSync(scratch, { recursive: true });
