/** Who is to blame if processes of a group do not get on, and who is not. */
import { describe, expect, it } from 'vitest';
import { endedFailure, failureOf, isSaidElsewhere, unreachableFailure } from '../../src/processes/failure.ts';
import type { Activity } from '../../src/processes/marks.ts';
import { fileBytesIn } from '../../src/processes/usage.ts';
import { hasMoved, verdictOf, type WatchedRank } from '../../src/processes/watch.ts';
import { unreachableRank } from '../../src/runtime/server.ts';

const limitMs = 10_000;
const nowMs = 100_000;

const watched = (rank: number, activity: Activity, silentMs: number, idleMs: number): WatchedRank => ({
  rank,
  beat: { activity, step: 5, hasMoved: false },
  heardMs: nowMs - silentMs,
  movedMs: nowMs - idleMs,
});

describe('verdictOf', () => {
  it('names a rank that is not heard of, whatever it did last', () => {
    for (const activity of ['own', 'computes', 'waits', 'reads'] as const) {
      const ranks = [watched(0, 'computes', 10, 50_000), watched(1, activity, 10_001, 10_001)];
      expect(verdictOf(ranks, nowMs, limitMs)).toEqual({ kind: 'silent', rank: 1 });
    }
  });

  it('lets healthy work take as long as it takes', () => {
    const saving = [watched(0, 'own', 10, 500_000), watched(1, 'computes', 10, 500_000)];
    expect(verdictOf(saving, nowMs, limitMs)).toBeUndefined();
    const longStep = [watched(0, 'computes', 10, 900), watched(1, 'computes', 10, 500_000)];
    expect(verdictOf(longStep, nowMs, limitMs)).toBeUndefined();
    const slowReading = [watched(0, 'computes', 10, 500_000), watched(1, 'reads', 10, 900)];
    expect(verdictOf(slowReading, nowMs, limitMs)).toBeUndefined();
  });

  it('names a rank that is heard of but keeps the others waiting', () => {
    const ranks = [watched(0, 'computes', 10, 50_000), watched(1, 'reads', 10, 10_001)];
    expect(verdictOf(ranks, nowMs, limitMs)).toEqual({ kind: 'stuck', rank: 1 });
  });

  it('sees that all wait for each other', () => {
    const ranks = [watched(0, 'computes', 10, 10_001), watched(1, 'waits', 10, 10_001)];
    expect(verdictOf(ranks, nowMs, limitMs)).toEqual({ kind: 'stalled' });
  });
});

describe('hasMoved', () => {
  const still = { cpu: 0, waitedNs: 0, networkBytes: 0, fileBytes: 0, changes: 0 };

  it('sees each kind of progress, and not what heartbeats take', () => {
    expect(hasMoved(still, { cpu: 5000, waitedNs: 5e6, networkBytes: 900, fileBytes: 3000, changes: 0 }, 1000)).toBe(
      false,
    );
    for (const change of [
      { cpu: 200_000 },
      { waitedNs: 4e8 },
      { networkBytes: 1e6 },
      { fileBytes: 1e6 },
      { changes: 1 },
    ])
      expect(hasMoved(still, { ...still, ...change }, 1000)).toBe(true);
  });

  it('does not take for progress that a process which waits collects garbage', () => {
    const before = 'rchar: 7483953\nwchar: 37274\nsyscr: 9109\nsyscw: 4100\nread_bytes: 0\n';
    const now = 'rchar: 7504953\nwchar: 57354\nsyscr: 11734\nsyscw: 6610\nread_bytes: 0\n'; // by waking threads
    const fileBytes = fileBytesIn(now) - fileBytesIn(before);
    expect(fileBytes).toBe(0);
    expect(hasMoved(still, { ...still, cpu: 93_000, waitedNs: 1.7e8, fileBytes }, 1000)).toBe(false);
  });
});

describe('failures of connections', () => {
  const who = new Map([1, 0].map((rank) => [rank, { pid: 7 + rank, host: `node-${rank}`, machine: '' }]));

  it('name ranks, hosts and step if all wait for each other', () => {
    const { message } = failureOf({ kind: 'stalled' }, who, 21, 6000);
    expect(message).toMatch(/in step 21, and for 6 s .*rank 0 \(process 7 on node-0\), rank 1 \(process 8 on node-1\)/);
  });

  it('do not say that a rank has ended if perhaps its network has', () => {
    const far = new Map(who).set(1, { pid: 8, host: 'node-1', machine: 'other' });
    expect(endedFailure(1, 0, who, 21).message).toMatch(/node-1\) has ended unexpectedly, in step 21/);
    expect(endedFailure(1, 0, far, 21).message).toMatch(
      /node-1\) has ended unexpectedly, or the connection to it was cut, in step 21/,
    );
  });

  it('name the rank that TensorFlow no longer reaches', () => {
    const said = (status: number) =>
      new Error(`Additional GRPC error information from remote target /job:worker/replica:0/task:1 while calling
/tensorflow.WorkerService/RecvBuf: {grpc_message:"recvmsg:Connection reset by peer", grpc_status:${status}}`);
    expect(unreachableRank(said(14))).toBe(1);
    expect(unreachableRank(said(13))).toBeUndefined();
    expect(unreachableRank(new Error('grpc_status:14'))).toBeUndefined();
    expect(unreachableFailure(1, who.get(1), 21).message).toMatch(/rank 1 \(process 8 on node-1\) was cut, in step 21/);
  });
});

describe('isSaidElsewhere', () => {
  const on = (...machines: string[]) => new Map(machines.map((machine, pid) => [pid, { machine, pid, host: machine }]));
  const failure = (rank: number) => ({ message: '', kind: 'environment' as const, rank });

  it('lets one process on the machine of rank 0 say why all end', () => {
    const here = on('a', 'a', 'a');
    expect([0, 1, 2].map((own) => isSaidElsewhere(failure(2), own === 0, own, here))).toEqual([false, true, true]);
    expect([1, 2].map((own) => isSaidElsewhere(failure(0), true, own, here))).toEqual([false, true]);
    const stopped = { ...failure(0), culprit: { rank: 0, ...here.get(0)! } }; // woken, it says so itself
    expect([1, 2].map((own) => isSaidElsewhere(stopped, true, own, here))).toEqual([true, true]);
    expect(isSaidElsewhere(failure(2), false, 1, on('a', 'b', 'a'))).toBe(false);
  });
});
