/**
 * Compares fine-tuning with an adapter (LoRA) by clm and by PEFT on PyTorch: whole processes, in turns.
 *
 *   npm run compare -- lora [--python PYTHON] [--model DIR] [--rounds 2] [--steps 8] [--only "PEFT;clm, float32"]
 *
 * The model has the size of SmolLM2-135M and random weights; DIR is the Hugging Face folder of a real one. Rank 8 on
 * all seven maps of every block, windows of 256 tokens of Moby-Dick, one a step, AdamW, the same number of threads. clm
 * also trains with a base in bfloat16, and the whole model. Printed are medians: milliseconds a step, tokens a second,
 * peak memory, and the mean loss, which tells that all train the same model. PYTHON has torch, transformers and peft;
 * without it they are installed into a folder of their own. Linux only.
 *
 * Time: 4 minutes, and the downloads
 */
import { writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { clm, jsonLines, print, program, root, run, scratchFolder, settings } from '../lib/clm.mjs';
import { measureProcess } from '../lib/measureProcess.mjs';
import { mobyDick } from '../lib/mobyDick.mjs';
import { median } from '../lib/statistics.mjs';
import { writeWideTokenizer } from '../lib/wideTokenizer.mjs';

const text = /** @type {const} */ ({ type: 'string' });
const { values: options } = parseArgs({
  options: {
    ...{ python: text, model: text, only: text },
    ...{ rounds: { ...text, default: '2' }, steps: { ...text, default: '8' } },
  },
});
const scratch = scratchFolder('lora');
const at = (/** @type {string} */ name) => path.join(scratch, name);
const script = path.join(import.meta.dirname, 'lora.py');
/** Steps that are not counted: the first ones reserve memory. */
const warmUp = 2;
const steps = warmUp + Number(options.steps);

/** A Python that has what is needed. */
function preparedPython() {
  run('python3', ['-m', 'venv', at('python')]);
  run(at('python/bin/pip'), ['install', '--quiet', 'torch', 'transformers', 'peft']);
  return at('python/bin/python');
}

const python = options.python ?? preparedPython();
const model = options.model ?? at('model');
if (options.model === undefined) {
  run(python, [script, 'make', model]);
  writeWideTokenizer(path.join(model, 'tokenizer.json'), 49_152);
}
clm('import', model, '--run', at('base'), '--context-length', '256', '--quiet');
writeFileSync(at('text.txt'), mobyDick().subarray(30_000, 130_000));
writeFileSync(
  at('config.yaml'),
  `start: { from: base }
corpus: { sources: [{ path: text.txt }], validation: { tail: 0.01 } }
training: { microBatchSize: 1, steps: ${steps} }
optimizer: { learningRate: 2e-4 }
schedule: { warmupSteps: 1 }
evaluation: { everySteps: null }
checkpoints: { everySteps: null }
samples: { everySteps: null }
`,
);

/** @typedef {{ milliseconds: number[], losses: number[], peakMib: number }} Measured */

/** @param {Record<string, unknown>} keys @returns {() => Promise<Measured>} */
const byClm = (keys) => async () => {
  const train = ['train', at('config.yaml'), '--run', scratchFolder('lora-run'), '--json', '--quiet'];
  const { output, peakMib } = await measureProcess(process.execPath, [program, ...train, ...settings(keys)], root);
  const made = jsonLines(output).filter(({ kind }) => kind === 'step');
  const milliseconds = made.map(({ tokensPerSecond }) => (256 / tokensPerSecond) * 1000);
  return { milliseconds, losses: made.map(({ loss }) => loss), peakMib };
};

/** @returns {Promise<Measured>} */
async function byPeft() {
  const args = ['train', model, at('text.txt'), String(steps), String(os.availableParallelism())];
  const { output, peakMib } = await measureProcess(python, [script, ...args], root);
  return { ...jsonLines(output).at(-1), peakMib };
}

/** @type {Record<string, () => Promise<Measured>>} */
const programs = {
  PEFT: byPeft,
  'clm, float32': byClm({ 'adapter.kind': 'lora' }),
  'clm, bfloat16 base': byClm({ 'adapter.kind': 'lora', 'start.weights': 'bfloat16' }),
  'clm, all weights': byClm({ 'optimizer.learningRate': 1e-6 }),
};
const wanted = options.only?.split(';') ?? Object.keys(programs);
/** @type {Record<string, Measured[]>} */
const measured = Object.fromEntries(wanted.map((name) => [name, []]));
for (let round = 0; round < Number(options.rounds); round++)
  for (const name of wanted) measured[name]?.push(await /** @type {() => Promise<Measured>} */ (programs[name])());

print(`${os.cpus()[0]?.model.trim()}, ${os.availableParallelism()} cores, ${options.rounds} rounds of ${steps} steps`);
print('| | ms a step | tokens/s | peak MB | mean loss |\n|---|---|---|---|---|');
for (const [name, rounds] of Object.entries(measured)) {
  const ms = median(rounds.flatMap(({ milliseconds }) => milliseconds.slice(warmUp)));
  const loss = median(rounds.map(({ losses }) => losses.reduce((sum, each) => sum + each, 0) / losses.length));
  const peak = (median(rounds.map(({ peakMib }) => peakMib)) * 2 ** 20) / 1e6;
  print(`| ${name} | ${ms.toFixed(0)} | ${(256_000 / ms).toFixed(0)} | ${peak.toFixed(0)} | ${loss.toFixed(3)} |`);
}
