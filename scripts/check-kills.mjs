// Kills a training run (SIGKILL) over and over, most of the times while it saves, and resumes it; every finished run must
// equal one that was never interrupted, byte for byte. Then races of two processes for one run directory, and resumes
// after a stop at random steps: node scripts/check-kills.mjs [KILLS [RACES [STOPS [SEED]]]]
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, watch, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
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

/** @param {string} run @param {(child: import('node:child_process').ChildProcess) => void} [began] */
const train = (run, began) =>
  new Promise((resolve) => {
    const args = [path.join(root, 'dist/cli/main.js'), 'train', config, '--run', run, '--resume'];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr.on('data', (chunk) => (stderr += chunk));
    began?.(child);
    child.on('close', (code, signal) => resolve({ code, signal, stderr }));
  });

/** Everything that must be the same: the log without times, and the bytes of all checkpoints. @param {string} run */
function outcome(run) {
  const records = readFileSync(path.join(run, 'metrics.jsonl'), 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line));
  for (const record of records) for (const key of ['elapsedMs', 'tokensPerSecond', 'path']) delete record[key];
  records.sort((a, b) => a.step - b.step || Number(a.kind === 'checkpoint') - Number(b.kind === 'checkpoint'));
  const folder = path.join(run, 'checkpoints');
  const files = readdirSync(folder).sort().flatMap((step) =>
    readdirSync(path.join(folder, step)).sort().map((name) => `${step}/${name} ${readFileSync(path.join(folder, step, name), 'base64')}`),
  );
  return JSON.stringify({ records, files });
}

/** @param {string} what @param {unknown} detail @returns {never} */
const fail = (what, detail) => {
  throw new Error(`${what}: ${typeof detail === 'string' ? detail : JSON.stringify(detail)}; kept in ${scratch}`);
};

const straight = path.join(scratch, 'straight');
const whole = await train(straight);
if (whole.code !== 0) fail('the uninterrupted run failed', whole);
const expected = outcome(straight);

let duringSave = 0;
let finished = 0;
let run = path.join(scratch, 'run-0');
for (let kill = 0; kill < kills; ) {
  const atSave = random() < 0.75;
  const delayMs = atSave ? random() * 8 : random() * 2500;
  let killedInSave = false;
  const result = await train(run, (child) => {
    if (!atSave) {
      const timer = setTimeout(() => child.kill('SIGKILL'), delayMs);
      child.on('close', () => clearTimeout(timer));
      return;
    }
    // Not always the first save of the process: then no run would get far.
    let savesLeft = Math.floor(random() * 8);
    let last = '';
    /** @type {import('node:fs').FSWatcher | undefined} */
    let watcher;
    const begin = setInterval(() => {
      if (!existsSync(path.join(run, 'checkpoints'))) return;
      clearInterval(begin);
      watcher = watch(path.join(run, 'checkpoints'), (_, name) => {
        if (!name?.includes('clm-unfinished') || name === last) return;
        last = name;
        if (savesLeft-- > 0 || killedInSave) return;
        killedInSave = true;
        setTimeout(() => child.kill('SIGKILL'), delayMs);
      });
    }, 5);
    child.on('close', () => {
      clearInterval(begin);
      watcher?.close();
    });
  });
  if (result.signal === 'SIGKILL') {
    kill++;
    if (killedInSave) duringSave++;
    if (kill % 10 === 0) console.log(`${kill} kills, ${duringSave} of them in a save, ${finished} runs finished`);
    continue;
  }
  if (result.code !== 0) fail('a run could not be resumed', result);
  if (outcome(run) !== expected) fail('a run differs from the uninterrupted one', run);
  rmSync(run, { recursive: true });
  run = path.join(scratch, `run-${++finished}`);
}
const last = await train(run);
if (last.code !== 0) fail('a run could not be resumed', last);
if (outcome(run) !== expected) fail('a run differs from the uninterrupted one', run);
console.log(`kills: ${kills}, ${duringSave} of them in a save; ${finished + 1} runs finished, all equal to the uninterrupted one`);

for (let race = 0; race < races; race++) {
  const contested = path.join(scratch, 'contested');
  const results = await Promise.all([train(contested), train(contested)]);
  const codes = results.map(({ code }) => code).sort();
  // The loser is refused; or it came when the winner had ended, and found the run finished.
  const refused = results.filter(({ code, stderr }) => code === 2 && stderr.includes('is being written by')).length;
  const late = results.filter(({ code, stderr }) => code === 0 && stderr.includes('is finished')).length;
  if (codes[0] !== 0 || refused + late !== 1) fail('a race had not exactly one winner', results);
  if (outcome(contested) !== expected) fail('the winner of a race differs', contested);
  rmSync(contested, { recursive: true });
}
console.log(`races: ${races}, each with exactly one winner`);

for (let stop = 0; stop < stops; stop++) {
  const stopped = path.join(scratch, 'stopped');
  const afterMs = random() * 600;
  const first = await train(stopped, (child) => {
    child.stderr?.once('data', () => setTimeout(() => child.kill('SIGINT'), 300 + afterMs));
  });
  if (![0, 130].includes(first.code)) fail('a stop did not save', first);
  const second = await train(stopped);
  if (second.code !== 0) fail('a stopped run could not be resumed', second);
  // The stop leaves a checkpoint of its own step, which retention removes in time; what is kept for the end is the same.
  if (outcome(stopped) !== expected) fail('a stopped run differs', stopped);
  rmSync(stopped, { recursive: true });
}
console.log(`stops: ${stops}, each resumed bit for bit`);
rmSync(scratch, { recursive: true });
