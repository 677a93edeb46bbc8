/**
 * Compares clm's training step with PyTorch's of the same decoder, in turns because machines drift.
 *
 *   npm run compare -- pytorch --python PYTHON [--sizes small,large,gpt2] [--precisions float32,bfloat16]
 *     [--rounds 3] [--steps N] [--eager]
 *
 * Further sizes are long contexts of a Llama kind with a byte vocabulary: 1024, 2048, 4096, 8192.
 *
 * Prints medians of step time, tokens a second, share of the matmul peak and peak memory, and the median of the
 * rounds' ratios. With --eager and few --steps it compares memory. PYTHON has PyTorch 2 (and a C++ compiler, for
 * torch.compile). Linux only: peak memory comes from /proc.
 *
 * Time: 3 minutes a size and precision; 1 minute for "--sizes small --precisions float32 --rounds 1"
 */
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { jsonLines, print, program, root, scratchFolder, settings } from '../lib/clm.mjs';
import { measureProcess } from '../lib/measureProcess.mjs';
import { median } from '../lib/statistics.mjs';
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
const scratch = scratchFolder('pytorch');
/**
 * @typedef {Record<'layers' | 'heads' | 'width' | 'context' | 'batch' | 'vocabulary' | 'steps', number> &
 *   { family?: 'llama' }} Size
 */
/** @param {number} context @param {number} steps @returns {Size} */
const llama = (context, steps) => ({
  ...{ family: 'llama', layers: 6, heads: 6, width: 384, context, batch: 1, vocabulary: 256, steps },
});
/** @type {Record<string, Size>} */
const sizes = {
  small: { layers: 4, heads: 4, width: 128, context: 64, batch: 12, vocabulary: 83, steps: 60 },
  large: { layers: 6, heads: 6, width: 384, context: 256, batch: 8, vocabulary: 83, steps: 8 },
  gpt2: { layers: 12, heads: 12, width: 768, context: 512, batch: 1, vocabulary: 50257, steps: 4 },
  1024: llama(1024, 6),
  2048: llama(2048, 4),
  4096: llama(4096, 2),
  8192: llama(8192, 1),
};

/**
 * The JSON object that a process printed last, and its peak resident memory.
 * @param {string} command @param {string[]} args
 */
async function measure(command, args) {
  const { peakMib, output } = await measureProcess(command, args, root);
  return { peakMib, ...jsonLines(output).at(-1) };
}

/** @param {number} vocabulary */
function wideTokenizer(vocabulary) {
  const file = path.join(scratch, 'tokenizer.json');
  writeWideTokenizer(file, vocabulary);
  return file;
}

/** @param {Size} size @param {string} precision */
function runClm({ family, layers, heads, width, context, batch, vocabulary, steps }, precision) {
  const kind = { 83: 'characters', 256: 'bytes' }[vocabulary];
  const tokenizer = kind
    ? { 'tokenizer.kind': kind }
    : { 'tokenizer.kind': 'file', 'tokenizer.path': wideTokenizer(vocabulary) };
  const set = settings({
    ...{ 'model.layers': layers, 'model.heads': heads, 'model.width': width, 'model.contextLength': context },
    ...{ 'training.microBatchSize': batch, 'training.precision': precision, ...tokenizer },
    ...(family && { 'model.family': family }),
  });
  const bench = ['bench', 'configs/moby-dick.yaml', '--steps', String(steps), '--json', '--quiet'];
  return measure(process.execPath, [program, ...bench, ...set]);
}

/** @param {Size} size @param {string} precision */
const runPyTorch = (size, precision) =>
  measure(options.python, [
    ...[path.join(import.meta.dirname, 'pytorch.py'), '--precision', precision, ...(options.eager ? ['--eager'] : [])],
    ...Object.entries(size).flatMap(([name, value]) => [`--${name}`, String(value)]),
  ]);

print(`${os.cpus()[0].model.trim()}, ${os.availableParallelism()} cores, Node ${process.versions.node}`);
for (const name of options.sizes.split(',')) {
  const size = sizes[name] && { ...sizes[name], ...(options.steps && { steps: Number(options.steps) }) };
  if (!size) throw new Error(`--sizes: ${name} is none of ${Object.keys(sizes).join(', ')}`);
  for (const precision of options.precisions.split(',')) {
    /** @type {Record<'clm' | 'pytorch', any>[]} */
    const pairs = [];
    for (let round = 0; round < Number(options.rounds); round++) {
      pairs.push({ clm: await runClm(size, precision), pytorch: await runPyTorch(size, precision) });
    }
    /** @param {'clm' | 'pytorch'} who @param {string} field */
    const of = (who, field) => median(pairs.map((pair) => pair[who][field]));
    const ratio = median(pairs.map(({ clm, pytorch }) => clm.msPerStep / pytorch.msPerStep));
    const share = median(pairs.map(({ clm }) => clm.gflops / clm.matmulGflops));
    const { version } = pairs[0].pytorch;
    print(
      `${name} ${precision}: clm ${of('clm', 'msPerStep').toFixed(1)} ms a step, ` +
        `${of('clm', 'tokensPerSecond').toFixed(0)} tokens/s, ${of('clm', 'peakMib').toFixed(0)} MiB, ` +
        `${(100 * share).toFixed(0)} % of the matmul peak; ` +
        `PyTorch ${version} ${options.eager ? 'eager' : 'compiled'} ${of('pytorch', 'msPerStep').toFixed(1)} ms, ` +
        `${of('pytorch', 'peakMib').toFixed(0)} MiB; ratio ${ratio.toFixed(3)}`,
    );
  }
}
