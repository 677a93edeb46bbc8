// Pairs clm's training step with PyTorch's of the same decoder, in turns, because machines drift.
//
//   npm run compare -- pytorch --python PYTHON [--sizes small,large,gpt2] [--precisions float32,bfloat16] [--rounds 3]
//     [--steps N] [--eager]
//
// Prints the medians over the rounds of step time, tokens per second, share of the matmul peak and peak resident
// memory, and the median of the rounds' ratios. With --eager and few --steps it compares the memory. PYTHON is one with
// PyTorch 2 (and a C++ compiler, for torch.compile). Linux only: peak memory comes from /proc.
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { measureProcess } from '../lib/measureProcess.mjs';
import { writeWideTokenizer } from '../lib/wideTokenizer.mjs';

const text = /** @type {const} */ ({ type: 'string' });
const { values: options } = parseArgs({
  options: {
    python: { ...text, default: 'python3' },
    sizes: { ...text, default: 'small,large,gpt2' },
    precisions: { ...text, default: 'float32,bfloat16' },
    rounds: { ...text, default: '3' },
    steps: text,
    eager: { type: 'boolean', default: false },
  },
});
const root = path.resolve(import.meta.dirname, '../..');
const scratch = mkdtempSync(path.join(os.tmpdir(), 'clm-pytorch-'));
const sizes = {
  small: { layers: 4, heads: 4, width: 128, context: 64, batch: 12, vocabulary: 83, steps: 60 },
  large: { layers: 6, heads: 6, width: 384, context: 256, batch: 8, vocabulary: 83, steps: 8 },
  gpt2: { layers: 12, heads: 12, width: 768, context: 512, batch: 1, vocabulary: 50257, steps: 4 },
};
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

/** The JSON object that a process printed last, and its peak resident memory. */
async function measure(command, args) {
  const { peakMib, output } = await measureProcess(command, args, root);
  return { peakMib, ...JSON.parse(output.trim().split('\n').at(-1)) };
}

function wideTokenizer(vocabulary) {
  const file = path.join(scratch, 'tokenizer.json');
  writeWideTokenizer(file, vocabulary);
  return file;
}

function runClm({ layers, heads, width, context, batch, vocabulary, steps }, precision) {
  const tokenizer =
    vocabulary === 83
      ? ['tokenizer.kind=characters']
      : ['tokenizer.kind=file', `tokenizer.path=${wideTokenizer(vocabulary)}`];
  const set = [
    ...[`model.layers=${layers}`, `model.heads=${heads}`, `model.width=${width}`, `model.contextLength=${context}`],
    ...[`training.microBatchSize=${batch}`, `training.precision=${precision}`, ...tokenizer],
  ];
  const args = ['dist/cli/main.js', 'bench', 'configs/moby-dick.yaml', '--steps', String(steps), '--json', '--quiet'];
  return measure(process.execPath, [...args, ...set.flatMap((assignment) => ['--set', assignment])]);
}

const runPyTorch = (size, precision) =>
  measure(options.python, [
    ...['scripts/compare/pytorch.py', '--precision', precision, ...(options.eager ? ['--eager'] : [])],
    ...Object.entries(size).flatMap(([name, value]) => [`--${name}`, String(value)]),
  ]);

process.stdout.write(
  `${os.cpus()[0].model.trim()}, ${os.availableParallelism()} cores, Node ${process.versions.node}\n`,
);
try {
  for (const name of options.sizes.split(',')) {
    const size = sizes[name] && { ...sizes[name], ...(options.steps && { steps: Number(options.steps) }) };
    if (!size) throw new Error(`--sizes: ${name} is none of ${Object.keys(sizes).join(', ')}`);
    for (const precision of options.precisions.split(',')) {
      const pairs = [];
      for (let round = 0; round < Number(options.rounds); round++) {
        pairs.push({ clm: await runClm(size, precision), pytorch: await runPyTorch(size, precision) });
      }
      const of = (who, field) => median(pairs.map((pair) => pair[who][field]));
      const ratio = median(pairs.map(({ clm, pytorch }) => clm.msPerStep / pytorch.msPerStep));
      const share = median(pairs.map(({ clm }) => clm.gflops / clm.matmulGflops));
      process.stdout.write(
        `${name} ${precision}: clm ${of('clm', 'msPerStep').toFixed(1)} ms a step, ${of('clm', 'tokensPerSecond').toFixed(0)} tokens/s, ${of('clm', 'peakMib').toFixed(0)} MiB, ` +
          `${(100 * share).toFixed(0)} % of the matmul peak; PyTorch ${pairs[0].pytorch.version}${options.eager ? ' eager' : ' compiled'} ` +
          `${of('pytorch', 'msPerStep').toFixed(1)} ms, ${of('pytorch', 'peakMib').toFixed(0)} MiB; ratio ${ratio.toFixed(3)}\n`,
      );
    }
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
