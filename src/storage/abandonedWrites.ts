/** What a process that was killed while it wrote a file or folder has left beside it, under a temporary name. */
import { rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errorCode } from './diskFailure.ts';
import { entriesOf, leftoverOf } from './durable.ts';

/**
 * Deletes the unfinished writes of `path` whose processes are gone: outside of a run there is no lock that tells them
 * from those of a process that is still writing. What cannot be deleted is left.
 */
export async function removeAbandonedWrites(path: string): Promise<void> {
  const folder = dirname(path);
  for (const entry of await entriesOf(folder)) {
    const leftover = leftoverOf(entry);
    if (leftover?.kind !== 'unfinished' || leftover.name !== basename(path) || isBeingWritten(entry)) continue;
    await rm(join(folder, entry), { recursive: true, force: true }).catch(() => undefined);
  }
}

function isBeingWritten(entry: string): boolean {
  const [, pid, time] = /-unfinished-(\d+)-([0-9a-z]+)-/.exec(entry) ?? [];
  // In a container every process may have the same id.
  if (Number(pid) === process.pid) return parseInt(time!, 36) >= performance.timeOrigin;
  try {
    process.kill(Number(pid), 0);
    return true;
  } catch (error) {
    return errorCode(error) !== 'ESRCH';
  }
}
