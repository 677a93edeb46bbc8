/**
 * Random Hugging Face folders, whole and odd: an import must compute transformers' logits, or be refused by name.
 *
 *   npm run check -- folders --python PYTHON [--count N] [--seed N]
 *
 * PYTHON has torch, transformers and safetensors. Prints how many of each outcome there were, and why clm refuses
 * what transformers loads. It fails if an import computes something else, if clm imports what transformers
 * refuses (but for folders that are plain in what they mean, see the Python file), or if a refusal names no file.
 *
 * Time: 3 minutes
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { ExpectedError } from '#clm/errors.js';
import { importModel } from '#clm/huggingface/importModel.js';
import { run as runProgram, scratchFolder } from '../../lib/clm.mjs';
import { logitsOf, relativeDifference } from '../../lib/logits.mjs';

const { python, count, seed } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    count: { type: 'string', default: '500' },
    seed: { type: 'string', default: '1' },
  },
}).values;
const tolerance = 1e-5;
const folder = scratchFolder('folders');
runProgram(python, [path.join(import.meta.dirname, 'huggingFaceFolders.py'), folder, count, seed]);

/**
 * @typedef {{ name: string, changes: string[], inputs: number[], logits?: number[], refusal?: string,
 *   meant?: number[] | null }} Folder
 */
/** @type {Folder[]} */
const folders = readFileSync(path.join(folder, 'folders.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));
/** @type {string[]} */
const failures = [];
/** @type {Map<string, string[]>} */
const outcomes = new Map();
/** @param {string} outcome @param {string} which */
const note = (outcome, which) => outcomes.set(outcome, [...(outcomes.get(outcome) ?? []), which]);

for (const { name, changes, inputs, logits, refusal, meant } of folders) {
  const which = `${name} (${changes.join(', ') || 'unchanged'})`;
  const run = path.join(folder, 'runs', name);
  try {
    await importModel(path.join(folder, name), run, { contextLength: null });
  } catch (error) {
    if (!(error instanceof ExpectedError)) failures.push(`${which}: ${error instanceof Error ? error.stack : error}`);
    else if (!error.message.includes(name)) failures.push(`${which}: the refusal names no file: ${error.message}`);
    else if (refusal !== undefined) note('refused by both', which);
    else
      note('refused by clm, loaded by transformers', `${which}: ${error.message.replaceAll(folder, '').slice(0, 300)}`);
    continue;
  }
  const expected = logits ?? meant;
  if (!expected) {
    failures.push(`${which}: imported, but transformers says ${refusal}`);
    continue;
  }
  const difference = relativeDifference([...(await logitsOf(run, inputs))], expected);
  if (difference <= tolerance) note(logits ? 'equal logits' : 'equal logits, refused by transformers', which);
  else failures.push(`${which}: imported, but the logits differ by ${difference.toExponential(1)}`);
}
for (const [outcome, which] of outcomes) console.log(`${outcome}: ${which.length}`);
for (const line of outcomes.get('refused by clm, loaded by transformers') ?? []) console.log(`  ${line}`);
if (failures.length > 0) {
  console.error(`FAILED: ${failures.length}\n${failures.map((line) => `  ${line}`).join('\n')}`);
  process.exit(1);
}
