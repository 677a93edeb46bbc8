/** A process that trains a run together with the one that started it. It writes nothing. */
import { ExpectedError } from '../../errors.ts';
import { trainRun } from '../trainRun.ts';
import type { RankMessage, RankRequest } from './startRanks.ts';

// Signals of the terminal reach all processes, but only the first one decides when to stop.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGXCPU', 'SIGUSR1', 'SIGUSR2']) process.on(signal, () => {});
const orphaned = (): void => void process.kill(process.pid, 'SIGKILL');
process.once('disconnect', orphaned);

process.once('message', ({ request, group }: RankRequest) => {
  trainRun(request, { mode: 'recorded', signal: new AbortController().signal, group, report: () => {} })
    .catch((error: unknown) => {
      process.exitCode = error instanceof ExpectedError ? error.exitCode : 1;
      process.send?.({ failed: (error as Error).message } satisfies RankMessage);
    })
    .finally(() => {
      process.off('disconnect', orphaned);
      process.disconnect();
    });
});
