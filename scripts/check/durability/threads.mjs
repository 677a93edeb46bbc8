/**
 * Trains the same steps on one core and on all: no bit of a loss or a variable may depend on the number of threads.
 *
 *   npm run check -- threads [NAME …]
 *
 * Small decoders whose products and sums are large enough to be shared among threads, one layer of GPT-2's size among
 * them: both families, AdamW and Muon, float32 and bfloat16, dropout, packed windows, gradient accumulation. NAME picks
 * some of them. Exit code 1 if a run differs. Needs taskset (util-linux) and two cores.
 *
 * Time: 2 minutes
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import os from 'node:os';

/** @type {Record<string, { model?: object, training?: object, optimizer?: object, vocabularySize?: number }>} */
const shapes = {
  gpt2: { model: { family: 'gpt2', layers: 2, heads: 4, width: 256, contextLength: 128, biases: true, dropout: 0.1 } },
  llama: {
    model: { family: 'llama', layers: 2, heads: 4, keyValueHeads: 2, width: 256, contextLength: 128 },
    training: { microBatchesPerStep: 3 },
    vocabularySize: 3000,
  },
  wide: {
    model: { family: 'gpt2', layers: 1, heads: 12, width: 768, contextLength: 512, biases: true },
    training: { microBatchSize: 1 },
    vocabularySize: 50_257,
  },
  oneRow: {
    model: { family: 'llama', layers: 1, heads: 4, width: 512, contextLength: 8 },
    training: { microBatchSize: 1 },
    vocabularySize: 8000,
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
        training: { microBatchSize: 4, branches: 1, steps: 3, ...given.training, precision },
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
  const chosen = cases.find(({ name }) => name === rest[0]);
  console.log(JSON.stringify(await digestsOf(/** @type {(typeof cases)[number]} */ (chosen))));
  process.exit(0);
}
const wanted = mode === undefined ? cases : cases.filter(({ name }) => [mode, ...rest].some((w) => name.includes(w)));
const cores = os.availableParallelism();
if (cores < 2) throw new Error('this check needs two cores');
/** @returns {string[]} */
function digestsOn(/** @type {string[]} */ prefix, /** @type {string} */ name) {
  const [command, ...args] = [...prefix, process.execPath, import.meta.filename, '--one', name];
  const { stdout, stderr, status } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1e8 });
  if (status !== 0) throw new Error(`${name}: ${stderr}`);
  return JSON.parse(stdout);
}
let differing = 0;
for (const { name } of wanted) {
  const [one, all] = [digestsOn(['taskset', '-c', '0'], name), digestsOn([], name)];
  const at = one.flatMap((digest, i) => (digest === all[i] ? [] : [`\n    ${digest}\n    ${all[i]}`]));
  if (at.length > 0) differing++;
  console.log(`${name}: ${at.length === 0 ? 'equal' : `${at.length} of ${one.length} differ, first:${at[0]}`}`);
}
console.log(differing === 0 ? `all equal on 1 and ${cores} cores` : `${differing} of ${wanted.length} differ`);
process.exit(differing === 0 ? 0 : 1);
