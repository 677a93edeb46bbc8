/**
 * Trains a run with two processes that torchrun and mpirun start: equal to the bit to that of one process.
 *
 *   npm run check -- launchers [--torchrun torchrun] [--mpirun mpirun]
 *
 * Each launcher starts a run that pauses in the middle, and continues it; in another run one of its processes is
 * killed, and all must end. torchrun is in the wheel of PyTorch, mpirun in Debian's openmpi-bin; the one that is not
 * there is skipped, and it is an error if neither is. Linux only.
 *
 * Time: 1 minute
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { print, program, run, scratchFolder } from '../../lib/clm.mjs';
import { runOutcomeAndStatus } from '../../lib/runOutcome.mjs';
import { writeTinyRun } from '../../lib/tinyRun.mjs';

const { values: options } = parseArgs({
  options: { torchrun: { type: 'string', default: 'torchrun' }, mpirun: { type: 'string', default: 'mpirun' } },
});
const scratch = scratchFolder('launchers');
const config = writeTinyRun(scratch, { steps: 40, evaluateEverySteps: 10, saveEverySteps: 10 });
const port = 20_000 + Math.floor(Math.random() * 10_000);
const isRoot = process.getuid?.() === 0;

/** What comes before `clm`. @type {Record<string, { command: string, args: string[], own: string[] }>} */
const launchers = {
  torchrun: {
    command: options.torchrun,
    args: ['--no-python', '--nproc-per-node', '2', '--master-port', String(port), '--'],
    own: [],
  },
  mpirun: {
    command: options.mpirun,
    args: [...(isRoot ? ['--allow-run-as-root'] : []), '--oversubscribe', '-n', '2'],
    own: ['--rendezvous', `127.0.0.1:${port + 5}`],
  },
};

/** @param {boolean} isRight @param {string} what @param {unknown} [detail] */
function check(isRight, what, detail) {
  if (!isRight) throw new Error(`${what}: ${typeof detail === 'string' ? detail : JSON.stringify(detail)}`);
  print(`ok: ${what}`);
}

const alone = path.join(scratch, 'alone');
run(process.execPath, [program, 'train', config, '--run', alone, '--quiet']);
const expected = runOutcomeAndStatus(alone);

/** Starts a launcher; `end` gives its exit code and what was written. @param {string} name @param {string[]} train */
function launch(name, train) {
  const { command, args, own } = /** @type {typeof launchers[string]} */ (launchers[name]);
  const child = spawn(command, [...args, process.execPath, program, 'train', ...train, ...own, '--watchdog', '20'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += chunk));
  /** @type {Promise<{ code: number | null, text: string }>} */
  const end = new Promise((resolve) => child.on('close', (code) => resolve({ code, text })));
  return { end };
}

/** Process ids of the ranks that train into a folder. @param {string} folder */
const ranksOf = (folder) =>
  spawnSync('ps', ['-eo', 'pid=,args='], { encoding: 'utf8' })
    .stdout.split('\n')
    .filter((line) => /^\s*\d+ \S*node \S*main\.js train /.test(line) && line.includes(folder))
    .map((line) => Number.parseInt(line, 10));

/** @param {string} folder @param {number} step */
async function reached(folder, step) {
  const log = path.join(folder, 'metrics.jsonl');
  for (let tries = 0; tries < 1200; tries++) {
    const made = existsSync(log) ? (readFileSync(log, 'utf8').match(/"kind":"step"/g)?.length ?? 0) : 0;
    if (made >= step) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`step ${step} was not reached in ${folder}`);
}

let tried = 0;
for (const [name, { command }] of Object.entries(launchers)) {
  if (spawnSync(command, ['--version'], { stdio: 'ignore' }).error !== undefined) {
    print(`skipped: ${command} is not there`);
    continue;
  }
  tried++;
  const folder = path.join(scratch, name);
  const first = await launch(name, [config, '--run', folder, '--quiet', '--until', '20']).end;
  check(first.code === 0, `${name} starts two processes, which pause after 20 steps`, first);
  const { processes } = JSON.parse(readFileSync(path.join(folder, 'environment.json'), 'utf8'));
  check(processes === 2, `${name}: the run knows that they are two`, processes);
  const second = await launch(name, [config, '--run', folder, '--quiet', '--resume']).end;
  check(second.code === 0, `${name} continues the run`, second);
  check(runOutcomeAndStatus(folder) === expected, `${name}: log and checkpoints equal those of one process to the bit`);

  const killed = path.join(scratch, `${name}-killed`);
  const disturbed = launch(name, [config, '--run', killed, '--quiet', '--set', 'training.steps=1000000']);
  await reached(killed, 15);
  const ranks = ranksOf(killed);
  check(ranks.length === 2, `${name}: two processes train`, ranks);
  process.kill(/** @type {number} */ (ranks[1]), 'SIGKILL');
  const { code, text } = await disturbed.end;
  check(code !== 0 && /rank [01] \(process \d+ on .*\) has ended/.test(text), `${name} ends if one is killed`, text);
  check(ranksOf(killed).length === 0, `${name}: nothing is left`, ranksOf(killed));
}
if (tried === 0) throw new Error('neither torchrun nor mpirun is there: see --torchrun and --mpirun');
