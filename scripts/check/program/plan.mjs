/**
 * Compares the memory that clm plan predicts with the peak of a training process, for twelve configs.
 *
 *   npm run check -- plan [NAME …]
 *
 * Those with an adapter start from a run that is trained for one step, and two learn from preference pairs. Each
 * trains four steps and saves after each; NAME, a row's first cell, chooses some. Prints a Markdown table. Exit
 * code 1 if a prediction is more than 15 % off. Linux only.
 *
 * Time: 3 minutes
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { clm, program, root, scratchFolder, settings } from '../../lib/clm.mjs';
import { measureProcess } from '../../lib/measureProcess.mjs';

const base = path.join(root, 'configs/moby-dick.yaml');
const wide = {
  'model.layers': 6,
  'model.heads': 6,
  'model.width': 384,
  'model.contextLength': 256,
  'training.microBatchSize': 8,
};
/** @type {Record<string, Record<string, string | number | boolean>>} */
const configs = {
  'moby-dick': {},
  'L6 C384 T256 B8': wide,
  'the same, recompute': { ...wide, 'training.recompute': 'block' },
  'L8 C512 T128 B4, muon, emaDecay': {
    'model.layers': 8,
    'model.heads': 8,
    'model.width': 512,
    'model.contextLength': 128,
    'training.microBatchSize': 4,
    'optimizer.kind': 'muon',
    'training.emaDecay': 0.99,
  },
  'GPT-2 with 2 layers, T 512 B1, two micro-batches': {
    'model.layers': 2,
    'model.heads': 12,
    'model.width': 768,
    'model.contextLength': 512,
    'model.biases': true,
    'model.vocabularySize': 50_257,
    'training.microBatchSize': 1,
    'training.branches': 1,
    'training.microBatchesPerStep': 2,
  },
  'llama L8 C320 T256 B6, dropout, 2 micro-batches': {
    'model.family': 'llama',
    'model.layers': 8,
    'model.heads': 8,
    'model.keyValueHeads': 2,
    'model.width': 320,
    'model.contextLength': 256,
    'model.dropout': 0.1,
    'training.microBatchSize': 6,
    'training.microBatchesPerStep': 2,
  },
};
/** @type {Record<string, Record<string, string | number | boolean>>} */
const long = {
  'llama L6 C384 T4096 B1': {
    ...wide,
    ...{ 'model.family': 'llama', 'model.contextLength': 4096, 'training.microBatchSize': 1 },
  },
  'GPT-2 kind L4 C256 T2048 B2, dropout, recompute': {
    ...{ 'model.layers': 4, 'model.heads': 4, 'model.width': 256, 'model.contextLength': 2048, 'model.dropout': 0.1 },
    ...{ 'training.microBatchSize': 2, 'training.recompute': 'block' },
  },
};
const folder = scratchFolder('plan-base');
const pairs = path.join(folder, 'pairs.jsonl');
const started = {
  ...wide,
  ...{ 'model.family': 'llama', 'model.keyValueHeads': 2, 'start.from': path.join(folder, 'run') },
};
const adapted = { ...started, 'adapter.kind': 'lora' };
const preferring = {
  ...{ 'corpus.sources': `[{ path: ${pairs}, prompt: prompt, chosen: chosen, rejected: rejected }]` },
  ...{ 'training.objective.kind': 'dpo', 'training.microBatchSize': 4, 'corpus.validation.tail': 0.05 },
};
/** @type {Record<string, Record<string, string | number | boolean>>} */
const fineTuning = {
  'llama L6 C384 T256 B8, adapter': adapted,
  'the same, base in bfloat16': { ...adapted, 'start.weights': 'bfloat16' },
  'B4 pairs, adapter': { ...adapted, ...preferring },
  'B4 pairs, all weights': { ...started, ...preferring },
};

/** The run that those with an adapter start from, and pairs that nearly fill the context. */
function writeStart() {
  const { 'start.from': run, ...model } = started;
  clm('train', base, '--quiet', '--run', run, ...settings({ ...short, ...model, 'training.steps': 1 }));
  const sentence = 'It was the whiteness of the whale that above all things appalled me. ';
  const rows = Array.from({ length: 200 }, (_, i) => ({
    prompt: `${i} ${sentence}`,
    chosen: sentence.repeat(2),
    rejected: sentence.toUpperCase(),
  }));
  writeFileSync(pairs, rows.map((row) => JSON.stringify(row)).join('\n'));
}

const short = {
  'training.steps': 4,
  'schedule.warmupSteps': 1,
  'checkpoints.everySteps': 1,
  'corpus.validation.tail': 0.002,
  'samples.everySteps': null,
  'evaluation.everySteps': null,
};

const wanted = process.argv.slice(2);
let isOff = false;
console.log('| config | planned MB | measured MB | planned/measured |\n|---|---|---|---|');
const isWanted = (/** @type {string} */ name) => wanted.length === 0 || wanted.includes(name);
if (Object.keys(fineTuning).some(isWanted)) writeStart();
for (const [name, keys] of Object.entries({ ...configs, ...long, ...fineTuning })) {
  if (!isWanted(name)) continue;
  const set = settings({ ...short, ...keys });
  const { bytes } = JSON.parse(clm('plan', base, '--no-estimate', '--json', ...set));
  const train = ['train', base, '--quiet', '--run', scratchFolder('plan'), ...set];
  const measured = (await measureProcess(process.execPath, [program, ...train])).peakMib * 2 ** 20;
  const ratio = bytes.total / measured;
  isOff ||= Math.abs(ratio - 1) > 0.15;
  console.log(`| ${name} | ${Math.round(bytes.total / 1e6)} | ${Math.round(measured / 1e6)} | ${ratio.toFixed(2)} |`);
}
process.exitCode = isOff ? 1 : 0;
