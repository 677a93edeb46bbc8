/**
 * Relays the connections of two machines, each of which takes it for the other one. The check starts it in the network
 * namespace between them, and tells it over the channel of Node what to do with the connections of a kind.
 *
 *   relay.mjs DELAY_MS JITTER_MS MEETING_PORT FIRST_PORT LAST_PORT
 */
import net from 'node:net';

/** @typedef {'meeting' | 'gradients'} Kind the first with its heartbeats; the others are of TensorFlow's servers */
/** @typedef {{ connections: number, passedBytes: number, heldBytes: number }} Count */
/** @typedef {{ hold: Kind } | { cut: Kind } | { release: true } | { count: true }} Order answered by counts */

const [delayMs = 0, jitterMs = 0, meetingPort = 0, firstPort = 0, lastPort = 0] = process.argv.slice(2).map(Number);

/** @type {Set<Kind>} */
const held = new Set();
/** @type {Record<Kind, Count>} */
const counts = {
  meeting: { connections: 0, passedBytes: 0, heldBytes: 0 },
  gradients: { connections: 0, passedBytes: 0, heldBytes: 0 },
};
/** @type {Set<{ kind: Kind, sockets: net.Socket[], pass: () => void }>} */
const relayed = new Set();

/**
 * Hands on what comes from one side, in its order and late. @param {Kind} kind @param {net.Socket} from
 * @param {net.Socket} to @returns hands on what is due, unless it is held back
 */
function oneWay(kind, from, to) {
  /** @type {{ bytes: Buffer | null, dueMs: number }[]} */
  const waiting = [];
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  function pass() {
    clearTimeout(timer);
    while (waiting[0] !== undefined && !held.has(kind)) {
      const { bytes, dueMs } = waiting[0];
      const leftMs = dueMs - performance.now();
      if (leftMs > 0) return void (timer = setTimeout(pass, leftMs));
      waiting.shift();
      if (bytes === null) to.end();
      else to.write(bytes);
      counts[kind].passedBytes += bytes?.length ?? 0;
      counts[kind].heldBytes -= bytes?.length ?? 0;
    }
  }
  const add = (/** @type {Buffer | null} */ bytes) => {
    counts[kind].heldBytes += bytes?.length ?? 0;
    waiting.push({ bytes, dueMs: performance.now() + delayMs + Math.random() * jitterMs });
    pass();
  };
  from.on('data', add).on('end', () => add(null));
  return pass;
}

/** @param {net.Socket} near */
function relay(near) {
  const [host = '', port = 0] = [near.localAddress, near.localPort]; // whom it wanted to reach
  /** @type {Kind} */
  const kind = port === meetingPort ? 'meeting' : 'gradients';
  const far = net.connect({ host, port, allowHalfOpen: true });
  const sockets = [near, far];
  const ways = [oneWay(kind, near, far), oneWay(kind, far, near)];
  const connection = { kind, sockets, pass: () => ways.forEach((pass) => pass()) };
  relayed.add(connection);
  counts[kind].connections++;
  for (const [i, socket] of sockets.entries()) {
    socket.setNoDelay(true);
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', (hasFailed) => {
      // Even that a side has gone does not get through while the connection is held.
      if (hasFailed && !held.has(kind)) sockets[1 - i]?.resetAndDestroy();
      if (!sockets.every(({ destroyed }) => destroyed) || !relayed.delete(connection)) return;
      counts[kind].connections--;
    });
  }
}

process.on('message', (/** @type {Order} */ order) => {
  if ('hold' in order) held.add(order.hold);
  else if ('release' in order) {
    held.clear();
    for (const { pass } of relayed) pass();
  } else if ('cut' in order) {
    for (const { kind, sockets } of relayed)
      if (kind === order.cut) sockets.forEach((socket) => socket.resetAndDestroy());
  }
  process.send?.(counts);
});
process.on('disconnect', () => process.exit());

const ports = [meetingPort, ...Array.from({ length: lastPort - firstPort + 1 }, (_, i) => firstPort + i)];
let listening = 0;
for (const port of ports)
  net.createServer({ allowHalfOpen: true }, relay).listen(port, '0.0.0.0', () => {
    if (++listening === ports.length) process.send?.(counts);
  });
