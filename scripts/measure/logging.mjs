/**
 * Measures what writing every step to every log costs.
 *
 *   npm run measure -- logging [BLOCKS=200]
 *
 * One process trains configs/moby-dick.yaml and reports to metrics.jsonl, metrics.csv, a TensorBoard event file and the
 * terminal in every other block of ten steps: the share of a step that reporting takes, and how much longer a step
 * with it is than its neighbours without.
 *
 * Time: 2 minutes; 5 s for 8 blocks
 */
import path from 'node:path';
import { openMetrics } from '#clm/run/metrics.js';
import { reportToTerminal } from '#clm/cli/terminal/trainingTerminal.js';
import { openStepWatch } from '#clm/training/divergence.js';
import { findConfig, prepareTraining } from '#clm/training/prepare.js';
import { recordPrograms } from '#clm/training/programs.js';
import { openTrainingSession } from '#clm/training/run.js';
import { metricsReport, openSinks } from '#clm/training/sinks/sinks.js';
import { openStepBatches } from '#clm/training/stepBatches.js';
import { train } from '#clm/training/train.js';
import { print, root, scratchFolder } from '../lib/clm.mjs';
import { mean, median, quantile } from '../lib/statistics.mjs';

const blocks = Number(process.argv[2] ?? 200);
const stepsOfBlock = 10;
const folder = scratchFolder('logging');
const steps = blocks * stepsOfBlock;
const set = [
  `training.steps=${steps}`,
  'corpus.validation.tail=0.002',
  'evaluation.everySteps=null',
  'samples.everySteps=null',
  'checkpoints.everySteps=null',
];
const request = {
  config: path.join(root, 'configs/moby-dick.yaml'),
  runDirectory: path.join(folder, 'run'),
  set,
};
const prepared = await prepareTraining(findConfig({ ...request, resume: false }));
const { config } = prepared;
const session = openTrainingSession(config, 'recorded');
const metrics = openMetrics(path.join(folder, 'metrics.jsonl'));
const sinks = await openSinks(folder, { log: ['tensorboard', 'csv'], everySteps: 1 }, 0, print);
const reports = [metricsReport(metrics, 1), ...sinks.map(({ report }) => report), reportToTerminal(steps, 0, false)];
/** @type {number[][]} */
const stepMs = Array.from({ length: blocks }, () => []);
/** @type {number[]} */
const logMs = [];
let beforeMs = performance.now();
/** @type {import('#clm/training/sinks/facts.js').Report} */
const report = (fact) => {
  if (fact.kind !== 'step') {
    beforeMs = performance.now();
    return;
  }
  const block = Math.floor((fact.step - 1) / stepsOfBlock);
  // The first two pairs of blocks are for warming up.
  const logs = block % 2 === 0;
  if (logs) {
    const beganMs = performance.now();
    for (const each of reports) each(fact);
    logMs.push(performance.now() - beganMs);
  }
  const nowMs = performance.now();
  stepMs[block].push(nowMs - beforeMs);
  beforeMs = nowMs;
};
try {
  const programs = await recordPrograms(session, prepared, print);
  const start = { ...prepared.progress, logged: new Set(['evaluation', 'checkpoint']) };
  // so that it is stopped before the end, which would evaluate and save
  const plan = { ...prepared.plan, steps: steps + 1 };
  const stopping = new AbortController();
  /** @type {typeof report} */
  const stopReport = (fact) => {
    if (fact.kind === 'step' && fact.step > steps) return;
    report(fact);
    if (fact.kind === 'step' && fact.step === steps) stopping.abort('measured');
  };
  const noSaves = {
    begin: async () => {},
    finished: async () => {},
    failAfterSaving: (/** @type {unknown} */ failure) => Promise.reject(failure),
  };
  const watch = openStepWatch(config.training.guard.maxSkips, undefined);
  const parts = {
    config,
    plan,
    programs,
    watch,
    report: stopReport,
    saves: noSaves,
    sample: async () => ({ prompt: '', completion: '' }),
    batches: openStepBatches(prepared),
  };
  await train(parts, start, {
    signal: stopping.signal,
    takeSave: () => false,
    pauseReason: () => null,
    stopAt: () => null,
  });
} finally {
  metrics.close();
  for (const { close } of sinks) close();
  session.close();
}
const medians = stepMs.map((times) => median(times));
const pairs = Array.from({ length: (blocks >> 1) - 2 }, (_, i) => 100 * (medians[2 * i + 4] / medians[2 * i + 5] - 1));
const withoutMs = median(medians.filter((_, block) => block % 2 === 1));
const meanLogMs = mean(logMs);
print(
  `a step of configs/moby-dick.yaml without logging: ${withoutMs.toFixed(2)} ms; reporting it to metrics.jsonl, ` +
    `event ` +
    `file, metrics.csv and terminal: mean ${(1000 * meanLogMs).toFixed(0)} µs, median ` +
    `${(1000 * median(logMs)).toFixed(0)} µs, ${((100 * meanLogMs) / withoutMs).toFixed(2)} % of it`,
);
print(
  `logged blocks of ${stepsOfBlock} steps against their neighbours: median ${median(pairs).toFixed(2)} % more ` +
    `(quartiles ${quantile(pairs, 0.25).toFixed(2)} and ${quantile(pairs, 0.75).toFixed(2)}, ${pairs.length} pairs)`,
);
