/** Starts the processes that train a run together with this one, on this machine, and ends them. */
import { fork, type ChildProcess } from 'node:child_process';
import { createServer, type AddressInfo } from 'node:net';
import { environmentFailure } from '../../errors.ts';
import type { ProcessGroup } from '../../processes/group.ts';
import type { TrainingRequest } from '../prepare.ts';

/** What a process is told to train, by the one that starts it. */
export interface RankRequest {
  request: TrainingRequest;
  group: ProcessGroup;
}

/** Why it ended. */
export interface RankMessage {
  failed: string;
}

/** Built code, even if the sources are run, e.g. by tests. */
const rankFile = new URL(
  import.meta.url.endsWith('.ts') ? '../../../dist/training/processes/rankProcess.js' : './rankProcess.js',
  import.meta.url,
);

export interface StartedRanks {
  /** Of this process, which is rank 0. */
  group: ProcessGroup;
  /** Waits until all have ended. @throws environmentFailure if one ended with a failure */
  ended(): Promise<void>;
  /** Ends those that still run, at once. */
  kill(): void;
}

/** Starts ranks 1 to `size` − 1 as children of this process. They write nothing. */
export async function startRanks(request: TrainingRequest, size: number): Promise<StartedRanks> {
  const addresses = (await freePorts(size)).map((port) => `127.0.0.1:${port}`);
  const children: ChildProcess[] = [];
  for (let rank = 1; rank < size; rank++) {
    const child = fork(rankFile, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], serialization: 'advanced' });
    child.send({ request, group: { rank, size, addresses } } satisfies RankRequest, () => {});
    children.push(child);
  }
  const ends = children.map(
    (child, i) =>
      new Promise<string | undefined>((resolve) => {
        let reason = '';
        child.on('message', ({ failed }: RankMessage) => (reason = `: ${failed}`));
        child.once('error', (error) => resolve(`rank ${i + 1} could not be started: ${error.message}`));
        child.once('exit', (code, signal) =>
          resolve(code === 0 ? undefined : `rank ${i + 1} ended with ${signal ?? `exit code ${code}`}${reason}`),
        );
      }),
  );
  return {
    group: { rank: 0, size, addresses },
    ended: async () => {
      const failures = (await Promise.all(ends)).filter((failure) => failure !== undefined);
      if (failures.length > 0) throw environmentFailure(failures.join('\n'));
    },
    kill: () => children.forEach((child) => child.kill('SIGKILL')),
  };
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  const ports = await Promise.all(
    servers.map(
      (server) => new Promise<number>((resolve) => server.once('listening', () => resolve(portOf(server.address())))),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

const portOf = (address: AddressInfo | string | null): number => (address as AddressInfo).port;
