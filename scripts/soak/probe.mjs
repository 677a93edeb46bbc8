// Loaded into the process of a soak (node --expose-gc --import): every other second it collects garbage and writes what the
// process then holds as a line to descriptor 3: memory in MB, tensors of TensorFlow.js, and open handles. Linux: /proc.
import { readFileSync, writeSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

const began = performance.now();
const megabytes = (/** @type {number} */ bytes) => Math.round(bytes / 1e4) / 100;

/** What the process has allocated, in memory or swapped out: pages of libraries come and go as the system likes. */
function anonymousMegabytes() {
  const status = readFileSync('/proc/self/status', 'utf8');
  const kibibytes = (/** @type {string} */ name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]);
  return Math.round((kibibytes('RssAnon') + kibibytes('VmSwap')) / 10.24) / 100;
}

const look = () => {
  /** @type {() => void} */ (globalThis.gc)();
  const { heapUsed, external } = process.memoryUsage();
  // The engine that every copy of TensorFlow.js in a process shares.
  const { numTensors, numDataBuffers } = /** @type {any} */ (globalThis)._tfengine?.state ?? {}; // none before TensorFlow is loaded
  const line = {
    minute: (performance.now() - began) / 60_000,
    anonymous: anonymousMegabytes(),
    heap: megabytes(heapUsed),
    buffers: megabytes(external),
    tensors: numTensors + numDataBuffers,
    handles: process.getActiveResourcesInfo().length,
  };
  writeSync(3, `${JSON.stringify(line)}\n`);
};
if (isMainThread) setInterval(look, 2000).unref();
