/**
 * Compares clm with nanoGPT's own train.py on nanoGPT's CPU config: whole processes, in turns.
 *
 *   npm run compare -- nanogpt --nanogpt DIR --python PYTHON [--seeds 1337,1,2] [--steps 2000] [--precision float32]
 *     [--recipe STEPS]
 *
 * With --recipe, clm trains configs/recipes/characters.yaml for STEPS steps instead of nanoGPT's own config.
 * DIR is a checkout of nanoGPT whose data/shakespeare_char has been prepared; corpus/tinyshakespeare.txt is the same
 * text; PYTHON has torch. Both evaluate a whole validation set's worth of batches at the start and at the end. Linux
 * only: peak memory comes from /proc.
 *
 * Time: 3 minutes a seed
 */
import path from 'node:path';
import { parseArgs } from 'node:util';
import { jsonLines, print, program, root, scratchFolder, settings } from '../lib/clm.mjs';
import { measureProcess } from '../lib/measureProcess.mjs';
import { median } from '../lib/statistics.mjs';

const { values: options } = parseArgs({
  options: {
    nanogpt: { type: 'string' },
    python: { type: 'string', default: 'python3' },
    seeds: { type: 'string', default: '1337,1,2' },
    steps: { type: 'string', default: '2000' },
    precision: { type: 'string', default: 'float32' },
    recipe: { type: 'string' },
  },
});
if (!options.nanogpt) {
  process.stderr.write('error: --nanogpt DIR is missing\n');
  process.exit(2);
}
const scratch = scratchFolder('nanogpt');
// nanoGPT scores eval_iters batches of both splits: 73 of each are the 145 batches of the validation set.
const evaluationBatches = 73;

function runNanoGpt() {
  const flags = {
    device: 'cpu',
    compile: 'False',
    eval_iters: evaluationBatches,
    eval_interval: options.steps,
    log_interval: 100,
    block_size: 64,
    batch_size: 12,
    n_layer: 4,
    n_head: 4,
    n_embd: 128,
    max_iters: options.steps,
    lr_decay_iters: options.steps,
    dropout: '0.0',
    out_dir: path.join(scratch, 'nanogpt'),
  };
  const args = [
    'train.py',
    'config/train_shakespeare_char.py',
    ...Object.entries(flags).map(([key, value]) => `--${key}=${value}`),
  ];
  return measureProcess(options.python, args, options.nanogpt);
}

/** @param {string} seed */
function runClm(seed) {
  const sources = [{ path: path.join(root, 'corpus/tinyshakespeare.txt') }];
  const recipe = { 'corpus.sources': JSON.stringify(sources), 'corpus.validation.tail': 0.1 };
  const set = settings({
    ...{ seed, 'training.steps': options.recipe ?? options.steps, 'training.precision': options.precision },
    ...{ 'evaluation.everySteps': null, 'checkpoints.everySteps': null, 'samples.everySteps': null },
    ...(options.recipe && recipe),
  });
  const config = options.recipe ? 'configs/recipes/characters.yaml' : 'configs/nanogpt-shakespeare-char.yaml';
  const train = ['train', config, '--run', path.join(scratch, `clm-${seed}`)];
  return measureProcess(process.execPath, [program, ...train, '--json', '--quiet', ...set], root);
}

/** @type {number[]} */
const ratios = [];
for (const seed of options.seeds.split(',')) {
  const nanogpt = await runNanoGpt();
  const clm = await runClm(seed);
  const nanogptLoss = Number([...nanogpt.output.matchAll(/val loss ([\d.]+)/g)].at(-1)?.[1]);
  const clmLoss = jsonLines(clm.output).at(-1).validationLoss;
  const ratio = clm.seconds / nanogpt.seconds;
  ratios.push(ratio);
  print(
    `seed ${seed}: clm ${clm.seconds.toFixed(1)} s, ${clm.peakMib.toFixed(0)} MiB, validation loss ` +
      `${clmLoss.toFixed(4)} (whole set); nanoGPT ${nanogpt.seconds.toFixed(1)} s, ${nanogpt.peakMib.toFixed(0)} ` +
      `MiB, ` +
      `${nanogptLoss.toFixed(4)} (random windows); time ratio ${ratio.toFixed(3)}`,
  );
}
print(`median time ratio ${median(ratios).toFixed(3)}`);
