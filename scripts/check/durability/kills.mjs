/**
 * Kills training again and again (SIGKILL) and resumes it: the finished run must equal an uninterrupted one.
 *
 *   npm run check -- kills [KILLS=50 [RACES=20 [STOPS=10 [SEED=1]]]]
 *
 * Three in five kills hit a save, some a deletion, the others any moment. Logs and checkpoints are compared byte for
 * byte. Then RACES of two processes for one run directory, and STOPS by a signal at random steps.
 *
 * Time: 5 minutes; 1 minute for "kills 5 2 2"
 */
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync, watch, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { program } from '../../lib/clm.mjs';
import { runOutcomeAndStatus } from '../../lib/runOutcome.mjs';

const [kills = 50, races = 20, stops = 10, seed = 1] = process.argv.slice(2).map(Number);
let state = seed;
/** Uniform in [0, 1), repeatable by its seed: the linear congruential generator of Numerical Recipes. */
const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;

const scratch = mkdtempSync(path.join(os.tmpdir(), 'clm-kills-'));
const config = path.join(scratch, 'tiny.yaml');
const steps = 120;
writeFileSync(path.join(scratch, 'text.txt'), 'It was the best of times, it was the worst of times. '.repeat(60));
writeFileSync(
  config,
  `corpus: { sources: [{ path: text.txt }] }
model: { layers: 1, heads: 2, width: 16, contextLength: 8, dropout: 0.1 }
training: { microBatchSize: 3, steps: ${steps} }
evaluation: { everySteps: 40 }
samples: { everySteps: 50, prompt: It, maxTokens: 3 }
checkpoints: { everySteps: 4, keepLast: 2, keepBest: 1, keepEvery: 40 }
schedule: { warmupSteps: 5 }
`,
);

/** @typedef {import('node:child_process').ChildProcess} ChildProcess */
/**
 * Runs `clm train --resume` to its end, whoever brings that about.
 * @param {string} run @param {{ began?: (child: ChildProcess) => void, steps?: number }} [options]
 */
const train = (run, { began, steps: length = steps } = {}) =>
  new Promise((resolve) => {
    const args = ['train', config, '--run', run, '--resume', '--json', '--set', `training.steps=${length}`];
    const child = spawn(process.execPath, [program, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stderr = '';
    child.stdout.resume();
    child.stderr.on('data', (chunk) => (stderr += chunk));
    began?.(child);
    child.on('close', (code, signal) => resolve({ code, signal, stderr }));
  });

/** @param {string} what @param {unknown} detail @returns {never} */
const fail = (what, detail) => {
  throw new Error(`${what}: ${typeof detail === 'string' ? detail : JSON.stringify(detail)}; kept in ${scratch}`);
};

/**
 * The outcome of a run of so many steps that nothing interrupts, and how long its process takes. @param {number} length
 */
async function uninterrupted(length) {
  const run = path.join(scratch, `straight-${length}`);
  const beganMs = performance.now();
  const result = await train(run, { steps: length });
  if (result.code !== 0) fail('the uninterrupted run failed', result);
  return { expected: runOutcomeAndStatus(run), tookMs: performance.now() - beganMs };
}

/**
 * Kills the process a moment after the n-th temporary name of a kind appears among the checkpoints, or at any time.
 * @param {string} run @param {ChildProcess} child @param {number} wholeMs how long a process takes that nothing
 *   interrupts
 */
function killSometime(run, child, wholeMs) {
  const draw = random();
  const kind = draw < 0.6 ? 'clm-unfinished' : draw < 0.75 ? 'clm-removed' : undefined;
  const delayMs = kind === 'clm-unfinished' ? random() * 8 : kind === 'clm-removed' ? random() * 2 : random() * wholeMs;
  if (kind === undefined) {
    const timer = setTimeout(() => child.kill('SIGKILL'), delayMs);
    child.on('close', () => clearTimeout(timer));
    return;
  }
  // Not always the first of the process: then no run would get far.
  let namesLeft = Math.floor(random() * 8);
  let last = '';
  /** @type {import('node:fs').FSWatcher | undefined} */
  let watcher;
  const begin = setInterval(() => {
    if (!existsSync(path.join(run, 'checkpoints'))) return;
    clearInterval(begin);
    watcher = watch(path.join(run, 'checkpoints'), (_, name) => {
      if (!name?.includes(kind) || name === last) return;
      last = name;
      if (namesLeft-- === 0) setTimeout(() => child.kill('SIGKILL'), delayMs);
    });
  }, 5);
  child.on('close', () => {
    clearInterval(begin);
    watcher?.close();
  });
}

/** What a killed process was at, by what it left behind. @param {string} run */
function foundAfterKill(run) {
  const folder = path.join(run, 'checkpoints');
  const names = existsSync(folder) ? readdirSync(folder).join(' ') : '';
  if (names.includes('clm-unfinished')) return 'in a save';
  if (names.includes('clm-removed')) return 'in a deletion';
  return existsSync(path.join(run, 'metrics.jsonl')) ? 'between' : 'before the first step';
}

async function killOverAndOver() {
  const { expected, tookMs } = await uninterrupted(steps);
  /** @type {Record<string, number>} */
  const found = { 'in a save': 0, 'in a deletion': 0, between: 0, 'before the first step': 0 };
  const counts = () =>
    Object.entries(found)
      .map(([when, count]) => `${count} ${when}`)
      .join(', ');
  let finished = 0;
  let run = path.join(scratch, 'run-0');
  for (let kill = 0; kill <= kills; ) {
    // The last one is let alone, so that every kill is followed by a run that must come out right.
    const result = await train(run, kill < kills ? { began: (child) => killSometime(run, child, tookMs) } : {});
    if (result.signal === 'SIGKILL') {
      found[foundAfterKill(run)]++;
      if (++kill % 10 === 0) console.error(`${kill} kills: ${counts()}; ${finished} runs finished`);
      continue;
    }
    if (result.code !== 0) fail('a run could not be resumed', result);
    if (runOutcomeAndStatus(run) !== expected) fail('a run differs from the uninterrupted one', run);
    rmSync(run, { recursive: true });
    run = path.join(scratch, `run-${++finished}`);
    if (kill === kills) break;
  }
  console.log(`kills: ${kills} (${counts()}); ${finished} runs finished, all equal to the uninterrupted one`);
}

/** Half of the races are for a directory whose last writer was killed, lock and unfinished save and all. */
async function race() {
  const length = 12;
  const { expected } = await uninterrupted(length);
  const abandoned = path.join(scratch, 'abandoned');
  while (
    !existsSync(path.join(abandoned, 'run.lock')) ||
    !existsSync(path.join(abandoned, 'checkpoints/step-00000004'))
  ) {
    rmSync(abandoned, { recursive: true, force: true });
    await train(abandoned, {
      steps: length,
      began: (child) => {
        const timer = setInterval(
          () => existsSync(path.join(abandoned, 'checkpoints/step-00000004')) && child.kill('SIGKILL'),
          2,
        );
        child.on('close', () => clearInterval(timer));
      },
    });
  }
  let refusals = 0;
  for (let race = 0; race < races; race++) {
    const contested = path.join(scratch, 'contested');
    if (race % 2 === 1) cpSync(abandoned, contested, { recursive: true });
    const results = await Promise.all([train(contested, { steps: length }), train(contested, { steps: length })]);
    const won = results.filter(({ code, stderr }) => code === 0 && stderr.includes('done: ')).length;
    // The loser is refused; or it came when the winner had ended, and found the run finished.
    const refused = results.filter(({ code, stderr }) => code === 2 && stderr.includes('is being written by')).length;
    const late = results.filter(({ code, stderr }) => code === 0 && stderr.includes('is finished')).length;
    if (won !== 1 || refused + late !== 1) fail('a race had not exactly one winner', results);
    if (runOutcomeAndStatus(contested) !== expected) fail('the winner of a race differs', contested);
    refusals += refused;
    rmSync(contested, { recursive: true });
    if ((race + 1) % 10 === 0) console.error(`${race + 1} races`);
  }
  console.log(
    `races: ${races}, ${races >> 1} of them for the lock of a killed process: one winner each (${refusals} losers ` +
      `refused, ${races - refusals} came after its end)`,
  );
}

const exitCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 };

async function stopAtRandomSteps() {
  const { expected } = await uninterrupted(steps);
  const places = new Set();
  for (let stop = 0; stop < stops; stop++) {
    const run = path.join(scratch, 'stopped');
    const signals = /** @type {(keyof typeof exitCodes)[]} */ (Object.keys(exitCodes));
    // One event may send several, and the first of them counts; of two at the same moment either may be the first.
    const sent = Array.from({ length: 1 + Math.floor(random() * 3) }, () => ({
      signal: signals[Math.floor(random() * signals.length)] ?? 'SIGTERM',
      afterMs: Math.floor(random() * 50),
    }));
    const atStep = 1 + Math.floor(random() * (steps - 6)); // it may go on a few steps before the signal arrives
    const first = await train(run, {
      began: (child) => {
        let seen = '';
        child.stdout?.on('data', (chunk) => {
          seen += chunk;
          if (!seen.includes(`{"kind":"step","step":${atStep},`)) return;
          seen = '';
          for (const { signal, afterMs } of sent) setTimeout(() => child.kill(signal), afterMs);
        });
      },
    });
    if (!sent.some(({ signal }) => first.code === exitCodes[signal]))
      fail(`${JSON.stringify(sent)} at step ${atStep} did not stop and save`, first);
    const stopped = Number(/stopped after step (\d+)/.exec(first.stderr)?.[1]);
    if (!existsSync(path.join(run, `checkpoints/step-${String(stopped).padStart(8, '0')}`)))
      fail('a stop did not save', first);
    places.add(stopped);
    const second = await train(run);
    if (second.code !== 0) fail('a stopped run could not be resumed', second);
    // The stop leaves a checkpoint of its own step, which retention removes in time; what is kept for the end is the
    // same.
    if (runOutcomeAndStatus(run) !== expected) fail(`a run stopped after step ${stopped} differs`, run);
    rmSync(run, { recursive: true });
    if ((stop + 1) % 10 === 0) console.error(`${stop + 1} stops`);
  }
  console.log(`stops: ${stops} at ${places.size} different steps, each resumed bit for bit`);
}

if (kills > 0) await killOverAndOver();
if (races > 0) await race();
if (stops > 0) await stopAtRandomSteps();
rmSync(scratch, { recursive: true });
