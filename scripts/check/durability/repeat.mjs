/**
 * Trains the same config and seed again and again: losses, gradient norms and variables must be equal to the last bit.
 *
 *   npm run check -- repeat [RUNS=8]
 *
 * Runs the first steps of one layer of GPT-2's size in new sessions, in float32 and in bfloat16. Several threads share
 * each operation, so that an order of summation that depends on them would show. Exit code 1 if a run differs.
 *
 * Time: 3 minutes
 */
import { createHash } from 'node:crypto';
import { configSchema } from '#clm/config/schema.js';
import { openRecordedStep } from '../../lib/recordedStep.mjs';

const runs = Number(process.argv[2] ?? 8);
const steps = 4;
const vocabularySize = 50_257;

/** One digest a step, and one of all variables. */
async function digestsOf(/** @type {import('#clm/config/schema.js').Config} */ config) {
  const { session, names, step } = await openRecordedStep(config, vocabularySize);
  const N = config.training.microBatchSize * config.model.contextLength;
  const tokens = (/** @type {number} */ seed) =>
    Int32Array.from({ length: N }, (_, i) => (i * i * 31 + i * 7919 + seed) % vocabularySize);
  const microBatch = { inputs: tokens(1), targets: tokens(2), lossMask: new Float32Array(N).fill(1), targetCount: N };
  const digests = [];
  for (let k = 1; k <= steps; k++) digests.push(JSON.stringify(await step([microBatch], k, 1e-3)));
  const hash = createHash('sha256');
  for (const name of names) hash.update(Buffer.from((await session.readVariables([name]))[0].values.buffer));
  session.close();
  return [...digests, hash.digest('hex')];
}

let differing = 0;
for (const precision of ['float32', 'bfloat16']) {
  const config = configSchema.parse({
    name: 'repeated',
    corpus: { sources: [{ path: '/nowhere' }] },
    model: { layers: 1, heads: 12, width: 768, contextLength: 512, biases: true },
    training: { microBatchSize: 1, branches: 1, steps, precision },
  });
  const first = await digestsOf(config);
  for (let run = 2; run <= runs; run++) {
    const digests = await digestsOf(config);
    const at = digests.findIndex((digest, i) => digest !== first[i]);
    if (at < 0) continue;
    differing++;
    const step = `step ${at + 1} gave ${digests[at]} instead of ${first[at]}`;
    console.log(`${precision}, run ${run}: ${at < steps ? step : 'the variables differ'}`);
  }
  console.log(`${precision}: ${runs} runs of ${steps} steps, the first ended at ${first[steps - 1]}`);
}
console.log(differing === 0 ? 'all equal to the bit' : `${differing} runs differ`);
process.exit(differing === 0 ? 0 : 1);
