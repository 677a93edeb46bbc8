/** Starts the processes that train a run together with this one, on this machine, and ends them. */
import { fork, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { environmentFailure } from '../../errors.ts';
import { hostname } from 'node:os';
import { nameOf } from '../../processes/identity.ts';
import { joinGroup, type GroupOptions, type ProcessGroup } from '../../processes/group.ts';
import { watchFromOutside } from '../../processes/outsideWatch.ts';
import type { TrainingRequest } from '../prepare.ts';
import type { PausePoint } from '../timeLimit.ts';

/** What a process is told to train, by the one that starts it. */
export interface RankRequest {
  request: TrainingRequest;
  join: GroupOptions;
  pause: PausePoint | undefined;
}

/** What a process tells the one that started it, having found it stopped before they met. */
export interface StarterStopped {
  /** e.g. `has been stopped for 9 s` */
  stopped: string;
}

export interface StartedRanks {
  /** Of this process, which is rank 0. */
  group: ProcessGroup;
  /** How a rank has ended, if it has, e.g. `SIGKILL`. */
  endOf(rank: number): Promise<string | undefined>;
  /** Ends those that still run, at once, stopped ones too. */
  kill(): void;
}

/** Built code, even if the sources are run, e.g. by tests. */
const rankFile = new URL(
  import.meta.url.endsWith('.ts') ? '../../../dist/training/processes/rankProcess.js' : './rankProcess.js',
  import.meta.url,
);

/**
 * Starts ranks 1 to `size` − 1 as children of this process, and meets them. They write nothing.
 * @throws environmentFailure if one of them, or this process, ends or is stopped, or does nothing, before all have met
 */
export async function startRanks(
  request: TrainingRequest,
  { size, watchdogMs, pause }: { size: number; watchdogMs: number; pause: PausePoint | undefined },
): Promise<StartedRanks> {
  const children: ChildProcess[] = [];
  const kill = (): void => children.forEach((child) => child.kill('SIGKILL'));
  const ends = new Map<number, Promise<string>>();
  const secret = randomBytes(32).toString('hex');
  const place = { size, host: '127.0.0.1', secret, watchdogMs, waitMs: startMs };
  const who = new Map([[0, { pid: process.pid, host: hostname() }]]);
  const watches = new Map<number, () => void>();
  const start = (port: number, fail: (rank: number, how: string) => void): void => {
    for (let rank = 1; rank < size; rank++) {
      const child = fork(rankFile, [rank, process.pid, watchdogMs].map(String), {
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
        serialization: 'advanced',
      });
      child.send({ request, join: { ...place, rank, port }, pause } satisfies RankRequest, () => {});
      children.push(child);
      if (child.pid !== undefined) {
        who.set(rank, { pid: child.pid, host: hostname() });
        watches.set(
          rank,
          watchFromOutside(child.pid, { watchdogMs, mayWait: false }, (how) => fail(rank, how)),
        );
      }
      child.once('message', ({ stopped }: StarterStopped) => fail(0, stopped));
      const ended = new Promise<string>((resolve) => {
        child.once('error', (error) => resolve(error.message));
        child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
      });
      ends.set(rank, ended);
      void ended.then((how) => fail(rank, `has ended at its start (${how})`));
      child.once('exit', () => children.splice(children.indexOf(child), 1)); // its process id may be used again
    }
  };
  try {
    const group = await new Promise<ProcessGroup>((resolve, reject) => {
      const fail = (rank: number, how: string): void =>
        reject(environmentFailure(`${nameOf(rank, who.get(rank))} ${how}, before all processes had met.`));
      const onArrived = (rank: number): void => watches.get(rank)?.();
      joinGroup({ ...place, rank: 0, port: 0 }, onArrived, (port) => start(port, fail)).then(resolve, reject);
    });
    return { group, endOf: async (rank) => Promise.race([ends.get(rank), soon()]), kill };
  } catch (error) {
    kill();
    throw error;
  } finally {
    for (const forget of watches.values()) forget();
  }
}

/** Long enough for the news of a process that has ended to arrive. */
const soon = (): Promise<undefined> => new Promise((resolve) => setTimeout(resolve, 300, undefined));

/** How long a start may take: the processes are watched, and one that gets on, on a busy machine, may be slow. */
const startMs = 3_600_000;

/** How long other processes wait for each other at the start: on other machines they may be started by hand. */
export const meetingMs = (watchdogMs: number): number => 5 * watchdogMs;
