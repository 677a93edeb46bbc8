/**
 * LoRA adapters between clm and PEFT: random ones imported, trained ones exported, and the same logits on both sides.
 *
 *   npm run check -- adapters --python PYTHON [--rounds 6]
 *
 * PEFT saves random adapters of every fixture of test/huggingface: names, expressions and layers as targets, patterns
 * of ranks and scalings, rank-stabilised ones. Imported for their base, clm must compute PEFT's logits; adapters with
 * DoRA, biases or modules of their own must be refused by name. Then clm trains adapters of every fixture, with
 * queries, keys and values adapted apart and as one, and exports them both ways: loaded by PEFT onto the base, and
 * merged, they must have clm's logits. PYTHON has torch, transformers, safetensors and peft.
 *
 * Time: 2 minutes
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { importAdapter } from '#clm/huggingface/adapters/importAdapter.js';
import { exportModel } from '#clm/huggingface/exportModel.js';
import { importModel } from '#clm/huggingface/importModel.js';
import { clm, jsonLines, root, run as runProgram, scratchFolder } from '../../lib/clm.mjs';
import { logitsOf, relativeDifference } from '../../lib/logits.mjs';

const { python, rounds } = parseArgs({
  options: { python: { type: 'string', default: 'python3' }, rounds: { type: 'string', default: '6' } },
}).values;
const folder = scratchFolder('adapters');
/** @param {...string} names */
const at = (...names) => path.join(folder, ...names);
const script = path.join(import.meta.dirname, 'adapters.py');
const fixtures = path.join(root, 'test/huggingface/fixtures');
const tolerance = 1e-5;

/** @type {string[]} */
const failures = [];
/** @param {string} what @param {number} difference */
const note = (what, difference) => {
  if (!(difference <= tolerance)) failures.push(`${what}: ${difference}`);
};

runProgram(python, [script, 'make', folder, rounds]);
let [imported, refused, worst] = [0, 0, 0];
const bases = new Set();
for (const name of readdirSync(at('adapters'))) {
  const { base, ids, odd, chosen, logits } = JSON.parse(readFileSync(at('adapters', name, 'expected.json'), 'utf8'));
  if (!bases.has(base)) await importModel(path.join(fixtures, base), at('bases', base), { contextLength: null });
  bases.add(base);
  try {
    await importAdapter(at('adapters', name), at('imported', name), { base: at('bases', base) });
  } catch (error) {
    const { message } = /** @type {Error} */ (error);
    const isNamed = odd.length > 0 && odd.every((/** @type {string} */ key) => message.includes(`${key} `));
    if (isNamed) refused++;
    else failures.push(`${name}, ${JSON.stringify(chosen)}: ${message}`);
    continue;
  }
  if (odd.length > 0) failures.push(`${name} was imported in spite of ${odd.join()}`);
  const difference = relativeDifference([...(await logitsOf(at('imported', name), ids))], logits);
  note(`${name}, ${JSON.stringify(chosen)}`, difference);
  worst = Math.max(worst, difference);
  imported++;
}
console.log(`imported: ${imported}, largest difference of the logits, relative, ${worst.toExponential(1)}`);
console.log(`refused by the name of the key: ${refused}`);

writeFileSync(at('text.txt'), 'abcdefghijklm'.repeat(60) + 'mlkjihgfedcba'.repeat(60));
mkdirSync(at('exports'));
const ids = [5, 4, 3, 2, 1, 0, 0];
const exports = [];
for (const base of bases) {
  for (const targets of ['null', '[query, value, output]', '[queryKeyValue, up, down]']) {
    const name = `${base}, ${targets}`;
    const tuned = at('trained', name);
    writeFileSync(
      at('config.yaml'),
      `corpus: { sources: [{ path: text.txt }] }\nstart: { from: bases/${base} }\n` +
        `adapter: { kind: lora, rank: 3, alpha: 5, targets: ${targets} }\nschedule: { warmupSteps: 0 }\n` +
        'training: { steps: 3, microBatchSize: 3 }\noptimizer: { learningRate: 5e-2 }\nsamples: { everySteps: null }\n',
    );
    clm('train', at('config.yaml'), '--run', tuned, '--set', 'samples.prompt=a', '--quiet');
    const logits = [...(await logitsOf(tuned, ids))];
    for (const as of /** @type {const} */ (['adapter', 'merge'])) {
      const directory = at('exports', `${name}, ${as}`);
      await exportModel(tuned, directory, { checkpoint: 'last', dtype: 'float32', as });
      const onto = as === 'adapter' ? path.join(fixtures, base) : null;
      exports.push({ name: `${name}, ${as}`, folder: directory, base: onto, ids, logits });
    }
  }
}
writeFileSync(at('exports.json'), JSON.stringify(exports));
const compared = jsonLines(runProgram(python, [script, 'compare', folder]));
for (const { name, difference } of compared) note(name, difference);
const largest = Math.max(...compared.map(({ difference }) => difference));
console.log(`exported: ${compared.length}, largest difference ${largest.toExponential(1)}`);
if (failures.length > 0 || refused === 0 || compared.length !== exports.length) {
  console.error(`Wrong:\n  ${failures.join('\n  ')}`);
  process.exitCode = 1;
}
