// Trains for a while with evaluations, samples and checkpoints all the time, and measures what grows: memory after garbage
// collection, tensors, handles, open files, files left over. Then what saving costs a model of 10.7 million parameters, in
// pairs of runs with and without. Below four minutes, memory has not settled: node scripts/check-soak.mjs [MINUTES [PAIRS]]
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { meanDifference, slope } from './soak/slope.mjs';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const [minutes = 2, pairs = 3] = process.argv.slice(2).map(Number);
const scratch = mkdtempSync(path.join(os.tmpdir(), 'clm-soak-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
writeFileSync(path.join(scratch, 'text.txt'), 'It was the best of times, it was the worst of times. '.repeat(3000));
const clm = path.join(root, 'dist/cli/main.js');
/** @param {string} name @param {string} text */
function config(name, text) {
  const file = path.join(scratch, `${name}.yaml`);
  writeFileSync(file, `corpus: { sources: [{ path: text.txt }], validation: { tail: 0.02 } }\n${text}`);
  return file;
}
/** @param {import('node:child_process').ChildProcess} child */
const ended = (child) => new Promise((resolve) => child.on('close', resolve));

if (minutes > 0) await soak();
if (pairs > 0) await costOfSaving();

async function soak() {
  const file = config(
    'soak',
    `model: { layers: 2, heads: 2, width: 64, contextLength: 32 }
training: { microBatchSize: 8, steps: 100000000 }
evaluation: { everySteps: 200 }
samples: { everySteps: 200, prompt: It, maxTokens: 20 }
checkpoints: { everySteps: 100, keepLast: 2, keepBest: 1 }
`,
  );
  const run = path.join(scratch, 'run');
  const probe = ['--expose-gc', '--import', path.join(root, 'scripts/soak/probe.mjs')];
  const train = ['train', file, '--quiet', '--run', run, '--max-time', `${Math.round(minutes * 60)}s`];
  const child = spawn(process.execPath, [...probe, clm, ...train], { stdio: ['ignore', 'ignore', 'inherit', 'pipe'] });
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
  const records = readFileSync(path.join(run, 'metrics.jsonl'), 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line).kind);
  const count = (/** @type {string} */ kind) => records.filter((other) => other === kind).length;
  console.log(`soak: ${minutes} min, ${count('step')} steps, ${count('evaluation')} evaluations, ${count('checkpoint')} checkpoints`);

  // The first third is warm-up: the heap, the allocator's arenas and TensorFlow's caches fill.
  const settled = samples.slice(Math.floor(samples.length / 3));
  if (settled.some(({ tensors }) => typeof tensors !== 'number')) throw new Error('the tensors could not be counted');
  const grown = Object.entries({ heap: 'JavaScript heap', buffers: 'buffers', anonymous: 'all memory of its own' }).filter(([key, name]) => {
    const { mean, perMinute, margin } = slope(settled.map((sample) => ({ minute: sample.minute, value: sample[key] })));
    console.log(`${name}: ${mean.toFixed(1)} MB, slope ${perMinute.toFixed(3)} ± ${margin.toFixed(3)} MB/min (95 %)`);
    return perMinute - margin > mean / 1000; // all of the interval above a thousandth a minute
  });
  const halves = [settled.slice(0, settled.length >> 1), settled.slice(settled.length >> 1)];
  const leaks = ['tensors', 'handles', 'files'].filter((key) => {
    // What is in use at the moment comes and goes; what leaks raises the floor.
    const [before, after] = halves.map((half) => Math.min(...half.map((sample) => sample[key])));
    console.log(`${key}: at least ${before}, then ${after}`);
    return after > before;
  });
  const entries = readdirSync(path.join(run, 'checkpoints'));
  console.log(`checkpoints left: ${entries.length}`);
  if (entries.some((name) => name.startsWith('.')) || entries.length > 4) throw new Error(`files are left over: ${entries}`);
  if (grown.length + leaks.length > 0) throw new Error(`what grows: ${[...grown.map(([key]) => key), ...leaks].join(', ')}`);
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
  /** Milliseconds of the loop from step 10 to the last, in which all but the last save lie. @param {number | null} everySteps */
  const loopMs = async (everySteps) => {
    const run = path.join(scratch, 'timed');
    const args = ['train', file, '--quiet', '--run', run, '--set', `checkpoints.everySteps=${everySteps}`];
    const status = await ended(spawn(process.execPath, [clm, ...args], { stdio: ['ignore', 'ignore', 'inherit'] }));
    if (status !== 0) throw new Error(`a timed run ended with ${status}`);
    const records = readFileSync(path.join(run, 'metrics.jsonl'), 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line));
    const elapsedMs = (/** @type {number} */ step) => records.find((record) => record.kind === 'step' && record.step === step).elapsedMs;
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
