/**
 * Trains nanoGPT's own model from clm's initial weights on clm's micro-batches: its losses must be clm's.
 *
 *   npm run compare -- nanogpt-losses --nanogpt DIR --python PYTHON [--seed 1337] [--steps 2000]
 *
 * DIR is a checkout of nanoGPT, PYTHON has torch; corpus/tinyshakespeare.txt must exist. What then remains between two
 * runs of either is the seed. (nanoGPT's GELU is the exact one, clm's the tanh form.)
 *
 * Time: 3 minutes
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { loadConfig } from '#clm/config/load.js';
import { trainingBatches, validationBatches } from '#clm/data/windows/batches.js';
import { openCorpus } from '#clm/data/files/openCorpus.js';
import { prepareTokenizer } from '#clm/data/tokens/prepareTokenizer.js';
import { initialParameters, parameterTable } from '#clm/model/parameters.js';
import { clm, jsonLines, print, root, run, scratchFolder } from '../lib/clm.mjs';

const text = /** @type {const} */ ({ type: 'string' });
const { values: options } = parseArgs({
  options: {
    nanogpt: text,
    python: { ...text, default: 'python3' },
    seed: { ...text, default: '1337' },
    steps: { ...text, default: '2000' },
  },
});
if (!options.nanogpt) {
  process.stderr.write('error: --nanogpt DIR is missing\n');
  process.exit(2);
}
const scratch = scratchFolder('nanogpt-losses');
const file = (/** @type {string} */ name) => path.join(scratch, name);
const bytes = (/** @type {Int32Array | Float32Array} */ array) =>
  Buffer.from(array.buffer, array.byteOffset, array.byteLength);

const set = [`seed=${options.seed}`, `training.steps=${options.steps}`];
const config = loadConfig(path.join(root, 'configs/nanogpt-shakespeare-char.yaml'), { set });
const { model, optimizer, schedule, training, seed } = config;
const corpus = await openCorpus(config.corpus);
const { tokenizer } = await prepareTokenizer(config.tokenizer, corpus);
const parameters = initialParameters(parameterTable(model, tokenizer.vocabularySize), seed);
writeFileSync(file('parameters.json'), JSON.stringify(parameters.map(({ name, shape }) => ({ name, shape }))));
writeFileSync(file('parameters.bin'), Buffer.concat(parameters.map(({ values }) => bytes(values))));
writeFileSync(
  file('settings.json'),
  JSON.stringify({ ...model, ...training, ...optimizer, ...schedule, vocabularySize: tokenizer.vocabularySize }),
);
const shape = { contextLength: model.contextLength, microBatchSize: training.microBatchSize };
/** @type {Buffer[]} */
const batches = [];
for await (const { inputs, targets } of trainingBatches(corpus, tokenizer, {
  ...shape,
  seed,
  shuffleTokens: config.corpus.shuffleTokens,
})) {
  batches.push(Buffer.from(bytes(inputs)), Buffer.from(bytes(targets)));
  if (batches.length === 2 * Number(training.steps)) break;
}
writeFileSync(file('batches.bin'), Buffer.concat(batches));
/** @type {number[]} */
const validation = [];
for await (const { inputs, targets, lossMask } of validationBatches(corpus, tokenizer, shape)) {
  if (validation.length === 0) validation.push(inputs[0]);
  for (const [i, target] of targets.entries()) if (lossMask[i] !== 0) validation.push(target);
}
writeFileSync(file('validation.bin'), bytes(Int32Array.from(validation)));

const python = path.join(import.meta.dirname, 'nanogpt-losses.py');
const nanogpt = jsonLines(run(options.python, [python, '--nanogpt', options.nanogpt, '--folder', scratch])).at(-1);
const train = ['train', 'configs/nanogpt-shakespeare-char.yaml', '--run', file('run'), '--json', '--quiet'];
const changes = [...set, 'evaluation.everySteps=null'].flatMap((assignment) => ['--set', assignment]);
const facts = jsonLines(clm(...train, ...changes));
/** @type {number[]} */
const losses = facts.filter(({ kind }) => kind === 'step').map(({ loss }) => loss);
const differences = losses.map((loss, i) => Math.abs(loss - nanogpt.losses[i]));
const worst = Math.max(...differences);
print(
  `seed ${options.seed}, ${training.steps} updates: losses differ by at most ${worst.toExponential(1)} ` +
    `(update ${differences.indexOf(worst) + 1}), ${differences[0].toExponential(1)} at the first and ` +
    `${differences.at(-1)?.toExponential(1)} at the last; validation loss ${facts.at(-1).validationLoss.toFixed(4)} ` +
    `by clm, ${nanogpt.validationLoss.toFixed(4)} by nanoGPT's model`,
);
