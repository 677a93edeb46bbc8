/**
 * Completions and prefills by clm, timed on request: what scripts/measure/sampling.mjs runs beside transformers.
 *
 *   node scripts/measure/sampling/serve.mjs RUN float32|bfloat16|int8 SLOTS
 *
 * Reads requests as JSON lines and answers each with one: {"batch","promptTokens","tokens"} →
 * {"seconds","residentBytes"}, {"prefill"} → {"seconds"}, {"matmul":true} → {"gflops"}.
 */
import { createInterface } from 'node:readline';
import { generate } from '#clm/sampling/generate.js';
import { loadModel } from '#clm/sampling/loadModel.js';
import { openDecoding } from '#clm/sampling/decoding.js';
import { completeSettings, defaultSettings } from '#clm/sampling/settings.js';
import { matmulMeter } from '#clm/checks/matmulPeak.js';

const [run, weights, slots] = process.argv.slice(2);
const { config, tokenizer, session, table, close } = await loadModel(run, {
  checkpoint: 'last',
  precision: 'float32',
  weights: /** @type {'float32' | 'bfloat16' | 'int8'} */ (weights),
});
const decoding = openDecoding(session, config.model, table, Number(slots));
const measureMatmul = await matmulMeter(session);
/** @param {number} count @param {number} salt */
const idsOf = (count, salt) => Array.from({ length: count }, (_, i) => (i * 7919 + salt * 31) % 256);
const say = (/** @type {object} */ value) => process.stdout.write(`${JSON.stringify(value)}\n`);

/** @param {{ batch: number, promptTokens: number, tokens: number }} request */
async function complete({ batch, promptTokens, tokens }) {
  const settings = completeSettings(defaultSettings(config), { temperature: 0, maxTokens: tokens }, tokenizer);
  const requests = Array.from({ length: batch }, (_, i) => ({
    prompt: '',
    promptTokenIds: idsOf(promptTokens, i),
    settings,
  }));
  const startMs = performance.now();
  let made = 0;
  for await (const event of generate(decoding, tokenizer, requests, { order: 'completed' })) {
    if (event.kind === 'completion') made += event.completion.tokens;
  }
  if (made !== batch * tokens) throw new Error(`${made} tokens instead of ${batch * tokens}`);
  return { seconds: (performance.now() - startMs) / 1000, residentBytes: process.memoryUsage.rss() };
}

/** @param {number} count */
async function prefill(count) {
  const startMs = performance.now();
  await decoding.prefill(0, idsOf(count, 1));
  decoding.free(0);
  return { seconds: (performance.now() - startMs) / 1000 };
}

say({ parameters: table.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b), 0) });
for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  if (asked.matmul) say({ gflops: await measureMatmul() });
  else say(asked.prefill === undefined ? await complete(asked) : await prefill(asked.prefill));
}
close();
