/**
 * Trains over a relay that delays everything, and holds back or cuts single connections of two processes.
 *
 *   npm run check -- connections [--watchdog 8]
 *
 * The relay (connections/relay.mjs) is in a network namespace between those of the two processes. It tells the
 * connection of the meeting and the heartbeats from those over which TensorFlow exchanges gradients. Delays, and a
 * stall of either kind that is shorter than the watchdog, must not matter. Where one stalls for good or is cut, both
 * processes must end in time and say why, and what is started again must end with the weights of one process.
 * Linux only, as root and with iproute2 and util-linux; else it is skipped.
 *
 * Time: 3 minutes
 */
import { spawn } from 'node:child_process';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { awakeMs } from '../../lib/awakeTime.mjs';
import { addresses, inNamespace, ip, makeNamespaces, meetingPort, names, writeRun } from './network/machines.mjs';

/** @typedef {import('./connections/relay.mjs').Kind} Kind */
/** @typedef {import('./connections/relay.mjs').Order} Order */
/** @typedef {import('./network/machines.mjs').End} End */
/** @typedef {Record<Kind, import('./connections/relay.mjs').Count>} Counts */

const { values } = parseArgs({ options: { watchdog: { type: 'string', default: '8' } } });
const watchdogMs = 1000 * Number(values.watchdog);
const middle = 'clm-check-m';
/** Those from which the machines take ports, so that the relay can listen on all of them beforehand. */
const ports = [50_000, 50_063];

/** @param {string} name @param {string} file @param {string} value */
const write = (name, file, value) => inNamespace(name, 'sh', '-c', `echo ${value} > /proc/sys/net/ipv4/${file}`);

makeNamespaces([...names, middle], () => {
  write(middle, 'conf/all/accept_local', '1');
  for (const [i, name] of names.entries()) {
    const [own = '', other = '', near] = [addresses[i], addresses[1 - i], `near${i}`];
    write(name, 'ip_local_port_range', ports.join(' '));
    ip('link', 'add', 'clm0', 'netns', name, 'type', 'veth', 'peer', 'name', near, 'netns', middle);
    ip('-n', name, 'address', 'add', `${own}/24`, 'dev', 'clm0');
    for (const device of ['clm0', 'lo']) ip('-n', name, 'link', 'set', device, 'up');
    ip('-n', middle, 'address', 'add', `${other}/32`, 'dev', near);
    ip('-n', middle, 'link', 'set', near, 'up');
    ip('-n', middle, 'route', 'add', own, 'dev', near, 'src', other, 'table', '100');
  }
  // The middle has both addresses itself; yet what it sends to them goes out, by a rule before that of own addresses.
  ip('-n', middle, 'rule', 'add', 'pref', '10', 'iif', 'lo', 'lookup', '100');
  ip('-n', middle, 'rule', 'add', 'pref', '20', 'lookup', 'local');
  ip('-n', middle, 'rule', 'delete', 'pref', '0');
});

/** @param {number} delayMs @param {number} jitterMs */
async function openRelay(delayMs, jitterMs) {
  const file = path.join(import.meta.dirname, 'connections/relay.mjs');
  const args = [file, ...[delayMs, jitterMs, meetingPort, ...ports].map(String)];
  const child = spawn('ip', ['netns', 'exec', middle, process.execPath, ...args], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  /** @returns {Promise<Counts>} */
  const answer = () =>
    new Promise((resolve, reject) => {
      child.once('message', (message) => resolve(/** @type {Counts} */ (message)));
      child.once('exit', () => reject(new Error('the relay has ended')));
    });
  await answer();
  return {
    /** @param {Order} order */
    tell: (order) => {
      const counts = answer();
      child.send(order);
      return counts;
    },
    close: () => child.kill(),
  };
}

const { check, reached, removeFiles, startBoth, stepsOf, trainAlone, weights } = writeRun('connections', {
  ...values,
  steps: 120,
});
/** @typedef {Awaited<ReturnType<typeof openRelay>>} Relay */

/**
 * Trains over a relay and, from step 20 on, disturbs its connections.
 * @template Result @param {string} run @param {{ delayMs: number, jitterMs: number }} lateness
 * @param {(relay: Relay) => Promise<Result>} disturb @returns how both ended, and what `disturb` returned
 */
async function train(run, { delayMs, jitterMs }, disturb) {
  const relay = await openRelay(delayMs, jitterMs);
  const both = startBoth(run);
  await reached(run, 20);
  const result = await disturb(relay);
  const ends = await both;
  const counts = await relay.tell({ count: true });
  relay.close();
  return { ends, result, counts };
}

/** As between two towns: so a step takes long enough to be met by what is done to the connections. */
const near = { delayMs: 20, jitterMs: 5 };
const kinds = /** @type {const} */ (['gradients', 'meeting']);
/** @param {number} ms */
const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
/** @param {Kind} kind @param {Counts} before @param {Counts} after */
const passed = (kind, before, after) => after[kind].passedBytes - before[kind].passedBytes;

/** @param {string} run @param {End[]} ends @param {string} what */
function checkEqual(run, ends, what) {
  const isEqual = ends.every(({ code }) => code === 0) && weights(run) === weights('alone');
  check(isEqual, `${what}: the run ends with the weights of one process`, ends);
}

async function delays() {
  const { ends, result: stepMs } = await train('delays', { delayMs: 100, jitterMs: 50 }, async () => {
    const [atMs, step] = [awakeMs(), stepsOf('delays')];
    await reached('delays', step + 10);
    return (awakeMs() - atMs) / (stepsOf('delays') - step);
  });
  check(stepMs > 200, `a step, in which the processes ask and answer, takes ${seconds(stepMs)}`, stepMs);
  checkEqual('delays', ends, 'all is late by 100 to 150 ms');
}

/** Not three quarters: then the watchdog acts, to have ended all in the whole. */
async function shortStalls() {
  const stallMs = 0.6 * watchdogMs;
  const { ends } = await train('short', near, async (relay) => {
    for (const kind of kinds) {
      const before = await relay.tell({ hold: kind });
      await sleep(500); // a step whose sums had arrived is over
      const step = stepsOf('short');
      await sleep(stallMs - 500);
      const [after, goesOn] = [await relay.tell({ release: true }), stepsOf('short') > step];
      const other = kind === 'gradients' ? 'meeting' : 'gradients';
      const isReal = passed(kind, before, after) > 0 && passed(other, before, after) > 0;
      check(isReal && goesOn === (kind === 'meeting'), `${kind} alone stall for ${seconds(stallMs)}`, {
        before,
        after,
      });
    }
  });
  checkEqual('short', ends, 'stalls shorter than the watchdog');
}

/**
 * @param {string} run @param {{ hold: Kind } | { cut: Kind }} order
 * @param {{ kind: Kind, goesOn: boolean, says: (rank: number) => RegExp }} expected what is disturbed, whether steps
 *   are made nevertheless, and what each rank says
 */
async function mustEnd(run, order, { kind, goesOn, says }) {
  const { ends, result, counts } = await train(run, near, async (relay) => {
    const atMs = awakeMs();
    return { atMs, before: await relay.tell(order), step: stepsOf(run) };
  });
  const tookMs = Math.max(...ends.map(({ endedMs }) => endedMs)) - result.atMs;
  const made = stepsOf(run) - result.step;
  const facts = { tookMs, made, result, counts, ends };
  const isStall = 'hold' in order;
  const other = kind === 'gradients' ? 'meeting' : 'gradients';
  const isReal = !isStall || (counts[kind].heldBytes > 0 && passed(kind, result.before, counts) === 0);
  check(isReal && result.before[kind].connections > 0, `${run}: after step ${result.step}`, facts);
  check(goesOn ? made > 10 : made <= 1, `${made} steps were made since`, facts);
  if (isStall) check(passed(other, result.before, counts) > 0, `while of ${other} all got through`, facts);
  const areEnded = ends.every(({ code }) => code === 3) && tookMs < watchdogMs + 1500;
  check(areEnded, `both end with exit code 3 within the watchdog (${seconds(tookMs)})`, facts);
  check(
    ends.every(({ stderr }, rank) => says(rank).test(stderr)),
    'each names the other, its host and the step',
    facts,
  );
  const again = await train(run, near, async () => {});
  checkEqual(run, again.ends, 'started again');
}

trainAlone('alone');
await delays();
await shortStalls();
/** @param {number} rank */
const nameOf = (rank) => `rank ${rank} \\(process \\d+ on ${os.hostname()}\\)`;
/** @param {number} rank who says it @param {string} what */
const ofOther = (rank, what) => new RegExp(`${nameOf(1 - rank)} ${what}`);
await mustEnd(
  'gradients stall for good',
  { hold: 'gradients' },
  {
    ...{ kind: 'gradients', goesOn: false },
    says: () => new RegExp(`wait for each other in step \\d+, .*servers of ${nameOf(0)}, ${nameOf(1)} has been lost`),
  },
);
await mustEnd(
  'heartbeats stall for good',
  { hold: 'meeting' },
  {
    ...{ kind: 'meeting', goesOn: true },
    says: (rank) => ofOther(rank, 'has not been heard of for \\d+ s, in step \\d+'),
  },
);
await mustEnd(
  'gradients are cut',
  { cut: 'gradients' },
  {
    ...{ kind: 'gradients', goesOn: false },
    says: (rank) => ofOther(rank, 'was cut, in step \\d+'),
  },
);
await mustEnd(
  'heartbeats are cut',
  { cut: 'meeting' },
  {
    ...{ kind: 'meeting', goesOn: false },
    says: (rank) => ofOther(rank, 'has ended unexpectedly, or the connection to it was cut, in step \\d+'),
  },
);
removeFiles();
