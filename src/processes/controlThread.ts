/**
 * The thread of a process that meets the others, passes messages on and watches: heartbeats go on while the main thread
 * is busy, and a process whose main thread cannot end it is ended from here. Rank 0 is connected to all, the others to
 * rank 0 alone.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { exitCodeOf } from '../errors.ts';
import { endProcess, networkBytesOf, openStderr } from '../runtime/libc.ts';
import type { ControlData, Frame, News, Order } from './controlMessages.ts';
import { endedFailure, failureOf, isSaidElsewhere, type GroupFailure } from './failure.ts';
import type { Connection } from './frames.ts';
import { identity, type Identity } from './identity.ts';
import { isEnding, readMarks } from './marks.ts';
import { awaitRanks, joinRanks, Refusal } from './meeting.ts';
import { graceOf, intervalOf, limitOf, verdictOf, type Beat, type WatchedRank } from './watch.ts';
import { beatsOf } from './usage.ts';

const data = workerData as ControlData;
const { rank: ownRank, size, marks, watchdogMs } = data;
const own = identity();
const who = new Map<number, Identity>([[ownRank, own]]);
/** Rank 0's connections to all others; another rank's to rank 0. */
const connections = new Map<number, Connection>();
const watched = new Map<number, WatchedRank>();
const exchanges = new Map<string, unknown[]>();
let networkBytes: () => number = () => 0;
let hasFailed = false;
let isLeaving = false;
const left = new Set<number>();
/** Taken now: while the main thread loads TensorFlow, descriptor 2 leads nowhere. */
const sayLast = openStderr();

const post = (news: News): void => parentPort!.postMessage(news);
const toAll = (frame: Frame): void => connections.forEach((connection) => connection.send(frame));

/** What the main thread has for ending its process in good order. */
const graceMs = graceOf(watchdogMs);

/** Tells all, ends the one to blame if it is on this machine, and later this process if its main thread cannot. */
function fail(failure: GroupFailure, isOwn = true): void {
  if (hasFailed || isLeaving) return;
  hasFailed = true;
  const isSaid = isSaidElsewhere(failure, isOwn, ownRank, who);
  toAll({ kind: 'failed', failure });
  const { culprit } = failure;
  const isCulprit = culprit?.rank === ownRank;
  if (culprit !== undefined && !isCulprit && culprit.machine === own.machine) {
    // Rank 0 may have been stopped; going on, it reads what became of the run, and says so.
    end(culprit.pid, culprit.rank === 0 ? 'SIGCONT' : 'SIGKILL');
    if (culprit.rank === 0) setTimeout(() => end(culprit.pid, 'SIGKILL'), 0.9 * graceMs);
  }
  post({ kind: 'failed', failure, isSaid }); // last: the main thread may end the process at once
  setTimeout(
    () => {
      if (isEnding(marks)) return;
      if (!isSaid) sayLast(`error: ${failure.message}\n`);
      endProcess(exitCodeOf(failure.kind));
    },
    isCulprit ? graceMs / 2 : graceMs, // before the others end it
  );
}

function end(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // it has gone
  }
}

function onFrame(from: number, frame: Frame): void {
  const known = watched.get(from);
  if (known !== undefined) known.heardMs = performance.now();
  if (frame.kind === 'met') {
    frame.ranks.forEach((each, rank) => who.set(rank, each));
    post({ kind: 'met', address, ranks: frame.ranks });
  } else if (frame.kind === 'beat' && known !== undefined) {
    known.beat = frame.beat;
    if (frame.beat.hasMoved) known.movedMs = known.heardMs;
  } else if (frame.kind === 'exchange') contribute(from, frame.what, frame.value);
  else if (frame.kind === 'exchanged') post(frame);
  else if (frame.kind === 'tell') post({ kind: 'told', rank: from, message: frame.message });
  else if (frame.kind === 'failed') fail(frame.failure, false);
  else if (frame.kind === 'leave') {
    left.add(from);
    leaveTogether();
  }
}

/** Rank 0 collects the values of all, and hands them to all. */
function contribute(rank: number, what: string, value: unknown): void {
  const values = exchanges.get(what) ?? [];
  exchanges.set(what, values);
  values[rank] = value ?? null;
  if (Object.keys(values).length < size) return;
  exchanges.delete(what);
  toAll({ kind: 'exchanged', what, values });
  post({ kind: 'exchanged', what, values });
}

function onClosed(rank: number): void {
  connections.delete(rank);
  if (!isLeaving && !left.has(rank)) fail(endedFailure(rank, ownRank, who, readMarks(marks).step));
}

let address = '';
let beating: NodeJS.Timeout | undefined;

/** A rank and rank 0 have met: from here on, they watch each other. */
function meetOne(rank: number, connection: Connection, identityOfRank: Identity): void {
  connections.set(rank, connection);
  who.set(rank, identityOfRank);
  const nowMs = performance.now();
  const beat: Beat = { activity: 'own', step: 0, hasMoved: true };
  for (const each of [rank, 0])
    if (!watched.has(each)) watched.set(each, { rank: each, beat, heardMs: nowMs, movedMs: nowMs });
  beating ??= beginBeating();
  connection.socket.once('close', () => onClosed(rank));
  post({ kind: 'arrived', rank: ownRank === 0 ? rank : ownRank });
}

function beginBeating(): NodeJS.Timeout {
  const intervalMs = intervalOf(watchdogMs);
  const nextBeat = beatsOf(marks, () => networkBytes());
  let lastMs = performance.now();
  return setInterval(() => {
    const now = performance.now();
    // This process was stopped itself, with the others (Ctrl-Z) or alone; then it is they who have seen it.
    if (now - lastMs > 3 * intervalMs) for (const each of watched.values()) each.heardMs = each.movedMs = now;
    const ownBeat = nextBeat(now - lastMs);
    lastMs = now;
    toAll({ kind: 'beat', beat: ownBeat });
    if (ownRank === 0) onFrame(0, { kind: 'beat', beat: ownBeat });
    const limitMs = limitOf(watchdogMs);
    // What has arrived meanwhile is read first.
    setImmediate(() => {
      const verdict = verdictOf([...watched.values()], performance.now(), limitMs);
      if (verdict === undefined || left.has('rank' in verdict ? verdict.rank : -1)) return;
      // Only rank 0 sees whether all wait: it may itself wait for one that still works alone.
      if (verdict.kind !== 'stalled' || watched.size === size)
        fail(failureOf(verdict, who, readMarks(marks).step, limitMs));
    });
  }, intervalMs);
}

function onOrder(order: Order): void {
  if (order.kind === 'exchange') {
    if (ownRank === 0) contribute(0, order.what, order.value);
    else toAll(order);
  } else if (order.kind === 'tell') {
    if (ownRank === 0) post({ kind: 'told', rank: 0, message: order.message });
    toAll(order);
  } else if (order.kind === 'fail') fail(order.failure);
  else if (order.kind === 'library') networkBytes = networkBytesOf(order.file);
  else {
    left.add(ownRank);
    if (ownRank > 0) toAll({ kind: 'leave' });
    leaveTogether();
  }
}

/** Rank 0 says goodbye when all are done, and the others then close. */
function leaveTogether(): void {
  if (isLeaving || (ownRank === 0 ? left.size < size : !left.has(0) || !left.has(ownRank))) return;
  isLeaving = true;
  if (ownRank === 0) toAll({ kind: 'leave' });
  clearInterval(beating);
  for (const { socket } of connections.values()) socket.end();
  post({ kind: 'left' });
  parentPort!.close();
}

async function meet(): Promise<void> {
  if (ownRank === 0) {
    const rankOf = new Map<Connection, number>();
    address = await awaitRanks(
      data,
      own,
      (port) => post({ kind: 'listening', port }),
      ({ rank, connection, identity: each }) => {
        rankOf.set(connection, rank);
        meetOne(rank, connection, each);
      },
      (frame: Frame, from) => onFrame(rankOf.get(from)!, frame),
    );
    if (hasFailed) return;
    const ranks = Array.from({ length: size }, (_, rank) => who.get(rank)!);
    toAll({ kind: 'met', ranks });
    post({ kind: 'met', address, ranks });
  } else {
    let early: Frame[] | undefined = [];
    const {
      connection,
      identity: first,
      ...met
    } = await joinRanks({ ...data, goneMs: limitOf(watchdogMs) }, own, (frame: Frame) => {
      if (early === undefined) onFrame(0, frame);
      else early.push(frame);
    });
    address = met.address;
    meetOne(0, connection, first);
    const frames = early;
    early = undefined;
    frames.forEach((frame) => onFrame(0, frame));
    if (connection.socket.destroyed) onClosed(0);
  }
}

parentPort!.on('message', onOrder);
meet().catch(async (error: unknown) => {
  const isExpected = error instanceof Refusal || 'code' in (error as object);
  if (!isExpected) throw error;
  hasFailed = true;
  clearInterval(beating);
  const kind = error instanceof Refusal ? error.kind : 'environment';
  post({ kind: 'refused', message: (error as Error).message, failureKind: kind });
  await sleep(100); // what others are told is on its way
  process.exitCode = 0;
  parentPort!.close();
});
