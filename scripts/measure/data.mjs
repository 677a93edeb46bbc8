/**
 * Measures the data side: throughput to micro-batches, waiting of the training, memory of large files.
 *
 *   npm run measure -- data [GIGABYTES=1] [--only PART,PART]
 *
 * Parts, all by default. throughputs: plain text through the whole pipeline, MB a second, in this thread, from a
 * worker, with two tokenising workers, and from a token cache. waiting: share of its time that training
 * configs/moby-dick.yaml waits for data. memory: peak of a process that reads 100 MB and of one that reads GIGABYTES,
 * and the time to the first micro-batch at nine tenths of the latter. Linux only. The text is generated and removed.
 *
 * Time: 5 minutes; 30 s for "--only waiting"
 */
import { closeSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { backgroundSequence } from '#clm/data/windows/backgroundSequence.js';
import { bytesOfTokens } from '#clm/data/tokens/tokens.js';
import { openCorpus } from '#clm/data/files/openCorpus.js';
import { trainingSequence } from '#clm/data/windows/mixture.js';
import { bytesTokenizer } from '#clm/data/tokenizers/bytes.js';
import { countCorpus, prepareTokenizer } from '#clm/data/tokens/prepareTokenizer.js';
import { jsonLines, print, program, root, scratchFolder, settings } from '../lib/clm.mjs';
import { measureProcess } from '../lib/measureProcess.mjs';
import { mobyDick } from '../lib/mobyDick.mjs';
import { mixedDocuments } from '../lib/mixedText.mjs';

const book = mobyDick();
const options = { seed: 1, contextLength: 256, microBatchSize: 16, shuffleTokens: 2 ** 21 };

/** @param {string} file @param {number} bytes */
function writeText(file, bytes) {
  const descriptor = openSync(file, 'w');
  for (let written = 0; written < bytes; written += book.length)
    writeSync(descriptor, book, 0, Math.min(book.length, bytes - written));
  closeSync(descriptor);
}

const open = (/** @type {{ path: string }} */ source, tail = 1e-4) =>
  openCorpus({ sources: [source], validation: { tail }, shuffleTokens: options.shuffleTokens });

/**
 * Megabytes of text a second until `megabytes` of it have come, the start of threads included.
 * @param {AsyncIterable<import('#clm/data/windows/batches.js').MicroBatch>} batches
 * @param {import('#clm/data/tokenizers/tokenizer.js').Tokenizer} tokenizer @param {number} megabytes
 */
async function throughput(batches, tokenizer, megabytes) {
  const startMs = performance.now();
  let bytes = 0;
  for await (const { targets } of batches) {
    if ((bytes += bytesOfTokens(targets, tokenizer)) >= megabytes * 1e6) break;
  }
  return bytes / 1e3 / (performance.now() - startMs);
}

/** This file again as a process; what it prints is JSON. @param {...(string | number)} args */
async function child(...args) {
  return JSON.parse((await measureProcess(process.execPath, [import.meta.filename, ...args.map(String)])).output);
}

if (process.argv[2] === 'read') {
  const corpus = await open({ path: process.argv[3] });
  const speed = await throughput(
    trainingSequence(corpus, bytesTokenizer(), options),
    bytesTokenizer(),
    Number(process.argv[4]),
  );
  print(
    JSON.stringify({
      speed,
      peakMib: Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1024,
    }),
  );
} else if (process.argv[2] === 'resume') {
  const startMs = performance.now();
  const corpus = await open({ path: process.argv[3] });
  const startByte = Math.floor(corpus.bytes * 0.9);
  const cursor = {
    version: /** @type {const} */ (1),
    epoch: 0,
    block: 400,
    startByte,
    windowsTaken: 5,
    trainingBytes: corpus.training.endByte,
  };
  const batches = trainingSequence(corpus, bytesTokenizer(), options, cursor);
  await batches.next();
  print(JSON.stringify({ ms: performance.now() - startMs }));
  await batches.return();
} else {
  const { values, positionals } = parseArgs({ options: { only: { type: 'string' } }, allowPositionals: true });
  await measure(Number(positionals[0] ?? 1), values.only);
}

/** @param {number} gigabytes @param {string} [only] */
async function measure(gigabytes, only) {
  const scratch = scratchFolder('measure-data');
  print(`${os.cpus()[0].model.trim()}, ${os.availableParallelism()} cores, Node ${process.versions.node}`);
  writeText(path.join(scratch, 'small.txt'), 1e8);
  for (const part of [throughputs, waiting, memory])
    if (only === undefined || only.split(',').includes(part.name)) await part(scratch, gigabytes);
}

/** @param {string} scratch */
async function throughputs(scratch) {
  writeFileSync(path.join(scratch, 'mixed.txt'), [...mixedDocuments(6e7)].join(''));
  /** @type {[name: string, Parameters<typeof prepareTokenizer>[0], file: string, megabytes: number][]} */
  const kinds = [
    ['characters', { kind: 'characters' }, 'small.txt', 80],
    ['bytes', { kind: 'bytes' }, 'small.txt', 80],
    ['bpe of 4096, mixed text', { kind: 'bpe', vocabularySize: 4096 }, 'mixed.txt', 50],
  ];
  for (const [name, choice, file, megabytes] of kinds) {
    const corpus = await open({ path: path.join(scratch, file) });
    const { tokenizer } = await prepareTokenizer(choice, corpus);
    const { corpus: cached } = await countCorpus(corpus, tokenizer, { cache: path.join(scratch, 'cache') });
    for (let round = 0; round < 2; round++) {
      const measured = (/** @type {Parameters<typeof throughput>[0]} */ batches) =>
        throughput(batches, tokenizer, megabytes);
      const here = await measured(trainingSequence(corpus, tokenizer, options));
      const worker = await measured(backgroundSequence(corpus, tokenizer, options));
      const two = await measured(backgroundSequence(corpus, tokenizer, { ...options, tokenizingWorkers: 2 }));
      const fromCache = await measured(backgroundSequence(cached, tokenizer, options));
      const speeds = [here, worker, two, fromCache].map((speed) => speed.toFixed(1)).join(', ');
      print(`${name}: ${speeds} MB/s in one thread, from a worker, with 2 tokenising workers, from the cache`);
    }
  }
}

/** @param {string} scratch */
async function waiting(scratch) {
  const set = settings({ 'training.steps': 300, 'samples.everySteps': null });
  const train = ['train', 'configs/moby-dick.yaml', '--run', path.join(scratch, 'run'), ...set, '--quiet', '--json'];
  const { output } = await measureProcess(process.execPath, [program, ...train], root);
  const { waitingShare } = jsonLines(output).at(-1);
  print(`waiting for data: ${(100 * waitingShare).toFixed(3)} % of 300 steps of configs/moby-dick.yaml`);
}

/** @param {string} scratch @param {number} gigabytes */
async function memory(scratch, gigabytes) {
  const [small, large] = ['small.txt', 'large.txt'].map((name) => path.join(scratch, name));
  writeText(large, gigabytes * 1e9);
  print(
    `resuming at nine tenths of ${gigabytes} GB: ${(await child('resume', large)).ms.toFixed(0)} ms ` +
      'to the first micro-batch',
  );
  const [one, other] = [await child('read', small, 90), await child('read', large, gigabytes * 990)];
  print(
    `peak memory: ${one.peakMib.toFixed(0)} MiB for 100 MB, ${other.peakMib.toFixed(0)} MiB for ${gigabytes} GB ` +
      `read through at ${other.speed.toFixed(1)} MB/s; ${(other.peakMib - one.peakMib).toFixed(0)} MiB more`,
  );
  rmSync(large);
}
