/**
 * Kills a sweep twice at random moments: it must end with the same runs as if each had been made alone.
 *
 *   npm run check -- sweep [STEPS=200] [--set KEY=VALUE …]
 *
 * Three learning rates times three seeds of the small shipped model; the second kill takes the runs with it. The sweep
 * must repeat no finished run, equal the nine runs made alone to the last bit, and clm compare must name the best rate
 * with its spread. 2000 steps are the model as shipped.
 *
 * Time: 3 minutes; with 2000 steps a minute or two for each of 18 runs
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { clm, print, program, root, scratchFolder } from '../../lib/clm.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { set: { type: 'string', multiple: true, default: [] } },
});
const steps = Number(positionals[0] ?? 200);
const config = path.join(root, 'configs/moby-dick.yaml');
const rates = [1e-3, 2e-3, 4e-3];
const seeds = [1, 2, 3];
const names = rates.flatMap((rate) => seeds.map((seed) => ({ rate, seed, name: `learningRate-${rate}_seed-${seed}` })));
const fixed = {
  ...{
    'training.steps': steps,
    'evaluation.everySteps': null,
    'samples.everySteps': null,
    'corpus.validation.tail': 0.02,
  },
  'checkpoints.everySteps': Math.max(10, Math.round(steps / 10)),
  ...Object.fromEntries(
    values.set.map((assignment) => assignment.split(/=(.*)/s, 2)).map(([key, value]) => [key, JSON.parse(value)]),
  ),
};
const scratch = scratchFolder('sweep');
const output = path.join(scratch, 'sweep');

/** Records of a file that may be being written. @param {string} file @returns {any[]} */
const records = (file) =>
  existsSync(file)
    ? readFileSync(file, 'utf8')
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line))
    : [];
const metricsOf = (/** @type {string} */ run) => records(path.join(run, 'metrics.jsonl'));
const notes = () => records(path.join(output, 'sweep.jsonl'));
const facts = (/** @type {string} */ run) =>
  metricsOf(run)
    .filter(({ kind }) => kind === 'step' || kind === 'evaluation')
    .map(({ kind, step, loss, gradientNorm }) => JSON.stringify({ kind, step, loss, gradientNorm }));

/** Updates on record of each run of the sweep. */
const progress = () =>
  names.map(({ name }) => metricsOf(path.join(output, name)).findLast(({ kind }) => kind === 'step')?.step ?? 0);

/**
 * Lets the sweep go on until so many updates are made in all, and kills it.
 * @param {string[]} sweep the command
 * @param {{ updates: number, jobs: number, withRuns: boolean }} when
 * @returns the names of the runs that were done
 */
async function killedAt(sweep, { updates, jobs, withRuns }) {
  const child = spawn(process.execPath, [program, ...sweep, '--jobs', String(jobs)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  const isUnderWay = () => {
    const made = progress();
    return made.reduce((sum, each) => sum + each, 0) >= updates && made.some((each) => each > 0 && each < steps);
  };
  while (!isUnderWay() && child.exitCode === null) await sleep(20);
  if (child.exitCode !== null) throw new Error('the sweep ended before it was killed: give more steps');
  child.kill('SIGKILL');
  const last = new Map(notes().map((note) => [note.run, note]));
  if (withRuns) for (const { kind, pid } of last.values()) if (kind === 'started') process.kill(pid, 'SIGKILL');
  await ended;
  const done = [...last.values()].filter(({ kind }) => kind === 'done').map(({ run }) => run);
  const underWay = progress().filter((each) => each > 0 && each < steps);
  print(
    `killed ${withRuns ? 'with its runs ' : ''}at ${updates} of ${9 * steps} updates, --jobs ${jobs}: ` +
      `${done.length} runs done, ${underWay.length} under way (at step ${underWay.join(' and ')})`,
  );
  if (underWay.length === 0) throw new Error('no run was under way');
  return done;
}

/** @param {number} low @param {number} high */
const between = (low, high) => Math.round(9 * steps * (low + (high - low) * Math.random()));

writeFileSync(
  path.join(scratch, 'sweep.yaml'),
  JSON.stringify({ config, set: fixed, grid: { 'optimizer.learningRate': rates }, seeds }),
);
const sweep = ['sweep', path.join(scratch, 'sweep.yaml'), '--output', output];
const beganMs = performance.now();
const done = [
  ...(await killedAt(sweep, { updates: between(0.05, 0.45), jobs: 1, withRuns: false })),
  ...(await killedAt(sweep, { updates: between(0.5, 0.9), jobs: 2, withRuns: true })),
];
clm(...sweep, '--jobs', '2');
print(`the sweep ended, ${((performance.now() - beganMs) / 1000).toFixed(0)} s in all`);
for (const run of done) {
  const begun = notes().filter((note) => note.run === run);
  if (begun.findIndex(({ kind }) => kind === 'done') !== begun.length - 1)
    throw new Error(`${run} was done and made again`);
}
for (const { rate, seed, name } of names) {
  const run = path.join(scratch, `single-${rate}-${seed}`);
  const set = Object.entries({ ...fixed, 'optimizer.learningRate': rate, seed }).flatMap(([key, value]) => [
    '--set',
    `${key}=${JSON.stringify(value)}`,
  ]);
  clm('train', config, '--run', run, '--quiet', ...set);
  const [swept, single] = [facts(path.join(output, name)), facts(run)];
  if (single.length < steps) throw new Error(`only ${single.length} records in ${run}`);
  const differs = single.findIndex((fact, i) => fact !== swept[i]);
  if (differs !== -1 || swept.length !== single.length)
    throw new Error(`rate ${rate}, seed ${seed} differs: ${swept[differs]} instead of ${single[differs]}`);
}
print(`all nine runs equal those made singly, every loss and gradient norm of ${steps} steps`);

const final = (/** @type {string} */ run) => metricsOf(run).findLast(({ kind }) => kind === 'evaluation').loss;
const means = rates.map((rate) => ({
  rate,
  mean: seeds.reduce((sum, seed) => sum + final(path.join(scratch, `single-${rate}-${seed}`)), 0) / seeds.length,
}));
const best = means.reduce((lowest, each) => (each.mean < lowest.mean ? each : lowest));
const [first] = JSON.parse(clm('compare', output, '--json')).groups;
const named = first.values['optimizer.learningRate'];
if (
  named !== best.rate ||
  Math.abs(first.validationLoss.mean - best.mean) > 1e-9 ||
  !(first.validationLoss.deviation > 0)
)
  throw new Error(`compare names ${named}, the single runs ${best.rate}`);
print(clm('compare', output));
