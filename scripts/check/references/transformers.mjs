/**
 * The round trip against transformers: random tiny models of every kind, saved by transformers in float32, float16 and
 * bfloat16, with the config.json of versions 4 and 5, in one file and in shards → imported: clm must have transformers'
 * logits. One of each kind is then trained for three steps and exported, in float32 and in the number formats of half
 * the size; transformers loads the folders and must give clm's logits and token ids.
 *
 *     npm run check -- transformers --python PYTHON
 *
 * PYTHON needs torch, transformers and safetensors. The models are those of test/huggingface/fixtures.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { loadCheckpoint } from '../../../dist/checkpoint/checkpoint.js';
import { resolveCheckpoint } from '../../../dist/run/findCheckpoint.js';
import { parseResolvedConfig } from '../../../dist/config/load.js';
import { tokenizerFromFile } from '../../../dist/data/tokenizers/tokenizerFile.js';
import { exportModel } from '../../../dist/huggingface/exportModel.js';
import { importModel } from '../../../dist/huggingface/importModel.js';
import { decode } from '../../../dist/model/decoder.js';
import { openSession } from '../../../dist/runtime/openSession.js';

const { python } = parseArgs({ options: { python: { type: 'string', default: 'python3' } } }).values;
const root = path.resolve(import.meta.dirname, '../../..');
const folder = mkdtempSync(path.join(tmpdir(), 'clm-transformers-'));
const inFolder = (...names) => path.join(folder, ...names);
const clm = (...args) =>
  execFileSync(process.execPath, [path.join(root, 'dist/cli/main.js'), ...args], { encoding: 'utf8' });
const ask = (task) =>
  execFileSync(python, [path.join(root, 'scripts/check/references/transformers.py'), task, folder], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
/** As many characters as the fixtures' context. */
const seen = 'fedcbaa';
const text = 'abcdefghijklm'.repeat(60) + 'mlkjihgfedcba'.repeat(60);
const tolerance = 1e-5;

/** The logits of a run's last checkpoint after each of the token ids. */
async function logitsOf(run, tokenIds) {
  const checkpoint = await loadCheckpoint(await resolveCheckpoint(run, 'last'), { optimizer: false });
  const { model } = parseResolvedConfig(checkpoint.configText, 'config.yaml');
  const T = tokenIds.length;
  const session = openSession({ mode: 'recorded', precision: 'float32', device: 'cpu' });
  await session.addVariables(checkpoint.model);
  const program = session.program('logits', { inputs: { shape: [T], dtype: 'int32' } }, (feeds, variables) => {
    const parameters = Object.fromEntries(checkpoint.model.map(({ name }) => [name, variables.read(name)]));
    return { logits: decode(parameters, feeds.inputs, { model, batchSize: 1, positions: T, dropout: null }) };
  });
  const { logits } = await program.run({ inputs: Int32Array.from(tokenIds) });
  session.close();
  return logits;
}

const largest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
const relativeDifference = (actual, expected) => {
  if (actual.length !== expected.length) throw new Error(`${actual.length} logits instead of ${expected.length}`);
  return largest(actual.map((value, i) => value - expected[i])) / largest(expected);
};

const failures = [];
const note = (what, difference) => {
  if (!(difference <= tolerance)) failures.push(`${what}: ${difference}`);
};

try {
  ask('make');
  const variants = readdirSync(folder);
  const worst = new Map();
  for (const variant of variants) {
    const { inputs, logits } = JSON.parse(readFileSync(inFolder(variant, 'expected.json'), 'utf8'));
    const run = inFolder('runs', variant);
    await importModel(inFolder(variant), run, { contextLength: null });
    const difference = relativeDifference(await logitsOf(run, inputs), logits);
    note(variant, difference);
    const [, kind] = /^(.*)-(?:float|bfloat)\d+-\d-\w+$/.exec(variant);
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
    for (const [what, source, dtype] of [
      ['imported', run, 'float32'],
      ['trained', trained, 'float32'],
      ['trained', trained, 'float16'],
      ['trained', trained, 'bfloat16'],
    ]) {
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
} finally {
  rmSync(folder, { recursive: true, force: true });
}
if (failures.length > 0) {
  console.error(`Above ${tolerance}:\n  ${failures.join('\n  ')}`);
  process.exitCode = 1;
}
