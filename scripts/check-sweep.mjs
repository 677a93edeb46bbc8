// npm run check:sweep -- [STEPS]: a sweep of three learning rates and three seeds of the small shipped model (default:
// 200 steps, about ten seconds a run) is killed twice at random moments, ends, equals the nine runs made singly to the
// last bit, and `clm compare` names the best rate with its spread.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const root = path.resolve(import.meta.dirname, '..');
const program = path.join(root, 'dist/cli/main.js');
const steps = Number(process.argv[2] ?? 200);
const config = path.join(root, 'configs/moby-dick.yaml');
const rates = [1e-3, 2e-3, 4e-3];
const seeds = [1, 2, 3];
const fixed = { 'training.steps': steps, 'evaluation.everySteps': null, 'samples.everySteps': null, 'checkpoints.everySteps': 50, 'corpus.validation.tail': 0.02 };
const print = (text) => process.stdout.write(`${text}\n`);
const scratch = mkdtempSync(path.join(os.tmpdir(), 'clm-check-sweep-'));
const output = path.join(scratch, 'sweep');

function clm(args) {
  const { status, stdout } = spawnSync(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8', maxBuffer: 1e8 });
  if (status !== 0) throw new Error(`clm ${args.join(' ')}: exit code ${status}`);
  return stdout;
}

const facts = (run) =>
  readFileSync(path.join(run, 'metrics.jsonl'), 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line))
    .filter(({ kind }) => kind === 'step' || kind === 'evaluation')
    .map(({ kind, step, loss, gradientNorm }) => JSON.stringify({ kind, step, loss, gradientNorm }));

try {
  writeFileSync(path.join(scratch, 'sweep.yaml'), JSON.stringify({ config, set: fixed, grid: { 'optimizer.learningRate': rates }, seeds }));
  const sweep = ['sweep', path.join(scratch, 'sweep.yaml'), '--output', output];
  const beganMs = performance.now();
  for (let kill = 1; kill <= 2; kill++) {
    const child = spawn(process.execPath, [program, ...sweep, '--jobs', String(kill)], { stdio: ['ignore', 'ignore', 'inherit'] });
    const ended = new Promise((resolve) => child.once('close', resolve));
    const afterMs = 8000 + Math.random() * 30 * steps;
    await Promise.race([ended, sleep(afterMs)]);
    if (child.exitCode !== null) throw new Error('the sweep ended before it was killed: give more steps');
    child.kill('SIGKILL');
    await ended;
    print(`killed after ${(afterMs / 1000).toFixed(1)} s with --jobs ${kill}`);
  }
  clm([...sweep, '--jobs', '2']);
  print(`the sweep ended, ${((performance.now() - beganMs) / 1000).toFixed(0)} s in all`);
  for (const rate of rates) {
    for (const seed of seeds) {
      const run = path.join(scratch, `single-${rate}-${seed}`);
      const set = Object.entries({ ...fixed, 'optimizer.learningRate': rate, seed }).flatMap(([key, value]) => ['--set', `${key}=${JSON.stringify(value)}`]);
      clm(['train', config, '--run', run, '--quiet', ...set]);
      const [swept, single] = [facts(path.join(output, `learningRate-${rate}_seed-${seed}`)), facts(run)];
      if (single.length < steps) throw new Error(`only ${single.length} records in ${run}`);
      const differs = single.findIndex((fact, i) => fact !== swept[i]);
      if (differs !== -1 || swept.length !== single.length) throw new Error(`rate ${rate}, seed ${seed} differs: ${swept[differs]} instead of ${single[differs]}`);
    }
  }
  print(`all nine runs equal those made singly, every loss and gradient norm of ${steps} steps`);
  print(clm(['compare', output]));
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
