/** The SHA-256 of a file, computed on another thread while this one does other work, even work that does not yield. */
import { Worker } from 'node:worker_threads';

/** In the thread: reads the file piece by piece into the same memory. It has no file of its own, to start sooner. */
const program = `
const { createHash } = require('node:crypto');
const { openSync, readSync } = require('node:fs');
const { parentPort, workerData } = require('node:worker_threads');
const hash = createHash('sha256');
const file = openSync(workerData, 'r');
const buffer = Buffer.alloc(1 << 20);
for (let bytes; (bytes = readSync(file, buffer)) > 0; ) hash.update(buffer.subarray(0, bytes));
parentPort.postMessage(hash.digest('hex'));
`;

/** @returns it in lower-case hexadecimal @throws as reading the file does */
export function hashInThread(path: string): Promise<string> {
  const worker = new Worker(program, { eval: true, workerData: path });
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}
