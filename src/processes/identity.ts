/** Where a process runs: for messages, and to know which processes share a machine. */
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

export interface Identity {
  host: string;
  pid: number;
  /** Equal for processes that see each other's process ids: of one kernel and one container. */
  machine: string;
}

/** e.g. `rank 1 (process 4711 on node-a)`; the rank alone if it is not known who it is. */
export const nameOf = (rank: number, known: Pick<Identity, 'pid' | 'host'> | undefined): string =>
  known === undefined ? `rank ${rank}` : `rank ${rank} (process ${known.pid} on ${known.host})`;

export function identity(): Identity {
  return { host: hostname(), pid: process.pid, machine: `${hostname()} ${bootAndNamespace()}` };
}

function bootAndNamespace(): string {
  try {
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return ''; // not Linux
  }
}
