/**
 * The lock of a run directory: only the process that holds it may write there. It is a lock of the kernel on the file
 * `run.lock` (storage/kernelLock.ts), so it ends with its process, and it belongs to this file alone: a copy of the
 * directory is not locked. What the file says of its process is for people, for readers in other containers, and for
 * file systems without locks, where it is all there is.
 */
import { closeSync, constants, fstatSync, ftruncateSync, openSync } from 'node:fs';
import { readlinkSync, rmSync, statSync, writeSync } from 'node:fs';
import { rmdir } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { wrongInput } from '../errors.ts';
import { diskFailure, errorCode } from '../storage/diskFailure.ts';
import { flushMade, makeFolder, makeParents } from '../storage/durable.ts';
import { kernelLocks } from '../storage/kernelLock.ts';
import { fateOf, heldByAnother, holderOf, thisProcess, uncheckable, type LockHolder } from './lockHolder.ts';

export const lockFile = 'run.lock';

export interface RunLock {
  /** Why the kernel could not lock the file, e.g. `ENOLCK`: then only `run.lock` itself keeps others away. */
  unsupported: string | undefined;
  /**
   * Call it before writing: creates the lock again if somebody deleted it by hand, believing this process had ended.
   * @returns where the directory is now if it was renamed meanwhile, and its lock with it
   * @throws wrongInput if another process holds it by now; environmentFailure if the disk refuses
   */
  renew(): Promise<string | undefined>;
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
  const own = thisProcess();
  let firstMade: string | undefined;
  try {
    let taken: TakenLock | undefined;
    while (taken === undefined) {
      const made = (firstMade = await makeParents(folder));
      taken = await flushMade(folder, made)
        .then(() => take(path, own))
        .catch((error: unknown) => {
          // The folder may be gone: another process released its lock there, having written nothing else.
          if (errorCode(error) === 'ENOENT') return undefined;
          throw error;
        });
    }
    let held: TakenLock = taken;
    let renewed = Promise.resolve<string | undefined>(undefined); // renewals run one after the other
    const isOwn = (directory: string): boolean => holderOf(join(directory, lockFile))?.nonce === own.nonce;
    const renew = async (): Promise<string | undefined> => {
      if (isOwn(folder)) return undefined;
      const moved = directoryOf(held.file);
      if (moved !== undefined && isOwn(moved)) return moved;
      try {
        closeSync(held.file); // it may be this very file, written over
        held = { ...held, file: -1 };
        await makeFolder(folder);
        held = await take(path, own);
        return undefined;
      } catch (error) {
        throw diskFailure(error, 'write', path);
      }
    };
    return {
      unsupported: taken.unsupported,
      renew: () => (renewed = renewed.then(renew, renew)),
      release: async () => {
        if (held.file >= 0) {
          const directory = [folder, directoryOf(held.file)].find((each) => each !== undefined && isOwn(each));
          if (directory !== undefined) rmSync(join(directory, lockFile), { force: true });
          closeSync(held.file); // only now: whoever locks the file sees that it is not at its path any more
        }
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

/** Where the open lock file is now; undefined if it was deleted, and where there is no /proc. */
function directoryOf(file: number): string | undefined {
  try {
    const path = readlinkSync(`/proc/self/fd/${file}`);
    return basename(path) === lockFile ? dirname(path) : undefined;
  } catch {
    return undefined;
  }
}

/** The holder of a run's lock, unless its process is certainly gone. For readers, who do not lock. */
export function liveHolder(runDirectory: string): LockHolder | undefined {
  const path = join(runDirectory, lockFile);
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(errorCode(error) ?? '')) return undefined;
    throw diskFailure(error, 'read', path);
  }
  try {
    const locked = kernelLocks.isLocked(file);
    const holder = holderOf(path);
    if (locked === true || holder === undefined) return holder;
    return fateOf(holder, path, locked === undefined ? 'unknown' : 'free') === 'gone' ? undefined : holder;
  } finally {
    closeSync(file);
  }
}

interface TakenLock {
  /** The locked file, open; -1 once it is closed. */
  file: number;
  unsupported: string | undefined;
}

/** Times that a lock is asked for again whose holder has not yet written who it is, and the pause between them. */
const mostTries = 20;
const pauseMs = 10;

async function take(path: string, own: LockHolder): Promise<TakenLock> {
  for (let tries = 1; ; tries++) {
    const file = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o666);
    let isTaken = false;
    try {
      const attempt = kernelLocks.tryLock(file);
      const unsupported = typeof attempt === 'object' ? attempt.unsupported : undefined;
      const holder = holderOf(path);
      if (attempt === 'held') {
        // One that is released now has no file any more, and one just taken still has its last holder's name in it.
        const isNamed = holder?.kernelLock === true && fateOf(holder, path, 'unknown') !== 'gone';
        if (isNamed || tries >= mostTries) throw heldByAnother(holder, path);
        await sleep(pauseMs);
        continue;
      }
      const fate = holder && fateOf(holder, path, unsupported === undefined ? 'free' : 'unknown');
      if (fate === 'alive') throw heldByAnother(holder, path);
      if (fate === 'unknown') throw uncheckable(holder!, path);
      write(file, path, { ...own, kernelLock: unsupported === undefined });
      // Another process may have deleted the file after it was opened here: then this lock is of no use.
      isTaken = holderOf(path)?.nonce === own.nonce;
      if (isTaken) return { file, unsupported };
    } finally {
      if (!isTaken) closeSync(file);
    }
  }
}

/** In place: the lock is on this file, so a new one must not take its name. */
function write(file: number, path: string, holder: LockHolder): void {
  try {
    ftruncateSync(file);
    writeSync(file, `${JSON.stringify(holder)}\n`, 0);
  } catch (error) {
    const [mine, there] = [fstatSync(file), statSync(path, { throwIfNoEntry: false })];
    if (mine.ino === there?.ino && mine.dev === there.dev) rmSync(path, { force: true });
    throw error;
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
