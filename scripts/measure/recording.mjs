/**
 * Measures what recording nanoGPT's GPU config (L6 H6 C384, T 256, B 64, dropout) into a graph costs.
 *
 *   npm run measure -- recording
 *
 * Prints time, nodes and bytes of constants. Nothing is trained: no GPU is needed.
 *
 * Time: 5 s
 */
import path from 'node:path';
import { root } from '../lib/clm.mjs';

const { loadConfig } = await import('#clm/config/load.js');
const { initialParameters, parameterTable } = await import('#clm/model/parameters.js');
const { openSession } = await import('#clm/runtime/openSession.js');
const { recordTrainingStep } = await import('#clm/training/step/step.js');
const { trainingState } = await import('#clm/training/step/trainingState.js');

const config = loadConfig(path.join(root, 'configs/nanogpt-shakespeare-char-gpu.yaml'));
const table = parameterTable(config.model, 65);
const parameters = initialParameters(table, config.seed);
for (const hasKernels of [true, false]) {
  const session = openSession({
    ...{ mode: 'recorded', precision: config.training.precision, branches: 1, device: 'cpu' },
    kernels: hasKernels ? 'tiles' : 'none', // a GPU has one branch and TensorFlow's own operations
  });
  await session.addVariables([...parameters, ...trainingState(config, table, parameters)]);
  const startMs = performance.now();
  await recordTrainingStep(session, config, table);
  const recordMs = Math.round(performance.now() - startMs);
  const { nodes, constantBytes } = /** @type {import('#clm/runtime/recordedSession.js').RecordedSession} */ (session)
    .recordedSize;
  const { microBatchSize, microBatchesPerStep } = config.training;
  const operations = hasKernels ? "clm's kernels" : 'as on a GPU';
  console.log(
    JSON.stringify({
      operations,
      microBatchSize,
      microBatchesPerStep,
      recordMs,
      nodes,
      constantMegabytes: constantBytes / 1e6,
    }),
  );
  session.close();
}
