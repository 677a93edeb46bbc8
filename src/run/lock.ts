/**
 * The lock of a run directory: `run.lock` names the one process that may write. It is created by link(2), complete or
 * not at all, so of two processes exactly one gets it. A lock whose process is gone (killed, or the machine rebooted)
 * is taken over, and the right to do so is itself such a lock, named after the dead one: two processes that find the
 * same dead lock cannot both replace it, and a late one cannot replace its successor.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { link, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { readBounded } from '../storage/boundedFile.ts';
import { wrongInput } from '../errors.ts';
import { diskFailure, errorCode } from '../storage/diskFailure.ts';
import { flushMade, makeFolder, makeParents } from '../storage/durable.ts';

export const lockFile = 'run.lock';

/** The process that holds a lock. Process ids are reused, so its start time is part of its identity. */
export interface LockHolder {
  pid: number;
  /** Start of the process in clock ticks since boot (/proc); null if the system does not report it. */
  startTicks: string | null;
  bootId: string | null;
  /** Process ids are only valid within their container. */
  pidNamespace: string | null;
  host: string;
  lockedAt: string;
  nonce: string;
}

export interface RunLock {
  /**
   * Call it before writing: creates the lock again if somebody deleted it by hand, believing this process had ended.
   * @throws wrongInput if another process holds it by now; environmentFailure if the disk refuses
   */
  renew(): Promise<void>;
  /** Releases the lock, and removes the folders created for it if they are empty. */
  release(): Promise<void>;
}

/**
 * Locks a run directory, creating it if necessary.
 * @throws wrongInput if another process holds it, or if it cannot be determined from here whether it still does;
 *   environmentFailure if the disk refuses
 */
export async function lockRun(runDirectory: string): Promise<RunLock> {
  const folder = resolve(runDirectory);
  const path = join(folder, lockFile);
  let firstMade: string | undefined;
  try {
    const holder = thisProcess();
    for (let isTaken = false; !isTaken; ) {
      const made = (firstMade = await makeParents(folder));
      isTaken = await flushMade(folder, made)
        .then(() => take(path, holder))
        .then(
          () => true,
          (error: unknown) => {
            // The folder may be gone: another process released its lock there, having written nothing else.
            if (errorCode(error) === 'ENOENT') return false;
            throw error;
          },
        );
    }
    let renewed = Promise.resolve(); // renewals run one after the other
    const renew = async (): Promise<void> => {
      if (holderOf(path)?.nonce === holder.nonce) return;
      try {
        await makeFolder(folder);
        await take(path, holder);
      } catch (error) {
        throw diskFailure(error, 'write', path);
      }
    };
    return {
      renew: () => (renewed = renewed.then(renew, renew)),
      release: async () => {
        if (holderOf(path)?.nonce === holder.nonce) await rm(path, { force: true });
        await removeEmpty(folder, firstMade);
      },
    };
  } catch (error) {
    await removeEmpty(folder, firstMade);
    if (errorCode(error) === 'EEXIST' || errorCode(error) === 'ENOTDIR') {
      throw wrongInput(`A part of the path ${runDirectory} is a file, not a folder.`);
    }
    throw diskFailure(error, 'write', path);
  }
}

/** The holder of a run's lock, unless its process is certainly gone. For readers, who do not lock. */
export function liveHolder(runDirectory: string): LockHolder | undefined {
  const holder = holderOf(join(runDirectory, lockFile));
  return holder === undefined || fateOf(holder) === 'gone' ? undefined : holder;
}

async function take(path: string, holder: LockHolder): Promise<void> {
  const own = `${path}.${holder.nonce}.new`;
  try {
    for (;;) {
      await writeFile(own, `${JSON.stringify(holder)}\n`, { flag: 'wx' });
      try {
        await link(own, path);
        return;
      } catch (error) {
        if (errorCode(error) !== 'EEXIST') throw error;
      }
      const other = holderOf(path);
      if (other !== undefined) {
        refuseUnlessGone(other, path);
        const takeover = `${path}.${other.nonce}`;
        await take(takeover, holder);
        try {
          // Only the holder of the takeover lock may replace the dead lock, so it cannot change after this check.
          if (holderOf(path)?.nonce === other.nonce) {
            await rename(own, path);
            return;
          }
        } finally {
          await rm(takeover, { force: true });
        }
      }
      await rm(own, { force: true });
    }
  } finally {
    await rm(own, { force: true });
  }
}

/**
 * A lock is linked when it is complete, so one that cannot be parsed was torn by a crash of the machine: nobody holds
 * it.
 */
function holderOf(path: string): LockHolder | undefined {
  let text: string;
  try {
    text = readBounded(path).toString('utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined;
    throw diskFailure(error, 'read', path);
  }
  try {
    const holder = JSON.parse(text) as Partial<LockHolder> | null;
    if (typeof holder?.pid === 'number' && /^[0-9a-f-]{36}$/.test(holder.nonce ?? '')) return holder as LockHolder;
  } catch {
    // torn
  }
  return { pid: 0, startTicks: null, bootId: null, pidNamespace: null, host: hostname(), lockedAt: '', nonce: 'torn' };
}

function refuseUnlessGone(holder: LockHolder, path: string): void {
  const fate = fateOf(holder);
  if (fate === 'gone') return;
  const who = `process ${holder.pid} on ${holder.host} (since ${holder.lockedAt})`;
  if (fate === 'alive') {
    throw wrongInput(
      `${dirname(path)} is being written by ${who}. Wait for it, stop it with: kill ${holder.pid}, or choose another ` +
        'directory with --run.',
    );
  }
  throw wrongInput(
    `${dirname(path)} is locked by ${who} on another machine or in another container, which cannot be checked ` +
      `from here. If that run has ended, delete ${path} and start again.`,
  );
}

function fateOf(holder: LockHolder): 'alive' | 'gone' | 'unknown' {
  if (holder.nonce === 'torn') return 'gone';
  const here = thisProcess();
  if (holder.bootId !== null && here.bootId !== null) {
    // The boot id identifies the running kernel: the same id with another host name is a container on this machine.
    if (holder.bootId !== here.bootId) return holder.host === here.host ? 'gone' : 'unknown';
    if (holder.pidNamespace !== here.pidNamespace) return 'unknown';
  } else if (holder.host !== here.host) return 'unknown';
  if (!isRunning(holder.pid)) return 'gone';
  return holder.startTicks !== null && startTicksOf(holder.pid) !== holder.startTicks ? 'gone' : 'alive';
}

function thisProcess(): LockHolder {
  return {
    pid: process.pid,
    startTicks: startTicksOf(process.pid),
    bootId: orNull(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()),
    pidNamespace: orNull(() => readlinkSync('/proc/self/ns/pid')),
    host: hostname(),
    lockedAt: new Date().toISOString(),
    nonce: randomUUID(),
  };
}

/** Field 22 of /proc/PID/stat; the name before it may hold spaces and brackets. A zombie has ended. */
function startTicksOf(pid: number): string | null {
  return orNull(() => {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return fields[0] === 'Z' ? null : (fields[19] ?? null);
  });
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) === 'EPERM'; // it runs under another user
  }
}

function orNull<Value>(read: () => Value): Value | null {
  try {
    return read();
  } catch {
    return null;
  }
}

/** Removes `folder` and its parents up to `firstMade` while they are empty. */
async function removeEmpty(folder: string, firstMade: string | undefined): Promise<void> {
  if (firstMade === undefined) return;
  for (let made = folder; made.length >= firstMade.length; made = dirname(made)) {
    try {
      await rmdir(made);
    } catch {
      return; // it is not empty, or gone already
    }
  }
}
