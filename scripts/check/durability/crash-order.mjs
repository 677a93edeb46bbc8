/**
 * Records with strace the file calls of training and replays a crash of the machine after each of them.
 *
 *   npm run check -- crash-order [RANDOM=3 [RESUMES=6 [SEED=1]]]
 *
 * A run trains, is resumed, saves and deletes. After each call the disk is laid out as a crash might leave it: all
 * that was written; only what was flushed; names without bytes; and RANDOM times, each change by chance whole, in part
 * or not at all. There must always be a valid checkpoint, none older than the last one reported, none damaged, and a
 * log as long as the checkpoint. RESUMES of those states are resumed to the end and must equal the uninterrupted run.
 * Linux with strace; exit code 3 without.
 *
 * Time: 2 minutes
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { verifyCheckpoints } from '#clm/checkpoint/verify.js';
import { findConfig, prepareTraining } from '#clm/training/prepare.js';
import { program } from '../../lib/clm.mjs';
import { runOutcome } from '../../lib/runOutcome.mjs';
import { afterCrash, apply, emptyDisk } from './crash-order/disk.mjs';
import { recordFileCalls, straceMissing } from './crash-order/systemCalls.mjs';

const [random = 3, resumes = 6, seed = 1] = process.argv.slice(2).map(Number);
const missing = straceMissing();
if (missing !== undefined) {
  console.error(`crash order: not checked, ${missing}. npm run check -- faults replays the calls as Node makes them.`);
  process.exit(3);
}
let state = seed;
const chance = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;

// In memory where that can be: what is tested is the order of the calls, not the disk.
const scratch = mkdtempSync(path.join(existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir(), 'clm-crash-order-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
const config = path.join(scratch, 'tiny.yaml');
writeFileSync(path.join(scratch, 'text.txt'), 'It was the best of times, it was the worst of times. '.repeat(60));
writeFileSync(
  config,
  `corpus: { sources: [{ path: text.txt }] }
model: { layers: 1, heads: 2, width: 8, contextLength: 8 }
training: { microBatchSize: 3, steps: 22 }
evaluation: { everySteps: 6 }
samples: { everySteps: 8, prompt: It, maxTokens: 3 }
checkpoints: { everySteps: 3, keepLast: 2, keepBest: 1 }
schedule: { kind: constant, warmupSteps: 2 }
`,
);
/** @param {string} run @param {number} steps */
const trainArgs = (run, steps) => [
  program,
  'train',
  config,
  '--run',
  run,
  '--resume',
  '--quiet',
  '--set',
  `training.steps=${steps}`,
];
const lastStep = 22;

// The disk, call by call, and after which call which checkpoint had been reported.
const folder = path.join(scratch, 'recorded');
mkdirSync(folder);
const run = path.join(folder, 'run');
const disk = emptyDisk(folder);
/** @type {{ calls: number, step: number }[]} */
const reported = [];
const kinds = { flush: 0, rename: 0 };
for (const args of [
  trainArgs(run, 10),
  trainArgs(run, lastStep),
  [path.join(import.meta.dirname, 'crash-order/saveAgain.mjs'), run],
]) {
  disk.open.clear();
  for (const call of recordFileCalls(args, folder, path.join(scratch, 'strace'))) {
    apply(disk, call);
    if (call.call === 'flush' || call.call === 'rename') kinds[call.call]++;
    const step = call.call === 'write' && /^\{"kind":"checkpoint","step":(\d+)/.exec(call.bytes.toString())?.[1];
    if (step) reported.push({ calls: disk.calls, step: Number(step) });
  }
}
assertReplayed();
console.log(
  `recorded: ${disk.calls} calls that change something, ${kinds.flush} flushes and ${kinds.rename} renames among ` +
    `them, ${reported.length} checkpoints`,
);

/** The replay of all calls must give the files that are really there. */
function assertReplayed() {
  const tree = afterCrash(disk, Infinity, () => 1);
  const real = readdirSync(folder, { recursive: true, withFileTypes: true });
  const wrong = real.filter((entry) => {
    const file = path.join(entry.parentPath, entry.name);
    const replayed = tree.get(path.relative(folder, file));
    return entry.isFile() ? !replayed?.equals(readFileSync(file)) : replayed !== null;
  });
  if (wrong.length > 0 || real.length !== tree.size)
    throw new Error(`the replay differs from the disk: ${wrong.map(({ name }) => name)}`);
}

/** @param {Map<string, Buffer | null>} tree @param {string} target */
function layOut(tree, target) {
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target);
  for (const [file, bytes] of tree) {
    if (bytes === null) mkdirSync(path.join(target, file), { recursive: true });
    else writeFileSync(path.join(target, file), bytes);
  }
}

/**
 * What is wrong with a run as a crash left it, or undefined. @param {string} crashed @param {number} atLeast step of
 * the last checkpoint reported
 */
async function problem(crashed, atLeast) {
  for await (const { valid, reason } of verifyCheckpoints(crashed))
    if (!valid) return `a damaged checkpoint: ${reason}`;
  const request = { config: config, runDirectory: crashed, set: [`training.steps=${lastStep}`], resume: true };
  const { progress, skipped } = await prepareTraining(findConfig(request));
  const startStep = progress.step;
  if (skipped.length > 0 || startStep < atLeast) return `resumes at ${startStep}, ${atLeast} was reported`;
  if (startStep === 0) return undefined;
  const lines = readFileSync(path.join(crashed, 'metrics.jsonl'), 'utf8').split('\n');
  for (let step = 1; step <= startStep; step++) {
    if (!lines.some((line) => line.startsWith(`{"kind":"step","step":${step},`) && line.endsWith('}')))
      return `the log lacks step ${step} of ${startStep}`;
  }
  return undefined;
}

const ways = [
  { name: 'all that was written', share: () => 1 },
  { name: 'only what was flushed', share: () => 0 },
  { name: 'names without bytes', share: (/** @type {object} */ change) => ('names' in change ? 1 : 0) },
  ...Array.from({ length: random }, () => ({
    name: 'by chance',
    share: () => [0, chance(), 1][Math.floor(3 * chance())],
  })),
];
const crashed = path.join(scratch, 'crashed');
/** @type {Map<string, { tree: Map<string, Buffer | null>, what: string }>} */
const states = new Map();
let crashes = 0;
for (let calls = 1; calls <= disk.calls; calls++) {
  const atLeast = Math.max(0, ...reported.filter((report) => report.calls <= calls).map(({ step }) => step));
  for (const { name, share } of ways) {
    const tree = afterCrash(disk, calls, share);
    crashes++;
    const hash = createHash('sha256').update(String(atLeast));
    for (const [file, bytes] of [...tree].sort(([a], [b]) => (a < b ? -1 : 1)))
      hash.update(`\0${file}\0`).update(bytes ?? 'folder');
    const key = hash.digest('hex');
    if (states.has(key)) continue;
    const what = `a crash after call ${calls} of ${disk.calls} (${name})`;
    states.set(key, { tree, what });
    layOut(tree, crashed);
    const wrong = await problem(path.join(crashed, 'run'), atLeast).catch((error) => error.stack);
    if (wrong !== undefined) throw new Error(`${what}: ${wrong}; ${[...tree.keys()].join(' ')}`);
  }
}
console.log(
  `crashes: ${crashes}, ${states.size} different disks: always a valid checkpoint, none older than the last one ` +
    `reported, none damaged`,
);

const straight = path.join(scratch, 'straight');
if (spawnSync(process.execPath, trainArgs(straight, lastStep)).status !== 0)
  throw new Error('the uninterrupted run failed');
const expected = runOutcome(straight);
const all = [...states.values()];
for (let resume = 0; resume < resumes; resume++) {
  const { tree, what } = all[Math.floor((resume + chance()) * (all.length / resumes))];
  layOut(tree, crashed);
  const { status, stderr } = spawnSync(process.execPath, trainArgs(path.join(crashed, 'run'), lastStep), {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${what}: --resume ended with ${status}: ${stderr}`);
  if (runOutcome(path.join(crashed, 'run')) !== expected)
    throw new Error(`${what}: the resumed run differs from the uninterrupted one`);
}
console.log(`resumes: ${resumes} of those disks resumed to the end, all equal to the uninterrupted run`);
