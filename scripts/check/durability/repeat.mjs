/**
 * Are the same config and seed the same training to the bit, also where several threads share each operation? Runs the
 * first steps of one layer of GPT-2's size again and again, in new sessions, and compares losses, gradient norms and,
 * after the last step, every parameter and moment.
 *
 *   npm run check -- repeat [RUNS]      8 runs in each precision take about three minutes on two cores
 */
import { createHash } from 'node:crypto';
import { configSchema } from '../../../dist/config/schema.js';
import { initialParameters, parameterTable } from '../../../dist/model/parameters.js';
import { openSession } from '../../../dist/runtime/openSession.js';
import { moveIntoSession } from '../../../dist/training/tensorValues.js';
import { recordTrainingStep } from '../../../dist/training/step/step.js';
import { trainingState } from '../../../dist/training/step/trainingState.js';

const runs = Number(process.argv[2] ?? 8);
const steps = 4;
const vocabularySize = 50_257;

/** One digest a step, and one of all variables. */
async function digestsOf(config) {
  const table = parameterTable(config.model, vocabularySize);
  const session = openSession({ mode: 'recorded', ...config.training, device: 'cpu' });
  const parameters = initialParameters(table, 1);
  const initial = [...parameters, ...trainingState(config, table, parameters)];
  const names = initial.map(({ name }) => name);
  await moveIntoSession(session, initial);
  const step = await recordTrainingStep(session, config, table);
  const N = config.training.microBatchSize * config.model.contextLength;
  const tokens = (seed) => Int32Array.from({ length: N }, (_, i) => (i * i * 31 + i * 7919 + seed) % vocabularySize);
  const microBatch = { inputs: tokens(1), targets: tokens(2), weights: new Float32Array(N).fill(1), targetCount: N };
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
    console.log(
      `${precision}, run ${run}: ${at < steps ? `step ${at + 1} gave ${digests[at]} instead of ${first[at]}` : 'the variables differ'}`,
    );
  }
  console.log(`${precision}: ${runs} runs of ${steps} steps, the first ended at ${first[steps - 1]}`);
}
console.log(differing === 0 ? 'all equal to the bit' : `${differing} runs differ`);
process.exit(differing === 0 ? 0 : 1);
