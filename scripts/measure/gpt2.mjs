/**
 * Measures peak memory and step time of training GPT-2 124M (vocabulary 50,257) on random tokens.
 *
 *   npm run measure -- gpt2 [KEY=VALUE …]
 *   npm run measure -- gpt2 all
 *
 * KEY=VALUE changes the config, e.g. training.recompute=block model.contextLength=1024. "all" measures, each in its
 * own process: T 512 and T 1024 in float32 and bfloat16, T 1024 accumulated, and T 1024 recomputed.
 *
 * Time: 1 minute; 10 minutes for all. Needs 4 GB of memory
 */
import { spawnSync } from 'node:child_process';
import os from 'node:os';
import YAML from 'yaml';
import { median } from '../lib/statistics.mjs';

if (process.argv[2] === 'all') {
  const kinds = [
    ...['float32', 'bfloat16'].flatMap((precision) =>
      [512, 1024].map((T) => [`model.contextLength=${T}`, `training.precision=${precision}`]),
    ),
    ['model.contextLength=1024', 'training.microBatchesPerStep=2'],
    ['model.contextLength=1024', 'training.recompute=block'],
  ];
  for (const kind of kinds) {
    process.stdout.write(`${kind.join(' ')}  `);
    if (spawnSync(process.execPath, [import.meta.filename, ...kind], { stdio: 'inherit' }).status !== 0)
      process.exit(1);
  }
  process.exit(0);
}

const { configSchema } = await import('#clm/config/schema.js');
const { initialParameters, parameterTable } = await import('#clm/model/parameters.js');
const { openSession } = await import('#clm/runtime/openSession.js');
const { memoryPlan } = await import('#clm/training/plan/memory.js');
const { moveIntoSession } = await import('#clm/training/tensorValues.js');
const { recordTrainingStep } = await import('#clm/training/step/step.js');
const { trainingState } = await import('#clm/training/step/trainingState.js');

/** @type {Record<string, any>} */
const sections = {
  name: 'gpt2',
  corpus: { sources: [{ path: '/nowhere' }] },
  model: { layers: 12, heads: 12, width: 768, contextLength: 1024, biases: true },
  training: { microBatchSize: 1, branches: 1, steps: 4 },
};
for (const assignment of process.argv.slice(2)) {
  const [, section, key, value] = /^(\w+)\.(\w+)=(.*)$/.exec(assignment) ?? [];
  if (section === undefined) throw new Error(`${assignment} is not of the form section.key=value`);
  (sections[section] ??= {})[key] = YAML.parse(value);
}
const config = configSchema.parse(sections);
const vocabularySize = 50_257;
const table = parameterTable(config.model, vocabularySize);
const session = openSession({ mode: 'recorded', ...config.training, device: 'cpu' });
const parameters = initialParameters(table, 1);
await moveIntoSession(session, [...parameters, ...trainingState(config, table, parameters)]);
const step = await recordTrainingStep(session, config, table);
const N = config.training.microBatchSize * config.model.contextLength;
const tokens = (/** @type {number} */ seed) =>
  Int32Array.from({ length: N }, (_, i) => (i * i * 31 + i * 7919 + seed) % vocabularySize);
const microBatch = { inputs: tokens(1), targets: tokens(2), lossMask: new Float32Array(N).fill(1), targetCount: N };
const microBatches = Array.from({ length: Number(config.training.microBatchesPerStep) }, () => microBatch);
/** @type {number[]} */
const stepMs = [];
for (let k = 1; k <= Number(config.training.steps); k++) {
  const startMs = performance.now();
  await step(microBatches, k, 1e-4);
  stepMs.push(Math.round(performance.now() - startMs));
}
session.close();
const planned = memoryPlan(config, { trained: table, frozen: [], saved: table }, vocabularySize);
const peakBytes = process.resourceUsage().maxRSS * 1024;
const medianMs = stepMs.length > 1 ? median(stepMs.slice(1)) : stepMs[0]; // the first step warms up
console.log(
  JSON.stringify({
    tokensPerSecond: Math.round((1000 * N * microBatches.length) / medianMs),
    peakMegabytes: Math.round(peakBytes / 1e6),
    plannedMegabytes: Math.round((planned.total - planned.checkpoint) / 1e6),
    stepMs,
    cores: os.availableParallelism(),
  }),
);
