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
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { awakeMs } from '../../lib/awakeTime.mjs';
import { addresses, inNamespace, ip, makeNamespaces, names, writeRun } from './network/machines.mjs';

const { values } = parseArgs({ options: { watchdog: { type: 'string', default: '8' } } });
const watchdogSeconds = Number(values.watchdog);

/** Shapes what a machine sends. @param {string} name @param {string} rate */
const shape = (name, rate) =>
  inNamespace(name, ...`tc qdisc replace dev clm0 root handle 1: tbf rate ${rate} burst 256kb latency 50ms`.split(' '));

makeNamespaces(names, () => {
  ip('link', 'add', 'clm0', 'netns', names[0], 'type', 'veth', 'peer', 'name', 'clm0', 'netns', names[1]);
  for (const [i, name] of names.entries()) {
    ip('-n', name, 'address', 'add', `${addresses[i]}/24`, 'dev', 'clm0');
    for (const device of ['clm0', 'lo']) ip('-n', name, 'link', 'set', device, 'up');
    shape(name, '1gbit');
  }
});

/** Local addresses that a namespace listens on, as the kernel lists them. @param {string} name */
const listening = (name) =>
  inNamespace(name, 'cat', '/proc/net/tcp', '/proc/net/tcp6')
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

const { check, reached, removeFiles, start, startBoth, trainAlone, weights } = writeRun('network', {
  ...values,
  steps: 300,
});
trainAlone('alone');

const slow = startBoth('slow');
await reached('slow', 20);
for (const [i, name] of names.entries()) {
  const own = hexadecimal(addresses[i] ?? '');
  const found = listening(name);
  const isOwn = found.length > 0 && found.every((each) => each === own || each === `0000000000000000FFFF0000${own}`);
  check(isOwn, `the servers of ${name} listen on the address of the link alone`, found);
}
shape(names[1], '3mbit');
await sleep(3000);
shape(names[1], '8kbit'); // as good as nothing gets through
await sleep((watchdogSeconds * 1000) / 4);
shape(names[1], '1gbit');
const ends = await slow;
check(
  ends.every(({ code }) => code === 0),
  'a slow link, and a stall shorter than the watchdog, do not matter',
  ends,
);
check(weights('slow') === weights('alone'), 'its weights equal those of one process to the bit');

const lost = startBoth('down');
await reached('down', 60);
const downMs = awakeMs();
ip('-n', names[1], 'link', 'set', 'clm0', 'down');
const lostEnds = await lost;
const tookMs = Math.max(...lostEnds.map(({ endedMs }) => endedMs)) - downMs;
check(
  lostEnds.every(({ code }) => code === 3) && tookMs < 1000 * watchdogSeconds + 1500,
  `a link that is down ends both with exit code 3 within the watchdog (${(tookMs / 1000).toFixed(1)} s)`,
  { tookMs, lostEnds },
);
check(/rank 1 .*step \d+.*network/.test(lostEnds[0].stderr), 'rank 0 names rank 1 and the step', lostEnds[0]);
check(/rank 0 .*network/.test(lostEnds[1].stderr), 'rank 1 names rank 0', lostEnds[1]);
ip('-n', names[1], 'link', 'set', 'clm0', 'up');
const again = await startBoth('down');
const isSame = again.every(({ code }) => code === 0) && weights('down') === weights('alone');
check(isSame, 'started again, the run ends with the weights of one process', again);

const refused = await Promise.all([start(0, 'refused'), start(1, 'refused', 'other')]);
check(refused[1].code === 2 && /secret/.test(refused[1].stderr), 'another secret is refused', refused);
check(
  refused[0].code === 3 && /rank 1 .*another secret/.test(refused[0].stderr),
  'rank 0 says who is missing',
  refused,
);
removeFiles();
