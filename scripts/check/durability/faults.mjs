/**
 * Makes every file system call of a save fail once, and replays crashes: no checkpoint may be lost or falsely
 * reported.
 *
 *   npm run check -- faults
 *
 * A layer around node:fs injects the failures. Then every prefix of the recorded calls is replayed as a crash of the
 * machine would leave it, with only what was flushed on disk. Last, training into a full and into a read-only file
 * system, if this user may mount one.
 *
 * Time: 1 minute
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { program } from '../../lib/clm.mjs';

// In memory where that can be: what is tested is the order of the calls, not the disk.
const scratch = fs.mkdtempSync(path.join(fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir(), 'clm-faults-'));
const own = { readFileSync: fs.readFileSync, writeFileSync: fs.writeFileSync, mkdirSync: fs.mkdirSync };

/** What the layer does: counts, fails call number `failAt`, and tells `seen` of every call that changes something. */
const layer = { calls: 0, failAt: 0, code: '', seen: (/** @type {string} */ _name, /** @type {any[]} */ _args) => {} };
let isShort = false;
/** @param {string} name @param {any} original @param {(self: any, args: any[]) => any[]} describe */
const around = (name, original, describe = (_, args) => args) =>
  /** @this {any} @param {any[]} args */
  function (...args) {
    if (layer.failAt > 0 && ++layer.calls === layer.failAt) {
      if (layer.code !== 'SHORT') {
        const error = Object.assign(new Error(`${layer.code}: injected into ${name}`), { code: layer.code });
        if (name.endsWith('Sync')) throw error;
        return Promise.reject(error);
      }
      isShort = true;
      // A short write: half of what was asked for, as the system may.
      if (name === 'write') return original.call(this, args[0], args[1], Math.ceil(args[2] / 2), args[3]);
      if (name === 'writeSync') return original.call(this, args[0], args[1].subarray(0, Math.ceil(args[1].length / 2)));
    }
    const result = original.apply(this, args);
    const done = (/** @type {any} */ value) => {
      layer.seen(name, describe(this, args));
      return value;
    };
    return name.endsWith('Sync') ? done(result) : result.then(done);
  };

const probe = await fs.promises.open(path.join(scratch, 'probe'), 'w');
const handles = Object.getPrototypeOf(probe);
await probe.close();
const pathOf = new WeakMap();
const realOpen = fs.promises.open;
fs.promises.open = around('open', async (/** @type {any[]} */ ...args) => {
  const handle = await realOpen(.../** @type {Parameters<typeof realOpen>} */ (args));
  pathOf.set(handle, args[0]);
  return handle;
});
const promises = /** @type {Record<string, any>} */ (fs.promises);
const calls = /** @type {Record<string, any>} */ (fs);
for (const name of ['mkdir', 'rename', 'rm', 'stat', 'statfs', 'readdir', 'writeFile'])
  promises[name] = around(name, promises[name]);
for (const name of ['write', 'sync', 'close'])
  handles[name] = around(name, handles[name], (self) => [pathOf.get(self)]);
for (const name of ['openSync', 'writeSync', 'fsyncSync', 'closeSync']) calls[name] = around(name, calls[name]);
syncBuiltinESMExports();

const { newestValidCheckpoint, saveCheckpoint } = await import('#clm/checkpoint/checkpoint.js');
const { openMetrics, truncateMetrics } = await import('#clm/run/metrics.js');
const { clearLeftovers } = await import('#clm/run/runDirectory.js');
const { ExpectedError } = await import('#clm/errors.js');

/** @param {number} step */
const content = (step) => ({
  step,
  state: { cursor: { step } },
  configText: 'name: a\n',
  tokenizerText: '{"kind":"bytes"}\n',
  model: [{ name: 'w', shape: [3, 5], values: Float32Array.from({ length: 15 }, (_, i) => i + step) }],
  optimizer: [{ name: 'm', shape: [15], values: new Float32Array(15).fill(step) }],
});
let runs = 0;
async function freshRun() {
  const run = path.join(scratch, `run-${runs++}`);
  for (const step of [1, 2]) await saveCheckpoint(run, content(step), { keepLast: 2 });
  return run;
}
/**
 * The operation under test: a record, flushed, and a checkpoint that replaces one of its own step or prunes another.
 * @param {string} run @param {number} step
 */
async function operation(run, step) {
  const metrics = openMetrics(path.join(run, 'metrics.jsonl'));
  try {
    metrics.append(/** @type {any} */ ({ kind: 'step', step }));
    metrics.flush();
  } finally {
    metrics.close();
  }
  await saveCheckpoint(run, content(step), { keepLast: 2 });
}

let injected = 0;
let refused = 0;
for (const step of [2, 3]) {
  for (const code of ['ENOSPC', 'EIO', 'EROFS', 'EINTR', 'EDQUOT', 'SHORT']) {
    for (let failAt = 1; ; failAt++) {
      const run = await freshRun();
      Object.assign(layer, { calls: 0, failAt, code });
      isShort = false;
      const failure = await operation(run, step).then(
        () => undefined,
        (error) => error,
      );
      const wasReached = layer.calls >= failAt;
      layer.failAt = 0;
      if (!wasReached) break;
      injected++;
      if (failure !== undefined && !(failure instanceof ExpectedError)) throw failure;
      if (failure !== undefined) refused++;
      const at = `call ${failAt} failed with ${code}, step ${step}, ${run}`;
      if (failure !== undefined && isShort) throw new Error(`a short write is no failure: ${at}`, { cause: failure });
      const { checkpoint, skipped } = await newestValidCheckpoint(run);
      if (skipped.length > 0) throw new Error(`a damaged checkpoint after ${at}`);
      if (checkpoint === undefined || checkpoint.step < 2)
        throw new Error(`the last good checkpoint is lost after ${at}`);
      if (failure === undefined && checkpoint.step !== step) throw new Error(`a false success after ${at}`);
      if (
        failure === undefined &&
        !own.readFileSync(path.join(run, 'metrics.jsonl'), 'utf8').includes(`"step":${step}`)
      ) {
        throw new Error(`a record is lost after ${at}`);
      }
      // The next save must succeed, and the leftovers go.
      await operation(run, 4);
      await clearLeftovers(run);
      await truncateMetrics(path.join(run, 'metrics.jsonl'), 4);
      const names = fs.readdirSync(path.join(run, 'checkpoints')).filter((name) => name.startsWith('.'));
      if (names.length > 0) throw new Error(`leftovers stay after ${at}: ${names}`);
      fs.rmSync(run, { recursive: true });
    }
  }
}
console.log(`faults: ${injected} injected, ${refused} reported, no checkpoint lost, no false success`);

/**
 * Files by path; what is not flushed is lost in a crash, names are kept: the worst order that a file system may choose.
 */
let crashes = 0;
for (const step of [2, 3]) {
  const run = await freshRun();
  /** @type {Map<string, { bytes: Buffer, flushed: boolean }>} */
  const tree = new Map();
  for (const entry of fs.readdirSync(run, { recursive: true, withFileTypes: true })) {
    const file = path.join(entry.parentPath, entry.name);
    if (entry.isFile()) tree.set(file, { bytes: own.readFileSync(file), flushed: true });
  }
  /** @type {Map<string, { bytes: Buffer, flushed: boolean }>[]} */
  const states = [];
  const note = () =>
    void states.push(new Map([...tree].map(([file, { bytes, flushed }]) => [file, { bytes, flushed }])));
  const below = (/** @type {string} */ folder) =>
    [...tree.keys()].filter((file) => file === folder || file.startsWith(`${folder}/`));
  layer.seen = (name, [first, second]) => {
    if (name === 'writeFile' || name === 'write') tree.set(first, { bytes: own.readFileSync(first), flushed: false });
    else if (name === 'sync') {
      const file = tree.get(first);
      if (file !== undefined) file.flushed = true;
    } else if (name === 'rename') {
      for (const file of below(first)) {
        tree.set(
          second + file.slice(first.length),
          /** @type {{ bytes: Buffer, flushed: boolean }} */ (tree.get(file)),
        );
        tree.delete(file);
      }
    } else if (name === 'rm') {
      for (const file of below(first)) {
        tree.delete(file);
        note();
      }
    } else return;
    note();
  };
  await saveCheckpoint(run, content(step), { keepLast: 2 });
  layer.seen = () => {};
  for (const [at, files] of states.entries()) {
    for (const keepsUnflushed of [false, true]) {
      const crashed = path.join(scratch, 'crashed');
      for (const [file, { bytes, flushed }] of files) {
        const copy = path.join(crashed, path.relative(run, file));
        own.mkdirSync(path.dirname(copy), { recursive: true });
        own.writeFileSync(copy, flushed || keepsUnflushed ? bytes : bytes.subarray(0, bytes.length >> 1));
      }
      crashes++;
      const { checkpoint, skipped } = await newestValidCheckpoint(crashed);
      if (skipped.length > 0 || checkpoint === undefined || checkpoint.step < Math.min(2, step)) {
        throw new Error(
          `a crash after call ${at + 1} of ${states.length} leaves ${checkpoint?.step}, ${JSON.stringify(skipped)}`,
        );
      }
      if (at === states.length - 1 && checkpoint.step !== step) throw new Error('a finished save is lost');
      fs.rmSync(crashed, { recursive: true });
    }
  }
}
console.log(
  `crashes: ${crashes} replayed (every prefix of the calls, with and without what was not flushed), always a ` +
    `valid checkpoint`,
);

const mount = path.join(scratch, 'full');
fs.mkdirSync(mount);
const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=400k', 'tmpfs', mount]).status === 0;
if (mounted) {
  try {
    fs.writeFileSync(path.join(scratch, 'text.txt'), 'It was the best of times. '.repeat(60));
    const config = path.join(scratch, 'tiny.yaml');
    fs.writeFileSync(
      config,
      'corpus: { sources: [{ path: text.txt }] }\nmodel: { layers: 1, heads: 2, width: 16, contextLength: 8 }\n' +
        'training: { microBatchSize: 3, steps: 60 }\nschedule: { warmupSteps: 1 }\nsamples: { everySteps: null, ' +
        'prompt: It }\n' +
        'evaluation: { everySteps: null }\ncheckpoints: { everySteps: 5, keepLast: null }\n',
    );
    const clm = program;
    const run = path.join(mount, 'run');
    const { status, stderr } = spawnSync(process.execPath, [clm, 'train', config, '--run', run], { encoding: 'utf8' });
    if (status !== 3 || !stderr.includes('The last checkpoint could not be saved'))
      throw new Error(`a full disk: ${status} ${stderr}`);
    if (!stderr.includes('the next one due tries again')) throw new Error(`no warning of the first failure: ${stderr}`);
    const { checkpoint, skipped } = await newestValidCheckpoint(run);
    if (checkpoint === undefined || skipped.length > 0) throw new Error(`a full disk left ${JSON.stringify(skipped)}`);
    console.log(`full disk: exit 3, the checkpoint of step ${checkpoint.step} is whole`);
    if (spawnSync('mount', ['-o', 'remount,ro', mount]).status !== 0)
      throw new Error('the full disk could not be made read-only');
    for (const place of ['run', 'new/run']) {
      const refused = spawnSync(
        process.execPath,
        [clm, 'train', config, '--resume', '--run', path.join(mount, place)],
        { encoding: 'utf8' },
      );
      if (refused.status !== 3 || !refused.stderr.includes('is read-only'))
        throw new Error(`a read-only disk: ${refused.status} ${refused.stderr}`);
    }
    console.log('read-only disk: exit 3 for a run that is there and for a new one');
  } finally {
    spawnSync('umount', [mount]);
  }
} else console.log('full disk: not tried, no right to mount a file system');
fs.rmSync(scratch, { recursive: true });
