// Pairs clm with nanoGPT's own train.py on nanoGPT's CPU config: whole processes, alternating, with the same
// evaluations (a whole validation set's worth of batches at the start and at the end).
//
//   npm run compare -- nanogpt --nanogpt DIR --python PYTHON [--seeds 1337,1,2] [--steps 2000] [--precision float32]
//
// DIR is a checkout of nanoGPT whose data/shakespeare_char has been prepared; corpus/tinyshakespeare.txt is
// the same text. Linux only: peak memory comes from /proc.
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { measureProcess } from '../lib/measureProcess.mjs';

const { values: options } = parseArgs({
  options: {
    nanogpt: { type: 'string' },
    python: { type: 'string', default: 'python3' },
    seeds: { type: 'string', default: '1337,1,2' },
    steps: { type: 'string', default: '2000' },
    precision: { type: 'string', default: 'float32' },
  },
});
if (!options.nanogpt) {
  process.stderr.write('error: --nanogpt DIR is missing\n');
  process.exit(2);
}
const root = path.resolve(import.meta.dirname, '../..');
const scratch = mkdtempSync(path.join(os.tmpdir(), 'clm-nanogpt-'));
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

function runClm(seed) {
  const run = path.join(scratch, `clm-${seed}`);
  const set = [
    `seed=${seed}`,
    `training.steps=${options.steps}`,
    `training.precision=${options.precision}`,
    'evaluation.everySteps=null',
  ];
  const args = [
    'dist/cli/main.js',
    'train',
    'configs/nanogpt-shakespeare-char.yaml',
    '--run',
    run,
    '--json',
    '--quiet',
  ];
  return measureProcess(process.execPath, [...args, ...set.flatMap((assignment) => ['--set', assignment])], root);
}

const ratios = [];
try {
  for (const seed of options.seeds.split(',')) {
    const nanogpt = await runNanoGpt();
    const clm = await runClm(seed);
    const nanogptLoss = Number(
      /.*val loss ([\d.]+)/.exec(
        nanogpt.output
          .split('\n')
          .filter((line) => line.includes('val loss'))
          .at(-1),
      )[1],
    );
    const clmLoss = JSON.parse(clm.output.trimEnd().split('\n').at(-1)).validationLoss;
    ratios.push(clm.seconds / nanogpt.seconds);
    process.stdout.write(
      `seed ${seed}: clm ${clm.seconds.toFixed(1)} s, ${clm.peakMib.toFixed(0)} MiB, validation loss ${clmLoss.toFixed(4)} (whole set); ` +
        `nanoGPT ${nanogpt.seconds.toFixed(1)} s, ${nanogpt.peakMib.toFixed(0)} MiB, ${nanogptLoss.toFixed(4)} (random windows); ` +
        `time ratio ${ratios.at(-1).toFixed(3)}\n`,
    );
  }
  const sorted = ratios.toSorted((a, b) => a - b);
  process.stdout.write(`median time ratio ${sorted[sorted.length >> 1].toFixed(3)}\n`);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
