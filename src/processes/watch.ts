/**
 * The watchdog: who keeps the others from going on. It counts heartbeats and progress, never how long healthy work
 * takes: a process that is not heard of has stopped or lost its network; one that is heard of fails only if others wait
 * for it and it neither computes nor reads nor sends.
 */
import type { Activity } from './marks.ts';

/** What a process says of itself with every heartbeat. */
export interface Beat {
  activity: Activity;
  step: number;
  /** Whether it has computed, read, sent or gone on since the heartbeat before. */
  hasMoved: boolean;
}

export interface WatchedRank {
  rank: number;
  beat: Beat;
  /** When it was last heard of, and when it last moved (performance.now()). */
  heardMs: number;
  movedMs: number;
}

export type Verdict = { kind: 'silent' | 'stuck'; rank: number } | { kind: 'stalled' };

export const defaultWatchdogMs = 60_000;
export const shortestWatchdogMs = 2000;

/** Heartbeats within the time after which a silent process has failed. */
const beatsInLimit = 6;
/** Of `--watchdog`: the rest is for telling all others and for ending. */
const limitShare = 0.75;

export const limitOf = (watchdogMs: number): number => limitShare * watchdogMs;
/** Of `--watchdog`, after a failure: for ending in good order. */
export const graceOf = (watchdogMs: number): number => Math.min(10_000, 0.15 * watchdogMs);
export const intervalOf = (watchdogMs: number): number => Math.min(1000, limitOf(watchdogMs) / beatsInLimit);

/** @returns undefined while all is well */
export function verdictOf(ranks: readonly WatchedRank[], nowMs: number, limitMs: number): Verdict | undefined {
  const silent = ranks.find(({ heardMs }) => nowMs - heardMs > limitMs);
  if (silent !== undefined) return { kind: 'silent', rank: silent.rank };
  const isIdle = ({ movedMs }: WatchedRank): boolean => nowMs - movedMs > limitMs;
  const stuck = ranks.find((each) => each.beat.activity === 'reads' && isIdle(each));
  if (stuck !== undefined) return { kind: 'stuck', rank: stuck.rank };
  const isWaiting = ({ beat }: WatchedRank): boolean => beat.activity === 'waits' || beat.activity === 'computes';
  return ranks.every((each) => isWaiting(each) && isIdle(each)) ? { kind: 'stalled' } : undefined;
}

/**
 * Of the time between two heartbeats: less processor time than this a process that only waits takes too. V8 collects
 * garbage once the process has waited for some seconds: up to 9% were seen. One that computes takes 100% of a core.
 */
const busyShare = 0.15;
/** Of the same time: with work to do on a busy machine, its threads together wait longer than this for a core. */
const waitingShare = 0.25;
/** What heartbeats themselves send and read. */
const ownBytes = 20_000;

export interface Usage {
  /** Microseconds of processor time. */
  cpu: number;
  /** Nanoseconds for which its threads could have run, had there been a core. */
  waitedNs: number;
  networkBytes: number;
  /** Read and written by any call but those on sockets. */
  fileBytes: number;
  changes: number;
}

export const hasMoved = (before: Usage, now: Usage, elapsedMs: number): boolean =>
  now.changes !== before.changes ||
  now.cpu - before.cpu > busyShare * 1000 * elapsedMs ||
  now.waitedNs - before.waitedNs > waitingShare * 1e6 * elapsedMs ||
  now.networkBytes - before.networkBytes > ownBytes ||
  now.fileBytes - before.fileBytes > ownBytes;
