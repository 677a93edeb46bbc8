// Does clm train as nanoGPT does? nanoGPT's own model, given clm's initial weights and micro-batches, must have clm's
// losses; what is left between two runs of either is the seed. (nanoGPT's GELU is the exact one, clm's the tanh form.)
//
//   npm run compare -- nanogpt-losses --nanogpt DIR --python PYTHON [--seed 1337] [--steps 2000]
//
// DIR is a checkout of nanoGPT, PYTHON has torch; corpus/tinyshakespeare.txt must be there.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { loadConfig } from '../../dist/config/load.js';
import { trainingBatches, validationBatches } from '../../dist/data/windows/batches.js';
import { openCorpus } from '../../dist/data/files/openCorpus.js';
import { prepareTokenizer } from '../../dist/data/tokens/prepareTokenizer.js';
import { initialParameters, parameterTable } from '../../dist/model/parameters.js';

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
const root = path.resolve(import.meta.dirname, '../..');
const scratch = mkdtempSync(path.join(os.tmpdir(), 'clm-replay-'));
const file = (name) => path.join(scratch, name);
const bytes = (array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength);

/** Runs a program and returns its stdout. */
function run(command, args) {
  const { status, stdout } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(`${command} ended with ${status}`);
  return stdout;
}

try {
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
  const batches = [];
  for await (const { inputs, targets } of trainingBatches(corpus, tokenizer, {
    ...shape,
    seed,
    shuffleTokens: config.corpus.shuffleTokens,
  })) {
    batches.push(Buffer.from(bytes(inputs)), Buffer.from(bytes(targets)));
    if (batches.length === 2 * training.steps) break;
  }
  writeFileSync(file('batches.bin'), Buffer.concat(batches));
  const validation = [];
  for await (const { inputs, targets, weights } of validationBatches(corpus, tokenizer, shape)) {
    if (validation.length === 0) validation.push(inputs[0]);
    targets.forEach((target, i) => weights[i] !== 0 && validation.push(target));
  }
  writeFileSync(file('validation.bin'), bytes(Int32Array.from(validation)));

  const nanogpt = JSON.parse(
    run(options.python, ['scripts/compare/nanogpt-losses.py', '--nanogpt', options.nanogpt, '--folder', scratch])
      .trim()
      .split('\n')
      .at(-1),
  );
  const args = [
    'dist/cli/main.js',
    'train',
    'configs/nanogpt-shakespeare-char.yaml',
    '--run',
    file('run'),
    '--json',
    '--quiet',
  ];
  const facts = run(process.execPath, [
    ...args,
    ...[...set, 'evaluation.everySteps=null'].flatMap((assignment) => ['--set', assignment]),
  ])
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const losses = facts.filter(({ kind }) => kind === 'step').map(({ loss }) => loss);
  const differences = losses.map((loss, i) => Math.abs(loss - nanogpt.losses[i]));
  const worst = Math.max(...differences);
  process.stdout.write(
    `seed ${options.seed}, ${training.steps} updates: losses differ by at most ${worst.toExponential(1)} (update ${differences.indexOf(worst) + 1}), ` +
      `${differences[0].toExponential(1)} at the first and ${differences.at(-1).toExponential(1)} at the last; ` +
      `validation loss ${facts.at(-1).validationLoss.toFixed(4)} by clm, ${nanogpt.validationLoss.toFixed(4)} by nanoGPT's model\n`,
  );
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
