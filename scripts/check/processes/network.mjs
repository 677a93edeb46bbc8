/**
 * Trains in two network namespaces that a shaped link of 1 Gbit/s joins, and slows, stalls and takes down the link.
 *
 *   npm run check -- network [--watchdog 8]
 *
 * A link that is slow or stalls for a while must not matter, one that is down must end both processes, and another
 * secret must be refused. It also reads from the kernel's list of sockets on which addresses the processes listen.
 * Linux only, as root and with iproute2 and util-linux; else it is skipped.
 *
 * Time: 3 minutes
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { program } from '../../lib/clm.mjs';

const { values } = parseArgs({ options: { watchdog: { type: 'string', default: '8' } } });
const watchdogSeconds = Number(values.watchdog);
const names = ['clm-check-a', 'clm-check-b'];
const addresses = ['10.213.77.1', '10.213.77.2'];
const scratch = mkdtempSync(path.join(os.tmpdir(), 'clm-network-'));

/** @param {string[]} args */
const ip = (...args) => execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
/** Shapes what the second machine sends. @param {string} rate */
const shape = (rate) => {
  const qdisc = `qdisc replace dev clm0 root handle 1: tbf rate ${rate} burst 256kb latency 50ms`.split(' ');
  execFileSync('ip', ['netns', 'exec', names[1] ?? '', 'tc', ...qdisc], { stdio: 'pipe' });
};

function removeLink() {
  for (const name of names) {
    try {
      ip('netns', 'delete', name);
    } catch {
      // it is not there
    }
  }
}

function makeLink() {
  removeLink();
  for (const name of names) ip('netns', 'add', name);
  ip('link', 'add', 'clm0', 'netns', names[0] ?? '', 'type', 'veth', 'peer', 'name', 'clm0', 'netns', names[1] ?? '');
  for (const [i, name] of names.entries()) {
    ip('-n', name, 'address', 'add', `${addresses[i]}/24`, 'dev', 'clm0');
    for (const device of ['clm0', 'lo']) ip('-n', name, 'link', 'set', device, 'up');
    const gigabit = 'qdisc add dev clm0 root handle 1: tbf rate 1gbit burst 256kb latency 50ms'.split(' ');
    execFileSync('ip', ['netns', 'exec', name, 'tc', ...gigabit]);
  }
}

try {
  makeLink();
} catch (error) {
  console.log(
    `skipped: network namespaces cannot be made here (${/** @type {Error} */ (error).message.split('\n')[0]})`,
  );
  process.exit(0);
}

writeFileSync(path.join(scratch, 'text.txt'), 'It was the best of times, it was the worst of times. '.repeat(60));
writeFileSync(path.join(scratch, 'secret'), 'a secret of both machines\n');
writeFileSync(path.join(scratch, 'other'), 'not the secret of the others\n');
const config = path.join(scratch, 'tiny.yaml');
writeFileSync(
  config,
  `corpus: { sources: [{ path: text.txt }] }
model: { layers: 2, heads: 2, width: 64, contextLength: 16 }
training: { microBatchSize: 2, microBatchesPerStep: 2, branches: 1, steps: 300 }
evaluation: { everySteps: 100 }
samples: { everySteps: null }
checkpoints: { everySteps: 50 }
schedule: { warmupSteps: 5 }
`,
);

/** @typedef {{ code: number | null, stderr: string, endedMs: number }} End */

/**
 * @param {number} rank @param {string} run @param {string[]} extra @param {string} [secret]
 * @returns {{ end: Promise<End> }}
 */
function start(rank, run, extra, secret = 'secret') {
  const place = ['--rank', `${rank}`, '--processes', '2', '--rendezvous', `${addresses[0]}:29400`];
  const open = ['--open-network', '--secret-file', path.join(scratch, secret), '--watchdog', values.watchdog];
  const train = [program, 'train', config, '--run', run, '--resume', ...place, ...open, ...extra];
  // With process ids of its own, as on another machine: else rank 0 would end a process that it no longer hears of.
  const machine = ['netns', 'exec', names[rank] ?? '', 'unshare', '--pid', '--fork', '--mount-proc', '--kill-child'];
  const child = spawn('ip', [...machine, process.execPath, ...train], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (chunk) => (stderr += chunk));
  const end = new Promise((resolve) =>
    child.on('close', (code) => resolve({ code, stderr, endedMs: performance.now() })),
  );
  return { end };
}

/** @param {string} run */
const stepsOf = (run) => {
  const log = path.join(run, 'metrics.jsonl');
  return existsSync(log) ? (readFileSync(log, 'utf8').match(/"kind":"step"/g)?.length ?? 0) : 0;
};

/** @param {string} run @param {number} step */
async function reached(run, step) {
  for (let tries = 0; stepsOf(run) < step; tries++) {
    if (tries > 1200) throw new Error(`step ${step} was not reached; kept in ${scratch}`);
    await sleep(100);
  }
}

/** @param {boolean} isRight @param {string} what @param {unknown} [detail] */
function check(isRight, what, detail) {
  if (!isRight) throw new Error(`${what}: ${JSON.stringify(detail)}; kept in ${scratch}`);
  console.log(`ok: ${what}`);
}

/** Local addresses that a namespace listens on, as the kernel lists them. @param {string} name */
const listening = (name) =>
  execFileSync('ip', ['netns', 'exec', name, 'cat', '/proc/net/tcp', '/proc/net/tcp6'], { encoding: 'utf8' })
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === '0A')
    .map((fields) => /** @type {string} */ (fields[1]).split(':')[0]);

/** @param {string} address of IPv4, as the kernel's lists have it @returns {string} */
const hexadecimal = (address) =>
  address
    .split('.')
    .reverse()
    .map((part) => Number(part).toString(16).padStart(2, '0').toUpperCase())
    .join('');

try {
  const alone = path.join(scratch, 'alone');
  execFileSync(process.execPath, [program, 'train', config, '--run', alone, '--quiet'], { stdio: 'ignore' });
  const weights = (/** @type {string} */ run) =>
    readFileSync(path.join(run, 'checkpoints/step-00000300/model.safetensors')).toString('base64');

  const slow = path.join(scratch, 'slow');
  const both = [start(0, slow, []), start(1, slow, [])];
  await reached(slow, 20);
  for (const [i, name] of names.entries()) {
    const own = hexadecimal(addresses[i] ?? '');
    const found = listening(name);
    const isOwn = found.length > 0 && found.every((each) => each === own || each === `0000000000000000FFFF0000${own}`);
    check(isOwn, `the servers of ${name} listen on the address of the link alone`, found);
  }
  shape('3mbit');
  await sleep(3000);
  shape('8kbit'); // as good as nothing gets through
  await sleep((watchdogSeconds * 1000) / 4);
  shape('1gbit');
  const ends = await Promise.all(both.map(({ end }) => end));
  check(
    ends.every(({ code }) => code === 0),
    'a slow link, and a stall shorter than the watchdog, do not matter',
    ends,
  );
  check(weights(slow) === weights(alone), 'its weights equal those of one process to the bit');

  const down = path.join(scratch, 'down');
  const lost = [start(0, down, []), start(1, down, [])];
  await reached(down, 60);
  const downMs = performance.now();
  ip('-n', names[1] ?? '', 'link', 'set', 'clm0', 'down');
  const lostEnds = await Promise.all(lost.map(({ end }) => end));
  const tookMs = Math.max(...lostEnds.map(({ endedMs }) => endedMs)) - downMs;
  check(
    lostEnds.every(({ code }) => code === 3) && tookMs < 1000 * watchdogSeconds + 1500,
    `a link that is down ends both with exit code 3 within the watchdog (${(tookMs / 1000).toFixed(1)} s)`,
    { tookMs, lostEnds },
  );
  check(/rank 1 .*step \d+.*network/.test(lostEnds[0]?.stderr ?? ''), 'rank 0 names rank 1 and the step', lostEnds[0]);
  check(/rank 0 .*network/.test(lostEnds[1]?.stderr ?? ''), 'rank 1 names rank 0', lostEnds[1]);
  ip('-n', names[1] ?? '', 'link', 'set', 'clm0', 'up');
  const again = await Promise.all([start(0, down, []), start(1, down, [])].map(({ end }) => end));
  const isSame = again.every(({ code }) => code === 0) && weights(down) === weights(alone);
  check(isSame, 'started again, the run ends with the weights of one process', again);

  const refused = await Promise.all(
    [start(0, path.join(scratch, 'refused'), []), start(1, path.join(scratch, 'refused'), [], 'other')].map(
      ({ end }) => end,
    ),
  );
  check(refused[1]?.code === 2 && /secret/.test(refused[1].stderr), 'another secret is refused', refused);
  check(
    refused[0]?.code === 3 && /rank 1 .*another secret/.test(refused[0].stderr),
    'rank 0 says who is missing',
    refused,
  );
  rmSync(scratch, { recursive: true });
} finally {
  removeLink();
}
