/** A process that trains a run together with the one that started it. It writes nothing but why rank 0 has gone. */
import { hostname } from 'node:os';
import { ExpectedError } from '../../errors.ts';
import { nameOf } from '../../processes/identity.ts';
import { watchFromOutside } from '../../processes/outsideWatch.ts';
import { graceOf } from '../../processes/watch.ts';
import { endProcess, openStderr, wakeWithoutParent } from '../../runtime/libc.ts';
import type { RankRequest, StarterStopped } from './startRanks.ts';

const [rank, starter, watchdogMs] = process.argv.slice(2).map(Number) as [number, number, number];
const say = openStderr();
wakeWithoutParent();

/** By Ctrl-C: if rank 0 then ends, at a second one, the user knows why. */
let isInterrupted = false;

const endWithout = (how: string): void => {
  const name = nameOf(0, { pid: starter, host: hostname() });
  if (rank === 1 && !isInterrupted) say(`error: ${name} ${how}, before all processes had met.\n`);
  endProcess(3);
};
const onGone = (): void => endWithout('has ended unexpectedly');
process.once('disconnect', onGone);
if (!process.connected) onGone();
const forget = watchFromOutside(starter, { watchdogMs, mayWait: true }, (how) => {
  // Going on, it reads this and ends all.
  process.send!({ stopped: how } satisfies StarterStopped, () => {});
  process.kill(starter, 'SIGCONT');
  setTimeout(() => {
    process.kill(starter, 'SIGKILL');
    endWithout(how);
  }, graceOf(watchdogMs));
});
/** Rank 0 has let this process in: from now on the group watches. */
const onArrived = (): void => {
  forget();
  process.off('disconnect', onGone);
};

const stopping = new AbortController();
// Those of the terminal reach all processes; which signals stop the run, and whether SIGHUP does, rank 0 decides.
process.on('SIGINT', () => void (isInterrupted = true));
for (const signal of ['SIGHUP', 'SIGUSR1']) process.on(signal, () => {});
for (const signal of ['SIGTERM', 'SIGXCPU', 'SIGUSR2']) process.on(signal, () => stopping.abort(signal));

const begin = async ({ request, join, pause }: RankRequest): Promise<unknown> => {
  const { trainRun } = await import('../trainRun.ts'); // takes a while, in which rank 0 is watched already
  return trainRun(request, { mode: 'recorded', signal: stopping.signal, join, onArrived, pause, report: () => {} });
};

process.once('message', (message: RankRequest) => {
  begin(message)
    .catch((error: unknown) => {
      const { isSaid, exitCode } = error instanceof ExpectedError ? error : { isSaid: false, exitCode: 1 };
      process.exitCode = exitCode;
      const text = error instanceof ExpectedError ? error.message : (error as Error).stack;
      if (!isSaid && !isInterrupted) say(`error: ${text}\n`);
    })
    .finally(() => endProcess(Number(process.exitCode ?? 0)));
});
