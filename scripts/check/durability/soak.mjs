/**
 * Trains for MINUTES with evaluations, samples and checkpoints all the time, and measures what grows.
 *
 *   npm run check -- soak [MINUTES=4 [PAIRS=3 [LEAK]]]
 *
 * Watched: memory after garbage collection, tensors, handles, open files, left-over files. Then what saving costs a
 * model of 10.7 million parameters, in PAIRS of runs with and without. LEAK is heap, allocated, tensors or files: a
 * leak that must be noticed. Memory has not settled before four minutes.
 *
 * Time: MINUTES, and 2 minutes for each pair
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { program } from '../../lib/clm.mjs';
import { meanDifference, slope } from './soak/slope.mjs';

const [minutes = 4, pairs = 3] = process.argv.slice(2, 4).map(Number);
const leak = process.argv[4];
const scratch = mkdtempSync(path.join(os.tmpdir(), 'clm-soak-'));
// The more often a run saves, the less of a leak escapes, and memory is faster than a disk.
const memory = existsSync('/dev/shm') ? mkdtempSync('/dev/shm/clm-soak-') : scratch;
process.on('exit', () => [scratch, memory].forEach((folder) => rmSync(folder, { recursive: true, force: true })));
writeFileSync(path.join(scratch, 'text.txt'), 'It was the best of times, it was the worst of times. '.repeat(3000));
/** @param {string} name @param {string} text */
function config(name, text) {
  const file = path.join(scratch, `${name}.yaml`);
  writeFileSync(file, `corpus: { sources: [{ path: text.txt }], validation: { tail: 0.002 } }\n${text}`);
  return file;
}
/** @param {import('node:child_process').ChildProcess} child */
const ended = (child) => new Promise((resolve) => child.on('close', resolve));

if (minutes > 0) await soak();
if (pairs > 0) await costOfSaving();

async function soak() {
  const file = config(
    'soak',
    `model: { layers: 1, heads: 2, width: 16, contextLength: 8 }
training: { microBatchSize: 3, steps: 100000000 }
evaluation: { everySteps: 10 }
samples: { everySteps: 10, prompt: It, maxTokens: 10 }
checkpoints: { everySteps: 10, keepLast: 2, keepBest: 1 }
`,
  );
  const run = path.join(memory, 'run');
  const loaded = ['probe.mjs', ...(leak === undefined ? [] : ['leak.mjs'])].flatMap((name) => [
    '--import',
    path.join(import.meta.dirname, 'soak', name),
  ]);
  // A young generation that is small all the time hides no growth by its own rise and fall.
  const probe = ['--expose-gc', '--max-semi-space-size=1', ...loaded];
  const train = ['train', file, '--quiet', '--run', run, '--max-time', `${Math.round(minutes * 60)}s`];
  // Nor shall what C's allocator keeps free for each thread: with one arena for all, it keeps next to nothing.
  const env = { ...process.env, MALLOC_ARENA_MAX: '1', CLM_SOAK_LEAK: leak };
  const child = spawn(process.execPath, [...probe, program, ...train], {
    stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
    env,
  });
  /** @type {Record<string, number>[]} */
  const samples = [];
  let text = '';
  child.stdio[3]?.on('data', (chunk) => {
    const lines = (text + chunk).split('\n');
    text = lines.pop() ?? '';
    for (const line of lines) samples.push({ ...JSON.parse(line), files: openFiles(child.pid) });
  });
  const code = await ended(child);
  if (code !== 0) throw new Error(`the run ended with ${code}`);
  const records = readFileSync(path.join(run, 'metrics.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line).kind);
  const count = (/** @type {string} */ kind) => records.filter((other) => other === kind).length;
  console.log(
    `soak: ${minutes} min, ${count('step')} steps, ${count('evaluation')} evaluations, ${count('checkpoint')} ` +
      `checkpoints`,
  );

  // Two thirds are warm-up: functions are compiled and optimised, the allocator's arenas and TensorFlow's caches fill.
  const settled = samples.slice(Math.floor((2 * samples.length) / 3));
  if (settled.some(({ tensors }) => typeof tensors !== 'number')) throw new Error('the tensors could not be counted');
  const perCheckpoint = (/** @type {number} */ perMinute) =>
    ((perMinute * 1e6 * (samples.at(-1)?.minute ?? NaN)) / count('checkpoint')).toFixed(0);
  const grows = (
    /** @type {string} */ key,
    /** @type {string} */ name,
    /** @type {((values: number[]) => number) | undefined} */ reduce = undefined,
  ) => {
    const { mean, perMinute, margin } = slope(
      settled.map((sample) => ({ minute: sample.minute, value: sample[key] })),
      reduce,
    );
    console.log(
      `${name}: ${mean.toFixed(1)} MB, slope ${perMinute.toFixed(3)} ± ${margin.toFixed(3)} MB/min (95 %), ` +
        `${perCheckpoint(perMinute)} ± ${perCheckpoint(margin)} bytes a checkpoint`,
    );
    return perMinute - margin > mean / 1000; // all of the interval above a thousandth a minute
  };
  // What is in use at the moment comes and goes; what leaks raises the floor.
  const floor = (/** @type {number[]} */ values) => Math.min(...values);
  const grown = [
    ...(grows('heap', 'JavaScript heap', floor) ? ['heap'] : []),
    ...(grows('buffers', 'buffers', floor) ? ['buffers'] : []),
    ...(grows('allocated', "C's heap", floor) ? ['allocated'] : []),
    ...(grows('anonymous', 'all memory of its own') ? ['anonymous'] : []),
  ];
  grows('code', 'of the JavaScript heap, compiled code', floor);
  grows('free', "beside C's heap, kept free by its allocator");
  const halves = [settled.slice(0, settled.length >> 1), settled.slice(settled.length >> 1)];
  const leaks = ['tensors', 'handles', 'files'].filter((key) => {
    const [before, after] = halves.map((half) => floor(half.map((sample) => sample[key])));
    console.log(`${key}: at least ${before}, then ${after}`);
    return after > before;
  });
  const entries = readdirSync(path.join(run, 'checkpoints'));
  console.log(`checkpoints left: ${entries.length}`);
  if (entries.some((name) => name.startsWith('.')) || entries.length > 4)
    throw new Error(`files are left over: ${entries}`);
  const found = [...grown, ...leaks];
  if (leak !== undefined && found.includes(leak)) console.log(`the leak was noticed: ${found.join(', ')}`);
  else if (leak !== undefined) throw new Error(`the leak was not noticed: ${found.join(', ')}`);
  else if (found.length > 0) throw new Error(`what grows: ${found.join(', ')}`);
}

/** @param {number | undefined} pid */
function openFiles(pid) {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return 0; // it has just ended
  }
}

async function costOfSaving() {
  const steps = 60;
  const saves = 5;
  const file = config(
    'timed',
    `model: { layers: 6, heads: 6, width: 384, contextLength: 64 }
training: { microBatchSize: 4, steps: ${steps} }
evaluation: { everySteps: null }
samples: { everySteps: null, prompt: It }
`,
  );
  /**
   * Milliseconds of the loop from step 10 to the last, in which all but the last save lie. @param {number | null}
   * everySteps
   */
  const loopMs = async (everySteps) => {
    const run = path.join(scratch, 'timed');
    const args = ['train', file, '--quiet', '--run', run, '--set', `checkpoints.everySteps=${everySteps}`];
    const status = await ended(spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'ignore', 'inherit'] }));
    if (status !== 0) throw new Error(`a timed run ended with ${status}`);
    const records = readFileSync(path.join(run, 'metrics.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    const elapsedMs = (/** @type {number} */ step) =>
      records.find((record) => record.kind === 'step' && record.step === step).elapsedMs;
    rmSync(run, { recursive: true });
    return elapsedMs(steps) - elapsedMs(9);
  };
  /** @type {number[]} */
  const costs = [];
  /** @type {number[]} */
  const stepMs = [];
  for (let pair = 0; pair < pairs; pair++) {
    const saving = pair % 2 === 0 ? await loopMs(steps / (saves + 1)) : NaN;
    const without = await loopMs(null);
    costs.push(((Number.isNaN(saving) ? await loopMs(steps / (saves + 1)) : saving) - without) / saves);
    stepMs.push(without / (steps - 9));
  }
  const { mean, margin } = meanDifference(costs);
  const percent = (/** @type {number} */ ms) => ((100 * ms) / 60_000).toFixed(2);
  const perStep = Math.round(stepMs.reduce((sum, ms) => sum + ms, 0) / pairs);
  console.log(
    `saving: ${mean.toFixed(0)} ± ${margin.toFixed(0)} ms a checkpoint (${pairs} pairs, steps of ${perStep} ms), ` +
      `${percent(mean)} ± ${percent(margin)} % of the time at one a minute`,
  );
}
