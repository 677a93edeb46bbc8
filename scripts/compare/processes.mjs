/**
 * Compares two processes that train together, a core each, with PyTorch's DistributedDataParallel over gloo.
 *
 *   npm run compare -- processes --python PYTHON [--micro-batches 1] [--steps 3] [--eager] [--side SIDE]
 *
 * GPT-2 124M, windows of 512 tokens, one a micro-batch, float32. Both sides run two processes together, then two alone
 * at the same time; the efficiency is the time of a step alone divided by that together. SIDE is clm or pytorch, to
 * measure one of them. PYTHON has PyTorch 2, which with --eager does not compile. Needs taskset (util-linux), two cores
 * and 10 GB of memory; nothing else may run meanwhile.
 *
 * Time: 4 minutes; 15 minutes with 8 micro-batches
 */
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { jsonLines, print, run } from '../lib/clm.mjs';
import { median } from '../lib/statistics.mjs';

const { values: options } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    'micro-batches': { type: 'string', default: '1' },
    steps: { type: 'string', default: '3' },
    eager: { type: 'boolean', default: false },
    side: { type: 'string' },
  },
});
const { 'micro-batches': microBatches, steps } = options;

/** @returns {Promise<number>} a port that is free now */
const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
      server.close(() => resolve(port));
    });
  });

const sizes = { layers: 12, heads: 12, width: 768, context: 512, batch: 1, vocabulary: 50257, steps };
const settings = Object.entries({ ...sizes, 'micro-batches': microBatches, precision: 'float32' });
const pytorchArguments = [
  path.join(import.meta.dirname, 'pytorch.py'),
  ...settings.flatMap(([name, value]) => [`--${name}`, String(value)]),
  ...(options.eager ? ['--eager'] : []),
];

/** Two processes of PyTorch at the same time. @param {boolean} isTogether */
async function pytorch(isTogether) {
  const meeting = { MASTER_ADDR: '127.0.0.1', MASTER_PORT: String(await freePort()), WORLD_SIZE: '2' };
  const results = await Promise.all(
    [0, 1].map(async (rank) => {
      const args = ['-c', String(rank), options.python, ...pytorchArguments];
      const env = { ...process.env, OMP_NUM_THREADS: '1', ...(isTogether && { ...meeting, RANK: String(rank) }) };
      const child = spawn('taskset', args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
      let output = '';
      child.stdout.on('data', (part) => (output += part));
      const code = await new Promise((resolve) => child.once('close', resolve));
      if (code !== 0) throw new Error(`rank ${rank} of PyTorch ended with ${code}`);
      return jsonLines(output).at(-1);
    }),
  );
  return {
    msPerStep: Math.round(median(results.map((result) => result.msPerStep))),
    peakMegabytes: Math.round((Math.max(...results.map((result) => result.peakMib)) * 1048576) / 1e6),
  };
}

if (options.side !== 'pytorch') {
  const measured = path.join(import.meta.dirname, '../measure/processes.mjs');
  const [clm] = jsonLines(run(process.execPath, [measured, microBatches, steps]));
  print(`clm: ${JSON.stringify(clm)}`);
}
if (options.side !== 'clm') {
  const together = await pytorch(true);
  const alone = await pytorch(false);
  const efficiency = Number((alone.msPerStep / together.msPerStep).toFixed(3));
  print(`PyTorch: ${JSON.stringify({ microBatches: Number(microBatches), efficiency, together, alone })}`);
}
