/**
 * Trains the same steps with 1, 2, 3 and 8 threads: no bit of a loss or a variable may depend on their number.
 *
 *   npm run check -- threads [NAME …]
 *
 * Small decoders whose products and sums are large enough to be shared among threads, one layer of GPT-2's size and one
 * whose loss is computed in chunks among them: both families, AdamW and Muon, float32 and bfloat16, dropout, packed
 * windows, gradient accumulation; with and without the processor's tile unit. Each has two branches, because a session
 * with several has as many threads as it is told, also on a machine with fewer cores. NAME picks some of them. Exit
 * code 1 if a run differs. Not among them is bfloat16 where the processor has no arithmetic for it, or without the tile
 * unit that it has: there most products are TensorFlow's.
 *
 * Time: 6 minutes
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import os from 'node:os';
import { hasBfloat16Arithmetic, hasTileUnit } from '#clm/processor.js';

/**
 * @typedef {{ contextLength: number } & Record<string, unknown>} Model
 * @type {Record<string, { model: Model, training?: object, optimizer?: object, vocabularySize?: number }>}
 */
const shapes = {
  gpt2: { model: { family: 'gpt2', layers: 2, heads: 4, width: 256, contextLength: 128, biases: true, dropout: 0.1 } },
  llama: {
    model: { family: 'llama', layers: 2, heads: 4, keyValueHeads: 2, width: 256, contextLength: 128 },
    training: { microBatchesPerStep: 3 },
    vocabularySize: 3000,
  },
  wide: {
    model: { family: 'gpt2', layers: 1, heads: 12, width: 768, contextLength: 512, biases: true },
    training: { microBatchSize: 2 },
    vocabularySize: 50_257,
  },
  oneRow: {
    model: { family: 'llama', layers: 1, heads: 4, width: 512, contextLength: 8 },
    training: { microBatchSize: 2 },
    vocabularySize: 8000,
  },
  // 77 million logits in each branch, which are computed in three chunks
  chunks: {
    model: { family: 'gpt2', layers: 1, heads: 2, width: 8, contextLength: 64 },
    training: { microBatchSize: 4 },
    vocabularySize: 600_000,
  },
  // enough rows for TensorFlow to share the sums of biases and the products of weights along them
  manyRows: {
    model: { family: 'gpt2', layers: 1, heads: 2, width: 64, contextLength: 64, biases: true },
    training: { microBatchSize: 64 },
  },
  // 2,048 rows in each branch: TensorFlow's threads would share the gradients of weights of some hundred columns
  manyTerms: {
    model: { family: 'gpt2', layers: 1, heads: 4, width: 256, contextLength: 128 },
    training: { microBatchSize: 32 },
  },
};
const cases = Object.entries(shapes).flatMap(([shape, given]) =>
  ['adamw', 'muon'].flatMap((kind) =>
    ['float32', 'bfloat16'].map((precision) => ({
      name: `${shape}-${kind}-${precision}`,
      vocabularySize: given.vocabularySize ?? 1000,
      config: {
        name: 'threads',
        corpus: { sources: [{ path: '/nowhere' }] },
        model: given.model,
        training: { microBatchSize: 4, branches: 2, steps: 3, ...given.training, precision },
        optimizer: { kind, gradientClip: 0.5 },
      },
    })),
  ),
);

/** Digests of each step's result, and of every variable after the last. */
async function digestsOf(/** @type {(typeof cases)[number]} */ { config: sections, vocabularySize }) {
  const { configSchema } = await import('#clm/config/schema.js');
  const { openRecordedStep } = await import('../../lib/recordedStep.mjs');
  const config = configSchema.parse(sections);
  const { session, names, step } = await openRecordedStep(config, vocabularySize);
  const N = config.training.microBatchSize * config.model.contextLength;
  const tokens = (/** @type {number} */ seed) =>
    Int32Array.from({ length: N }, (_, i) => (i * i * 31 + (i % 7) * 7919 + seed) % vocabularySize);
  /** @type {string[]} */
  const digests = [];
  for (let k = 1; k <= 3; k++) {
    const microBatches = Array.from({ length: Number(config.training.microBatchesPerStep) }, (_, i) => {
      const seed = k * 10 + i;
      return { inputs: tokens(seed), targets: tokens(seed + 5), lossMask: new Float32Array(N).fill(1), targetCount: N };
    });
    digests.push(JSON.stringify(await step(microBatches, k, 1e-3)));
  }
  for (const name of names) {
    const [variable] = await session.readVariables([name]);
    digests.push(`${name} ${createHash('sha256').update(Buffer.from(variable.values.buffer)).digest('hex')}`);
  }
  session.close();
  return digests;
}

const [mode, ...rest] = process.argv.slice(2);
if (mode === '--one') {
  const [name, threads] = rest;
  const chosen = /** @type {(typeof cases)[number]} */ (cases.find((each) => each.name === name));
  const { chunkRows } = await import('#clm/model/parameters.js');
  const rows = (chosen.config.training.microBatchSize / 2) * chosen.config.model.contextLength;
  if (name?.startsWith('chunks') && chunkRows(rows, chosen.vocabularySize) === rows) throw new Error('no chunks');
  os.availableParallelism = () => 2 * Number(threads);
  syncBuiltinESMExports();
  console.log(JSON.stringify(await digestsOf(chosen)));
  process.exit(0);
}
const wanted = mode === undefined ? cases : cases.filter(({ name }) => [mode, ...rest].some((w) => name.includes(w)));
/** @returns {string[]} */
function digestsWith(/** @type {number} */ threads, /** @type {string} */ name, /** @type {string} */ tiles) {
  const args = [import.meta.filename, '--one', name, String(threads)];
  const env = { ...process.env, CLM_TILE_PRODUCTS: tiles };
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8', maxBuffer: 1e8, env });
  if (status !== 0) throw new Error(`${name}: ${stderr}`);
  return JSON.parse(stdout);
}
let differing = 0;
for (const { name, config } of wanted) {
  const isBfloat16 = config.training.precision === 'bfloat16';
  if (isBfloat16 && hasBfloat16Arithmetic() !== true) continue;
  const kinds = hasTileUnit() && !isBfloat16 ? ['1', '0'] : ['1'];
  for (const tiles of kinds) {
    const one = digestsWith(1, name, tiles);
    const differences = [2, 3, 8].flatMap((threads) => {
      const all = digestsWith(threads, name, tiles);
      const at = one.flatMap((digest, i) => (digest === all[i] ? [] : [`\n    ${digest}\n    ${all[i]}`]));
      return at.length > 0 ? [`${at.length} of ${one.length} differ with ${threads} threads, first:${at[0]}`] : [];
    });
    if (differences.length > 0) differing++;
    const what = tiles === '0' ? `${name}, without the tile unit` : name;
    console.log(`${what}: ${differences.length === 0 ? 'equal' : differences.join('; ')}`);
  }
}
console.log(differing === 0 ? 'all equal with 1, 2, 3 and 8 threads' : `${differing} differ`);
process.exit(differing === 0 ? 0 : 1);
