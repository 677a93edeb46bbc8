/**
 * Completions by llama.cpp, timed on request: what decoding.mjs runs beside clm.
 *
 *   node llamaCpp.mjs PACKAGE FILE.gguf SLOTS THREADS [first]
 *
 * PACKAGE is the folder of node-llama-cpp. Answers JSON lines: {"batch","promptTokens","tokens"} → {"seconds"}. With
 * `first` it prints milliseconds from the start of the process to the first token, and ends.
 */
import path from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [folder = '', file = '', slots = '1', count = '1', first] = process.argv.slice(2);
const { getLlama } = await import(pathToFileURL(path.join(folder, 'dist/index.js')).href);
const threads = Number(count);
const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error', progressLogs: false });
llama.maxThreads = threads;
const model = await llama.loadModel({ modelPath: file });
const context = await model.createContext({
  ...{ contextSize: first ? 1024 : 4608, sequences: Number(slots), batchSize: 512 },
  threads: { ideal: threads, min: threads },
});
const sequences = Array.from({ length: Number(slots) }, () => context.getSequence());

/** @param {number} batch @param {number} promptTokens @param {number} tokens */
async function complete(batch, promptTokens, tokens) {
  const chosen = sequences.slice(0, batch);
  for (const sequence of chosen) await sequence.clearHistory();
  const startMs = performance.now();
  const completing = chosen.map(async (sequence, i) => {
    const prompt = Array.from({ length: promptTokens }, (_, at) => (at * 7919 + i * 31) % 256);
    let made = 0;
    for await (const _ of sequence.evaluate(prompt, { temperature: 0 })) if (++made === tokens) break;
  });
  await Promise.all(completing);
  return (performance.now() - startMs) / 1000;
}

const say = (/** @type {object} */ value) => process.stdout.write(`${JSON.stringify(value)}\n`);
if (first) {
  await complete(1, 8, 1);
  say({ ms: Date.now() - performance.timeOrigin });
} else {
  say({ ready: true });
  for await (const line of createInterface({ input: process.stdin })) {
    const asked = JSON.parse(line);
    say({ seconds: await complete(asked.batch, asked.promptTokens, asked.tokens) });
  }
}
process.exit(0);
