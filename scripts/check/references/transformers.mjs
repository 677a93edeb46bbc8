/**
 * The round trip of models between clm and transformers: import, logits, training, export, logits.
 *
 *   npm run check -- transformers --python PYTHON
 *
 * Random tiny models of every kind, saved by transformers in float32, float16 and bfloat16, with the config.json of
 * versions 4 and 5, in one file and in shards. Imported, clm must compute transformers' logits. One of each kind is
 * then trained for three steps and exported in the three formats; transformers must compute clm's logits and token
 * ids. PYTHON has torch, transformers and safetensors. The models are those of test/huggingface/fixtures.
 *
 * Time: 3 minutes
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { loadCheckpoint } from '#clm/checkpoint/checkpoint.js';
import { resolveCheckpoint } from '#clm/run/findCheckpoint.js';
import { tokenizerFromFile } from '#clm/data/tokenizers/tokenizerFile.js';
import { exportModel } from '#clm/huggingface/exportModel.js';
import { importModel } from '#clm/huggingface/importModel.js';
import { clm, run as runProgram, scratchFolder } from '../../lib/clm.mjs';
import { logitsOf, relativeDifference } from '../../lib/logits.mjs';

const { python } = parseArgs({ options: { python: { type: 'string', default: 'python3' } } }).values;
const folder = scratchFolder('transformers');
/** @param {...string} names */
const inFolder = (...names) => path.join(folder, ...names);
/** @param {'make' | 'compare'} task */
const ask = (task) => runProgram(python, [path.join(import.meta.dirname, 'huggingFaceModels.py'), task, folder]);
/** As many characters as the fixtures' context. */
const seen = 'fedcbaa';
const text = 'abcdefghijklm'.repeat(60) + 'mlkjihgfedcba'.repeat(60);
const tolerance = 1e-5;

/** @type {string[]} */
const failures = [];
/** @param {string} what @param {number} difference */
const note = (what, difference) => {
  if (!(difference <= tolerance)) failures.push(`${what}: ${difference}`);
};

ask('make');
const variants = readdirSync(folder);
const worst = new Map();
for (const variant of variants) {
  const { inputs, logits } = JSON.parse(readFileSync(inFolder(variant, 'expected.json'), 'utf8'));
  const run = inFolder('runs', variant);
  await importModel(inFolder(variant), run, { contextLength: null });
  const difference = relativeDifference([...(await logitsOf(run, inputs))], logits);
  note(variant, difference);
  const kind = variant.replace(/-(?:float|bfloat)\d+-\d-\w+$/, '');
  worst.set(kind, [...(worst.get(kind) ?? []), difference]);
}
console.log(
  'imported: largest difference of the logits, relative, of every number format, version of config.json and sharding',
);
for (const [kind, differences] of worst)
  console.log(`  ${kind.padEnd(23)} ${differences.length} files  ${Math.max(...differences).toExponential(1)}`);

writeFileSync(inFolder('text.txt'), text);
mkdirSync(inFolder('exports'));
const exports = [];
for (const kind of worst.keys()) {
  const run = inFolder('runs', `${kind}-float32-5-one`);
  const config = inFolder(`${kind}.yaml`);
  writeFileSync(
    config,
    `corpus: { sources: [{ path: text.txt }] }\nstart: { from: ${run} }\ntraining: { steps: 3, microBatchSize: 3 }\n` +
      'schedule: { warmupSteps: 0 }\noptimizer: { learningRate: 1e-2 }\nsamples: { everySteps: null, prompt: a }\n',
  );
  const trained = inFolder('runs', `${kind}-trained`);
  clm('train', config, '--run', trained, '--quiet');
  /** @type {[what: string, source: string, dtype: 'float32' | 'float16' | 'bfloat16'][]} */
  const exported = [
    ['imported', run, 'float32'],
    ['trained', trained, 'float32'],
    ['trained', trained, 'float16'],
    ['trained', trained, 'bfloat16'],
  ];
  for (const [what, source, dtype] of exported) {
    const name = `${kind}, ${what}, ${dtype}`;
    const directory = inFolder('exports', name.replaceAll(', ', '-'));
    await exportModel(source, directory, { checkpoint: 'last', dtype });
    // What a half holds is what clm itself reads back from it.
    const again = dtype === 'float32' ? source : inFolder('runs', name.replaceAll(', ', '-'));
    if (again !== source) await importModel(directory, again, { contextLength: null });
    const { tokenizerText } = await loadCheckpoint(await resolveCheckpoint(again, 'last'), { optimizer: false });
    const tokenIds = [...tokenizerFromFile(tokenizerText, 'tokenizer.json').encode(seen)];
    exports.push({ name, folder: directory, text: seen, tokenIds, logits: [...(await logitsOf(again, tokenIds))] });
  }
}
writeFileSync(inFolder('exports.json'), JSON.stringify(exports));
console.log('exported: largest difference of the logits that transformers computes, relative');
for (const line of ask('compare').trim().split('\n')) {
  const { name, loaded, difference } = JSON.parse(line);
  note(name, difference);
  console.log(`  ${name.padEnd(42)} ${loaded.padEnd(20)} ${difference.toExponential(1)}`);
}
if (failures.length > 0) {
  console.error(`Above ${tolerance}:\n  ${failures.join('\n  ')}`);
  process.exitCode = 1;
}
