/**
 * Measures two processes that train GPT-2 124M together beside two that train alone at the same time, a core each.
 *
 *   npm run measure -- processes [MICRO_BATCHES=1] [STEPS=3] [PRECISION=float32] [together|alone]
 *
 * Windows of 512 random tokens, one a micro-batch, MICRO_BATCHES a process. The efficiency is the time of a step alone
 * divided by that together; the last argument measures one of the two. Needs taskset (util-linux), two cores and 10 GB
 * of memory; nothing else may run meanwhile.
 *
 * Time: 1 minute; 6 minutes with 8 micro-batches
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { median } from '../lib/statistics.mjs';

const vocabularySize = 50_257;

/** @param {import('node:stream').Readable} input @returns {Promise<string>} */
const firstLine = (input) => new Promise((resolve) => createInterface({ input }).once('line', resolve));

/** One of the processes: prints a line of JSON a step. */
async function child(/** @type {any} */ { rank, isTogether, microBatches, steps, precision }) {
  const { configSchema } = await import('#clm/config/schema.js');
  const { reserveServerPort } = await import('#clm/runtime/server.js');
  const { loadTensorFlow } = await import('#clm/runtime/tensorflow.js');
  const { openRecordedStep } = await import('../lib/recordedStep.mjs');
  const config = configSchema.parse({
    name: 'gpt2',
    corpus: { sources: [{ path: '/nowhere' }] },
    model: { layers: 12, heads: 12, width: 768, contextLength: 512, biases: true },
    training: {
      ...{ microBatchSize: 1, branches: 1, precision },
      microBatchesPerStep: microBatches * (isTogether ? 2 : 1),
    },
  });
  loadTensorFlow('cpu');
  const host = '127.0.0.1';
  if (isTogether) console.log(JSON.stringify({ address: `${host}:${reserveServerPort(host)}` }));
  const addresses = isTogether ? JSON.parse(await firstLine(process.stdin)) : null;
  const place = isTogether ? { rank, addresses, listensOn: host } : undefined;
  const { step } = await openRecordedStep(config, vocabularySize, place);
  const N = config.model.contextLength;
  const batches = Array.from({ length: Number(config.training.microBatchesPerStep) }, (_, batch) => {
    const tokens = (/** @type {number} */ seed) =>
      Int32Array.from({ length: N }, (_, i) => (i * i * 31 + i * 7919 + seed + batch) % vocabularySize);
    return { inputs: tokens(1), targets: tokens(2), lossMask: new Float32Array(N).fill(1), targetCount: N };
  });
  for (let k = 1; k <= steps + 1; k++) {
    const startMs = performance.now();
    const { loss } = await step(batches, k, 1e-4);
    console.log(
      JSON.stringify({ ms: performance.now() - startMs, loss, memory: process.resourceUsage().maxRSS * 1024 }),
    );
  }
  process.exit(0);
}

if (process.argv[2] === '--child') await child(JSON.parse(process.argv[3]));

const [microBatches = '1', steps = '3', precision = 'float32', only] = process.argv.slice(2);
/** Two processes at the same time; the median of their steps after the first. @param {boolean} isTogether */
async function measured(isTogether) {
  const children = [0, 1].map((rank) => {
    const asked = { rank, isTogether, microBatches: Number(microBatches), steps: Number(steps), precision };
    const args = ['-c', String(rank), process.execPath, import.meta.filename, '--child', JSON.stringify(asked)];
    const started = spawn('taskset', args, { stdio: ['pipe', 'pipe', 'inherit'] });
    return { started, lines: createInterface({ input: started.stdout })[Symbol.asyncIterator]() };
  });
  if (isTogether) {
    const first = await Promise.all(children.map(({ lines }) => lines.next()));
    const addresses = JSON.stringify(first.map(({ value }) => JSON.parse(value).address));
    for (const { started } of children) started.stdin.write(`${addresses}\n`);
  }
  const all = await Promise.all(
    children.map(async ({ lines }) => {
      const records = [];
      for (let next = await lines.next(); !next.done; next = await lines.next()) records.push(JSON.parse(next.value));
      return records;
    }),
  );
  const later = all.flatMap((records) => records.slice(1));
  return {
    msPerStep: Math.round(median(later.map(({ ms }) => ms))),
    peakMegabytes: Math.round(Math.max(...later.map(({ memory }) => memory)) / 1e6),
    losses: all.map((records) => records.at(-1).loss),
  };
}

const together = only === 'alone' ? null : await measured(true);
const alone = only === 'together' ? null : await measured(false);
const efficiency = together && alone && Number((alone.msPerStep / together.msPerStep).toFixed(3));
console.log(JSON.stringify({ microBatches: Number(microBatches), precision, efficiency, together, alone }));
