/**
 * Compares the times that clm plan and clm sweep expect with those that are measured. Nothing else may run meanwhile.
 *
 *   npm run check -- time [--only plan|sweep] [--rounds N] [--small]
 *
 * plan: the median step of clm bench on the shipped configs and three other sizes must lie in the range that clm plan
 * gives from the matmul peak, and clm plan --measure 20s within 25 % of it. sweep: nine short runs of three sizes must
 * take what clm sweep --dry-run expects, within 30 %. Exit code 1 if not. --small takes two configs and three
 * very short runs, whose times say little and are no failure.
 *
 * Time: 4 minutes a round; 1 minute with --small
 */
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { clm, jsonLines, print, root, scratchFolder } from '../../lib/clm.mjs';

const { values } = parseArgs({
  options: { only: { type: 'string' }, rounds: { type: 'string', default: '1' }, small: { type: 'boolean' } },
});
const scratch = scratchFolder('time');
process.env['XDG_CACHE_HOME'] = path.join(scratch, 'cache'); // the peak is measured here and now

/** The last object that a command prints. @param {...string} args */
const result = (...args) => jsonLines(clm(...args, '--json', '--quiet')).at(-1);
const setOf = (/** @type {Record<string, unknown>} */ keys) =>
  Object.entries(keys).flatMap(([key, value]) => ['--set', `${key}=${JSON.stringify(value)}`]);
const sizes = (/** @type {number} */ layers, /** @type {number} */ width, /** @type {number} */ contextLength) => ({
  ...{ 'model.layers': layers, 'model.width': width, 'model.contextLength': contextLength },
  'model.heads': Math.max(2, width / 64),
});

/** @type {[config: string, keys: Record<string, unknown>, steps: number][]} */
const cases = [
  ['moby-dick', {}, 40],
  ['moby-dick-llama', {}, 40],
  ['moby-dick-bpe', {}, 10],
  ['nanogpt-shakespeare-char', {}, 40],
  ['moby-dick', { 'training.precision': 'bfloat16' }, 40],
  ['moby-dick', { ...sizes(1, 16, 8), 'training.microBatchSize': 3 }, 200],
  ['moby-dick', { ...sizes(12, 64, 16), 'training.microBatchSize': 2 }, 60],
  ['moby-dick', { ...sizes(6, 384, 256), 'training.microBatchSize': 8 }, 4],
  ['moby-dick', { 'optimizer.kind': 'muon', 'training.microBatchesPerStep': 3 }, 10],
];

function checkPlan() {
  for (const [name, keys, steps] of values.small ? cases.slice(0, 2) : cases) {
    const config = path.join(root, `configs/${name}.yaml`);
    if (name.startsWith('nanogpt') && !existsSync(path.join(root, 'corpus'))) continue; // its text is not in the clone
    const { time, steps: allSteps } = result('plan', config, ...setOf(keys));
    const { msPerStep } = result('bench', config, '--steps', String(steps), ...setOf(keys));
    const measured = result('plan', config, '--measure', '20s', ...setOf(keys));
    const [low, high] = [time.low.stepsMs / allSteps, time.high.stepsMs / allSteps];
    const ratio = measured.msPerStep / msPerStep;
    const isIn = low <= msPerStep && msPerStep <= high;
    const isNear = ratio > 0.75 && ratio < 1.25;
    const range = `${low.toFixed(2)} to ${high.toFixed(2)} ms at a peak of ${time.matmulGflops.toFixed(0)} GFLOP/s`;
    print(
      `${isIn && isNear ? 'ok ' : 'NOT'} ${name} ${JSON.stringify(keys)}: ${msPerStep.toFixed(2)} ms a step; ` +
        `expected ${range}; --measure 20s: ${measured.msPerStep.toFixed(2)} ms`,
    );
    if (!values.small && (!isIn || !isNear)) process.exitCode = 1;
  }
}

function checkSweep() {
  const file = path.join(scratch, 'sizes.yaml');
  const config = path.join(root, 'configs/moby-dick.yaml');
  const fixed = { 'training.steps': values.small ? 30 : 250, 'evaluation.everySteps': 100, 'samples.everySteps': 125 };
  const grid = { 'model.layers': [1, 2, 4] };
  writeFileSync(file, JSON.stringify({ config, set: fixed, grid, seeds: values.small ? 1 : 3 }));
  const output = path.join(scratch, `sweep-${Math.random().toString(36).slice(2)}`);
  const { expectedMs } = result('sweep', file, '--output', output, '--dry-run');
  const beganMs = performance.now();
  clm('sweep', file, '--output', output, '--quiet');
  const took = performance.now() - beganMs;
  const ratio = took / expectedMs;
  const isNear = ratio > 0.7 && ratio < 1.3;
  print(
    `${isNear ? 'ok ' : 'NOT'} sweep of 9 runs: ${(took / 1000).toFixed(1)} s; expected ` +
      `${(expectedMs / 1000).toFixed(1)} s (${ratio.toFixed(2)} times)`,
  );
  if (!values.small && !isNear) process.exitCode = 1;
}

for (let round = 0; round < Number(values.rounds); round++) {
  if (values.only !== 'sweep') checkPlan();
  if (values.only !== 'plan') checkSweep();
}
