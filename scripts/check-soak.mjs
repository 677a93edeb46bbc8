// Trains for a while with evaluations, samples and a checkpoint every second, and measures what grows: resident memory,
// open files and handles. Then what saving costs, in pairs of runs with and without: node scripts/check-soak.mjs [MINUTES [PAIRS]]
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const [minutes = 2, pairs = 3] = process.argv.slice(2).map(Number);
const scratch = mkdtempSync(path.join(os.tmpdir(), 'clm-soak-'));
writeFileSync(path.join(scratch, 'text.txt'), 'It was the best of times, it was the worst of times. '.repeat(3000));
const config = path.join(scratch, 'soak.yaml');
writeFileSync(
  config,
  `corpus: { sources: [{ path: text.txt }], validation: { tail: 0.02 } }
model: { layers: 2, heads: 2, width: 64, contextLength: 32 }
training: { microBatchSize: 8, steps: 100000000 }
evaluation: { everySteps: 200 }
samples: { everySteps: 200, prompt: It, maxTokens: 20 }
checkpoints: { everySteps: 100, keepLast: 2, keepBest: 1 }
`,
);
const clm = path.join(root, 'dist/cli/main.js');
/** @param {string[]} args */
const train = (args) => spawn(process.execPath, [clm, 'train', config, '--quiet', ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
/** @param {import('node:child_process').ChildProcess} child */
const ended = (child) => new Promise((resolve) => child.on('close', resolve));

const soak = train(['--run', path.join(scratch, 'run'), '--max-time', `${Math.round(minutes * 60)}s`]);
/** @type {{ minute: number, megabytes: number, files: number }[]} */
const samples = [];
const beganMs = performance.now();
const timer = setInterval(() => {
  try {
    const status = readFileSync(`/proc/${soak.pid}/status`, 'utf8');
    const megabytes = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
    const files = readdirSync(`/proc/${soak.pid}/fd`).length;
    samples.push({ minute: (performance.now() - beganMs) / 60_000, megabytes, files });
  } catch {
    // it has just ended
  }
}, 1000);
const code = await ended(soak);
clearInterval(timer);
if (code !== 0) throw new Error(`the run ended with ${code}`);
// The first third is warm-up: the heap and the allocator's caches fill.
const settled = samples.slice(Math.floor(samples.length / 3));
const mean = (/** @type {number[]} */ values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const [meanMinute, meanMegabytes] = [mean(settled.map(({ minute }) => minute)), mean(settled.map(({ megabytes }) => megabytes))];
const slope =
  settled.reduce((sum, { minute, megabytes }) => sum + (minute - meanMinute) * (megabytes - meanMegabytes), 0) /
  settled.reduce((sum, { minute }) => sum + (minute - meanMinute) ** 2, 0);
const half = settled.length >> 1;
const files = [settled.slice(0, half), settled.slice(half)].map((part) => Math.max(...part.map((sample) => sample.files)));
const steps = JSON.parse(readFileSync(path.join(scratch, 'run/status.json'), 'utf8')).step;
const entries = readdirSync(path.join(scratch, 'run/checkpoints'));
console.log(
  `soak: ${minutes} min, ${steps} steps, ${Math.floor(steps / 100)} checkpoints; memory ${meanMegabytes.toFixed(0)} MB, slope ` +
    `${slope.toFixed(2)} MB/min; open files at most ${files.join(' then ')}; checkpoints left: ${entries.length}`,
);
if (files[1] > files[0]) throw new Error('open files grow');
if (entries.some((name) => name.startsWith('.')) || entries.length > 4) throw new Error(`files are left over: ${entries}`);

/** Milliseconds of the loop for so many steps, from the log. @param {string[]} set */
async function loopMs(set) {
  const run = path.join(scratch, 'timed');
  const status = await ended(train(['--run', run, ...set.flatMap((assignment) => ['--set', assignment])]));
  if (status !== 0) throw new Error(`a timed run ended with ${status}`);
  const last = readFileSync(path.join(run, 'metrics.jsonl'), 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line)).filter(({ kind }) => kind === 'step').at(-1);
  rmSync(run, { recursive: true });
  return last.elapsedMs;
}
if (pairs > 0) {
  const timed = ['training.steps=1500', 'evaluation.everySteps=null', 'samples.everySteps=null'];
  /** @type {number[]} */
  const costs = [];
  for (let pair = 0; pair < pairs; pair++) {
    const measure = async (/** @type {string} */ every) => loopMs([...timed, `checkpoints.everySteps=${every}`]);
    const [first, second] = pair % 2 === 0 ? ['null', '50'] : ['50', 'null'];
    const [a, b] = [await measure(first), await measure(second)];
    const [without, saving] = first === 'null' ? [a, b] : [b, a];
    costs.push((saving - without) / 29); // the one at the end comes after the last step
  }
  costs.sort((a, b) => a - b);
  const median = costs[costs.length >> 1];
  console.log(`saving: ${median.toFixed(1)} ms a checkpoint (median of ${pairs} pairs), ${(median / 600).toFixed(3)} % of the time at one a minute`);
}
rmSync(scratch, { recursive: true });
