/**
 * Measures training steps, the memory of long runs, or the start-up time.
 *
 *   npm run measure -- program speed|memory|startup
 *
 * Runs that are compared alternate, because machines drift. Linux only: memory comes from /proc.
 *
 * Time: speed 3 minutes, memory 8 minutes (and 2 GB of disk), startup 20 s
 */
import { spawn } from 'node:child_process';
import { createWriteStream, readFileSync } from 'node:fs';
import { once } from 'node:events';
import os from 'node:os';
import path from 'node:path';
import { print, program, root, scratchFolder, settings } from '../lib/clm.mjs';
import { median } from '../lib/statistics.mjs';
import { mobyDick } from '../lib/mobyDick.mjs';

/**
 * Runs clm; `onLine` sees every line of its stdout as it comes, with the process's id.
 * @param {string[]} args
 * @param {(line: string, processId: number, elapsedMs: number) => void} [onLine]
 * @returns {Promise<{ lines: string[], elapsedMs: number }>}
 */
function clm(args, onLine = () => {}) {
  const startMs = performance.now();
  const child = spawn(process.execPath, [program, ...args], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  let pending = '';
  /** @type {string[]} */
  const lines = [];
  child.stdout.on('data', (chunk) => {
    const parts = (pending + chunk).split('\n');
    pending = parts.pop() ?? '';
    for (const line of parts) {
      lines.push(line);
      onLine(line, Number(child.pid), performance.now() - startMs);
    }
  });
  return new Promise((resolve, reject) =>
    child.on('close', (code) =>
      code === 0
        ? resolve({ lines, elapsedMs: performance.now() - startMs })
        : reject(new Error(`clm ${args.join(' ')}: exit code ${code}`)),
    ),
  );
}

/** @typedef {Record<'msPerStep' | 'gflops' | 'matmulGflops' | 'recordMs' | 'waitingShare', number>} Bench */
/** @param {Record<string, unknown>} set @param {string[]} flags @returns {Promise<Bench>} */
async function bench(set, ...flags) {
  const { lines } = await clm(['bench', config, ...settings(set), ...flags, '--json']);
  return JSON.parse(lines.at(-1) ?? '');
}

const config = 'configs/moby-dick.yaml';
const large = {
  ...{ 'model.layers': 6, 'model.heads': 6, 'model.width': 384, 'model.contextLength': 256 },
  'training.microBatchSize': 8,
};

async function speed(rounds = 3) {
  for (const { name, set, steps } of [
    { name: 'L4 H4 C128 T64 B12', set: {}, steps: '60' },
    { name: 'L6 H6 C384 T256 B8', set: large, steps: '6' },
  ]) {
    /** @type {Record<'recorded' | 'eager' | 'bfloat16', Bench[]>} */
    const rows = { recorded: [], eager: [], bfloat16: [] };
    for (let round = 0; round < rounds; round++) {
      rows.recorded.push(await bench(set, '--steps', steps));
      rows.eager.push(await bench(set, '--steps', steps, '--eager'));
      rows.bfloat16.push(await bench({ ...set, 'training.precision': 'bfloat16' }, '--steps', steps));
    }
    const ms = (/** @type {keyof typeof rows} */ row) => median(rows[row].map(({ msPerStep }) => msPerStep));
    const eagerRatio = median(rows.recorded.map((recorded, i) => rows.eager[i].msPerStep / recorded.msPerStep));
    const halfRatio = median(rows.recorded.map((recorded, i) => rows.bfloat16[i].msPerStep / recorded.msPerStep));
    const share = median(rows.recorded.map(({ gflops, matmulGflops }) => gflops / matmulGflops));
    const of = (/** @type {keyof Bench} */ key) => median(rows.recorded.map((each) => each[key]));
    print(
      `${name}: recorded ${ms('recorded').toFixed(1)} ms a step, eager ${ms('eager').toFixed(1)} ` +
        `(${eagerRatio.toFixed(2)} times), bfloat16 ${ms('bfloat16').toFixed(1)} (${halfRatio.toFixed(2)} of float32)`,
    );
    print(
      `${name}: ${(100 * share).toFixed(0)} % of the float32 matmul peak (${of('matmulGflops').toFixed(0)} GFLOP/s); ` +
        `recorded in ${Math.round(of('recordMs'))} ms; waited for data ${(100 * of('waitingShare')).toFixed(2)} %`,
    );
  }
}

/** @param {number} pid @param {'VmRSS' | 'VmHWM'} field */
const residentMib = (pid, field) =>
  Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;

/**
 * Trains and returns resident MiB by step, and the peak.
 * @param {string} scratch @param {string} name @param {Record<string, unknown>} set
 */
async function trainWatched(scratch, name, set) {
  /** @type {Map<number, number>} */
  const bySteps = new Map();
  let peakMib = 0;
  const args = ['train', config, '--run', path.join(scratch, name), '--json', '--quiet'];
  await clm([...args, ...settings(set)], (line, pid) => {
    const fact = JSON.parse(line);
    if (fact.kind !== 'step') return;
    bySteps.set(fact.step, residentMib(pid, 'VmRSS'));
    peakMib = residentMib(pid, 'VmHWM');
  });
  return { bySteps, peakMib };
}

/** A text of at least `bytes`: Moby-Dick over and over. @param {string} file @param {number} bytes */
async function writeText(file, bytes) {
  const text = mobyDick();
  const output = createWriteStream(file);
  for (let written = 0; written < bytes; written += text.length) {
    if (!output.write(text.subarray(0, Math.min(text.length, bytes - written)))) await once(output, 'drain');
  }
  output.end();
  await once(output, 'finish');
}

/** @param {string} scratch */
async function memory(scratch) {
  const tiny = {
    ...{ 'model.layers': 2, 'model.heads': 2, 'model.width': 32 },
    ...{ 'evaluation.everySteps': null, 'samples.everySteps': null, 'checkpoints.everySteps': null },
  };
  const { bySteps } = await trainWatched(scratch, 'long', { ...tiny, 'training.steps': 2000 });
  print(
    `2,000 steps: resident ${bySteps.get(200)?.toFixed(0)} MiB at step 200, ` +
      `${bySteps.get(2000)?.toFixed(0)} MiB at step 2,000`,
  );
  const peaks = [];
  for (const { name, bytes } of [
    { name: '2 MB', bytes: 2e6 },
    { name: '2 GB', bytes: 2e9 },
  ]) {
    const file = path.join(scratch, 'text.txt');
    await writeText(file, bytes);
    // 0.0001 for validation: scoring 200 MB would take the time, not the memory.
    const set = {
      ...tiny,
      ...{ 'training.steps': 3000, 'training.microBatchSize': 24 },
      ...{ 'corpus.sources[0].path': file, 'corpus.validation.tail': 0.0001 },
    };
    const { peakMib } = await trainWatched(scratch, `corpus-${bytes}`, set);
    peaks.push(peakMib);
    print(`${name} of text, 3,000 steps of 1,536 tokens: peak ${peakMib.toFixed(0)} MiB`);
  }
  print(`the larger text costs ${(peaks[1] - peaks[0]).toFixed(0)} MiB`);
}

/** @param {string} scratch */
async function startup(scratch) {
  const help = [];
  for (let i = 0; i < 10; i++) help.push((await clm(['--help'])).elapsedMs);
  print(`clm --help: median ${median(help).toFixed(0)} ms of 10`);
  const first = [];
  for (let i = 0; i < 3; i++) {
    const args = ['train', config, '--run', path.join(scratch, `first-${i}`), '--json', '--quiet'];
    const set = settings({ 'training.steps': 1, 'schedule.warmupSteps': 0, 'corpus.validation.tail': 0.001 });
    /** @type {number | undefined} */
    let firstMs;
    await clm([...args, ...set], (line, _, elapsedMs) => {
      if (JSON.parse(line).kind === 'step') firstMs ??= elapsedMs;
    });
    first.push(firstMs ?? NaN);
  }
  print(
    `first step of ${config} (a validation set of a thousandth): median ` +
      `${(median(first) / 1000).toFixed(2)} s after the process starts`,
  );
}

const parts = { speed: () => speed(), memory, startup };
const measure = parts[/** @type {keyof typeof parts} */ (process.argv[2])];
if (measure === undefined) {
  process.stderr.write('error: say what to measure: npm run measure -- program speed|memory|startup\n');
  process.exit(2);
}
print(`${os.cpus()[0].model.trim()}, ${os.availableParallelism()} cores, Node ${process.versions.node}`);
await measure(scratchFolder('measure'));
