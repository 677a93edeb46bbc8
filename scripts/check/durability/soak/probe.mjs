// Loaded into the process of a soak (node --expose-gc --import): every other second it collects garbage, in every
// thread, and writes what the process then holds as a line to descriptor 3: memory in MB, tensors of TensorFlow.js, and
// open handles. Linux with the GNU C library from 2.33 on: /proc, mallinfo2.
import { readFileSync, writeSync } from 'node:fs';
import { getHeapCodeStatistics } from 'node:v8';
import { isMainThread } from 'node:worker_threads';
import koffi from 'koffi';

const everyMs = 2000;
const collectGarbage = /** @type {() => void} */ (globalThis.gc);
const began = performance.now();
const megabytes = (/** @type {number} */ bytes) => bytes / 1e6;

/** What the process has of its own, in memory or swapped out: pages of libraries come and go as the system likes. */
function anonymousBytes() {
  const status = readFileSync('/proc/self/status', 'utf8');
  const kibibytes = (/** @type {string} */ name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]);
  return (kibibytes('RssAnon') + kibibytes('VmSwap')) * 1024;
}

/**
 * C's allocator, which TensorFlow and Node share: bytes handed out in all its arenas, and what it keeps free for later.
 */
function allocatorBytes() {
  const names = [
    'arena',
    'ordblks',
    'smblks',
    'hblks',
    'hblkhd',
    'usmblks',
    'fsmblks',
    'uordblks',
    'fordblks',
    'keepcost',
  ];
  const counts = koffi.struct(Object.fromEntries(names.map((name) => [name, 'size_t'])));
  const mallinfo2 = koffi.load('libc.so.6').func('mallinfo2', counts, []);
  return () => {
    const { uordblks, hblkhd, fordblks } = mallinfo2();
    return { allocated: uordblks + hblkhd, free: fordblks };
  };
}

/** @param {ReturnType<typeof allocatorBytes>} allocator */
function look(allocator) {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  const { allocated, free } = allocator();
  // The engine that every copy of TensorFlow.js in a process shares.
  // none before TensorFlow is loaded
  const { numTensors, numDataBuffers } = /** @type {any} */ (globalThis)._tfengine?.state ?? {};
  const line = {
    minute: (performance.now() - began) / 60_000,
    anonymous: megabytes(anonymousBytes()),
    heap: megabytes(heapUsed),
    code: megabytes(getHeapCodeStatistics().code_and_metadata_size),
    buffers: megabytes(external),
    allocated: megabytes(allocated),
    free: megabytes(free),
    tensors: numTensors + numDataBuffers,
    // calls under way end by themselves
    handles: process.getActiveResourcesInfo().filter((name) => !/Req|Immediate/.test(name)).length,
  };
  writeSync(3, `${JSON.stringify(line)}\n`);
}

if (isMainThread) {
  const allocator = allocatorBytes();
  setInterval(() => look(allocator), everyMs).unref();
} else setInterval(collectGarbage, everyMs).unref();
