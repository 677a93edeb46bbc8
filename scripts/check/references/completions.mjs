/**
 * Compares greedy completions with transformers' generate, and the samplers with its logits processors.
 *
 *   npm run check -- completions --python PYTHON
 *
 * 20 prompts and 256 tokens of a random GPT-2 and a random Llama, alone and in a batch, must be equal. Of 1,000 rows
 * of random logits the samplers must keep the same tokens with the same scores. PYTHON has torch and transformers.
 * Exit code 1 if anything differs.
 *
 * Time: 2 minutes
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { filteredScores } from '#clm/sampling/sampler.js';
import { clm, jsonLines, print, run, scratchFolder } from '../../lib/clm.mjs';

const { python } = parseArgs({ options: { python: { type: 'string', default: 'python3' } } }).values;
const scratch = scratchFolder('completions');
/** @param {string} what @param {number} right @param {number} of */
const report = (what, right, of) => {
  print(`${right === of ? 'ok' : 'DIFFERS'}: ${what}: ${right} of ${of}`);
  if (right !== of) process.exitCode = 1;
};

run(python, [path.join(import.meta.dirname, 'completions.py'), scratch]);
for (const model of ['gpt2', 'llama']) {
  const imported = path.join(scratch, `${model}-run`);
  clm('import', path.join(scratch, model), '--run', imported);
  const expected = jsonLines(readFileSync(path.join(scratch, `${model}.jsonl`), 'utf8'));
  const prompts = path.join(scratch, 'prompts.jsonl');
  writeFileSync(prompts, expected.map(({ prompt }) => `${JSON.stringify({ prompt })}\n`).join(''));
  for (const batch of ['1', '8']) {
    const made = jsonLines(
      clm(
        'sample',
        imported,
        '--prompts',
        prompts,
        '--temperature',
        '0',
        '--max-tokens',
        '256',
        '--batch',
        batch,
        '--json',
        '--quiet',
      ),
    );
    const equal = expected.filter(
      ({ tokenIds }, i) => tokenIds.length === 256 && JSON.stringify(tokenIds) === JSON.stringify(made[i].tokenIds),
    );
    report(
      `${model}: greedy completions of 256 tokens equal to transformers', batch ${batch}`,
      equal.length,
      expected.length,
    );
  }
  const distinct = new Set(expected.flatMap(({ tokenIds }) => tokenIds)).size;
  print(`${model}: ${distinct} different tokens occur`);
}

const settings = JSON.parse(readFileSync(path.join(scratch, 'settings.json'), 'utf8'));
const floats = (/** @type {string} */ file) => {
  const { buffer, byteOffset, byteLength } = readFileSync(path.join(scratch, file));
  return buffer.slice(byteOffset, byteOffset + byteLength);
};
const logits = new Float32Array(floats('logits.bin'));
const scores = new Float64Array(floats('scores.bin'));
const V = logits.length / settings.length;
let sets = 0;
let values = 0;
let kept = 0;
for (const [i, { seen, logitBias, ...rest }] of settings.entries()) {
  const bias = new Map(
    Object.entries(/** @type {Record<string, number>} */ (logitBias)).map(([id, value]) => [Number(id), value]),
  );
  const ours = filteredScores(
    logits.subarray(i * V, (i + 1) * V),
    { ...rest, logitBias: bias },
    { seen: new Set(seen), forbidden: [] },
  );
  const theirs = scores.subarray(i * V, (i + 1) * V);
  if (ours.every((score, id) => score > -Infinity === theirs[id] > -Infinity)) sets++;
  if (ours.every((score, id) => score === theirs[id] || Math.abs(score - theirs[id]) < 1e-9 * Math.abs(score)))
    values++;
  kept += ours.filter((score) => score > -Infinity).length;
}
report("kept sets equal to transformers' logits processors", sets, settings.length);
report('and their scores, to 1e-9', values, settings.length);
print(`on average ${(kept / settings.length).toFixed(1)} of ${V} tokens are kept`);
