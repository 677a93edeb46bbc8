/** A process that trains a run together with the one that started it. It writes nothing but why rank 0 has gone. */
import { writeSync } from 'node:fs';
import { ExpectedError } from '../../errors.ts';
import { endProcess, wakeWithoutParent } from '../../runtime/libc.ts';
import { trainRun } from '../trainRun.ts';
import type { RankRequest } from './startRanks.ts';

wakeWithoutParent();
const stopping = new AbortController();
// Those of the terminal reach all processes; which signals stop the run, and whether SIGHUP does, rank 0 decides.
for (const signal of ['SIGINT', 'SIGHUP', 'SIGUSR1']) process.on(signal, () => {});
for (const signal of ['SIGTERM', 'SIGXCPU', 'SIGUSR2']) process.on(signal, () => stopping.abort(signal));

process.once('message', ({ request, join, pause }: RankRequest) => {
  trainRun(request, { mode: 'recorded', signal: stopping.signal, join, pause, report: () => {} })
    .catch((error: unknown) => {
      const { isSaid, exitCode } = error instanceof ExpectedError ? error : { isSaid: false, exitCode: 1 };
      process.exitCode = exitCode;
      const text = error instanceof ExpectedError ? error.message : (error as Error).stack;
      if (!isSaid) writeSync(2, `error: ${text}\n`);
    })
    .finally(() => endProcess(Number(process.exitCode ?? 0)));
});
