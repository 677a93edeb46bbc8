/**
 * Durable writes of files and folders. Guarantee: under its own name a file or folder is complete or absent, whenever
 * the machine stops, because it is written under a temporary name in the same parent, flushed, and renamed into place.
 * Everything that a run directory must not lose is written here.
 */
import { statSync } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { environmentFailure } from '../errors.ts';
import { diskFailure, errorCode } from './diskFailure.ts';
import { removeAtEnd } from './temporaryPaths.ts';

/** unfinished: being written; replaced: the old version while the new one takes its name; removed: being deleted. */
type Leftover = 'unfinished' | 'replaced' | 'removed';

const leftoverPattern = /^\.(.+)\.clm-(unfinished|replaced|removed)-[0-9a-z-]+$/;
let namesGiven = 0;

/** The name includes the time because processes in different containers may have the same id. */
const asideName = (path: string, kind: Leftover): string =>
  join(dirname(path), `.${basename(path)}.clm-${kind}-${process.pid}-${Date.now().toString(36)}-${namesGiven++}`);

/** The name and kind of an interrupted write, from the name of its directory entry; undefined for other entries. */
export function leftoverOf(entry: string): { name: string; kind: Leftover } | undefined {
  const match = leftoverPattern.exec(entry);
  return match === null ? undefined : { name: match[1]!, kind: match[2] as Leftover };
}

/**
 * Replaces the contents of a file; after a crash it has either the old contents or the new. A device or a pipe is
 * written in place, since a rename would put a file where it is.
 * @throws environmentFailure naming the path if the disk is full or read-only, or permission is denied
 */
export async function writeFileDurably(path: string, contents: string | Uint8Array): Promise<void> {
  if (!isDevice(path))
    return replaceFileDurably(path, (temporaryPath) => writeFile(temporaryPath, contents, { flag: 'wx' }));
  try {
    await writeFile(path, contents);
  } catch (error) {
    throw diskFailure(error, 'write', path);
  }
}

/** Whether the path is a device or a pipe, or, like /dev/stdout, a name that the system gives to an open file. */
export function isDevice(path: string): boolean {
  try {
    const stats = statSync(path);
    if (!stats.isFile() && !stats.isDirectory()) return true;
  } catch {
    return false; // there is nothing, or writing will tell why it cannot be reached
  }
  return /^\/(dev\/(fd\/|std(out|err)$)|proc\/)/.test(resolve(path));
}

/**
 * Like `writeFileDurably`, for contents that are not in memory: `write` creates the file at the path it gets.
 * @throws environmentFailure as `writeFileDurably`; whatever `write` throws
 */
export async function replaceFileDurably(path: string, write: (temporaryPath: string) => Promise<void>): Promise<void> {
  const temporaryPath = asideName(path, 'unfinished');
  const isGone = removeAtEnd(temporaryPath);
  try {
    await makeFolder(dirname(path));
    await write(temporaryPath);
    await flush(temporaryPath);
    await rename(temporaryPath, path);
    await flushFolder(dirname(path));
  } catch (error) {
    await rm(temporaryPath, { force: true }).catch(() => undefined); // the failure itself is what matters
    throw diskFailure(error, 'write', path);
  } finally {
    isGone();
  }
}

/**
 * Replaces the contents of a file without waiting for the disk: no reader sees a part of them, but a crash of the
 * machine may leave the old or none. @throws environmentFailure as `writeFileDurably`
 */
export async function replaceFile(path: string, contents: string): Promise<void> {
  const temporaryPath = asideName(path, 'unfinished');
  try {
    await writeFile(temporaryPath, contents, { flag: 'wx' });
    await rename(temporaryPath, path);
  } catch (error) {
    await rm(temporaryPath, { force: true }).catch(() => undefined);
    throw diskFailure(error, 'write', path);
  }
}

/** Appends all of `bytes`; a single write may write fewer. */
export async function writeFully(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, bytes.length - done)).bytesWritten;
  }
}

/**
 * Creates a folder with its contents, or replaces the existing one. `fill` writes files (no subfolders) into the folder
 * it gets.
 * @throws environmentFailure as `writeFileDurably`; whatever `fill` throws; the existing folder is then untouched
 */
export async function writeFolderDurably(path: string, fill: (folder: string) => Promise<void>): Promise<void> {
  const temporaryPath = asideName(path, 'unfinished');
  const isGone = removeAtEnd(temporaryPath);
  try {
    await makeFolder(dirname(path));
    await mkdir(temporaryPath);
    await fill(temporaryPath);
    for (const entry of await readdir(temporaryPath)) await flush(join(temporaryPath, entry));
    await flushFolder(temporaryPath);
    await moveIntoPlace(temporaryPath, path);
  } catch (error) {
    await rm(temporaryPath, { recursive: true, force: true }).catch(() => undefined);
    throw diskFailure(error, 'write', path);
  } finally {
    isGone();
  }
}

/**
 * A folder cannot be renamed over one that holds files, so the old one is renamed first; a crash between the two
 * renames leaves it as `replaced`, and `removeLeftovers` restores it.
 */
async function moveIntoPlace(temporaryPath: string, path: string): Promise<void> {
  if (!(await exists(path))) {
    await rename(temporaryPath, path);
    await flushFolder(dirname(path));
    return;
  }
  const replaced = asideName(path, 'replaced');
  await rename(path, replaced);
  try {
    await rename(temporaryPath, path);
  } catch (error) {
    await rename(replaced, path);
    throw error;
  }
  await flushFolder(dirname(path));
  await rm(replaced, { recursive: true, force: true });
}

/**
 * Deletes a folder; a crash never leaves half of it under its own name.
 * @throws environmentFailure if the file system refuses
 */
export async function removeFolder(path: string): Promise<void> {
  const removed = asideName(path, 'removed');
  try {
    await rename(path, removed);
    await flushFolder(dirname(path)); // otherwise a crash could keep the deletions and undo the renaming
    await rm(removed, { recursive: true, force: true });
  } catch (error) {
    throw diskFailure(error, 'write', path);
  }
}

/**
 * Deletes what interrupted writes left directly in `folder`, and restores a folder whose replacement was interrupted.
 * Only for the process that holds the run's lock: it would delete the unfinished writes of another one.
 * @returns the paths that were deleted or restored; none if the folder does not exist
 */
export async function removeLeftovers(folder: string): Promise<string[]> {
  const cleared: string[] = [];
  try {
    for (const entry of (await entriesOf(folder)).sort()) {
      const leftover = leftoverOf(entry);
      if (leftover === undefined) continue;
      const path = join(folder, entry);
      const name = join(folder, leftover.name);
      if (leftover.kind === 'replaced' && !(await exists(name))) await rename(path, name);
      else await rm(path, { recursive: true, force: true });
      cleared.push(path);
    }
    if (cleared.length > 0) await flushFolder(folder);
  } catch (error) {
    throw diskFailure(error, 'write', folder);
  }
  return cleared;
}

/** Names in a folder; none if there is no folder at the path. */
export async function entriesOf(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return [];
    throw diskFailure(error, 'read', folder);
  }
}

/** Whether there is anything at the path. */
export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return false;
    throw diskFailure(error, 'read', path);
  }
}

/**
 * Creates a folder and its missing parents, durably.
 * @throws environmentFailure if the file system refuses
 */
export async function makeFolder(path: string): Promise<void> {
  try {
    const folder = resolve(path);
    await flushMade(folder, await makeParents(folder));
  } catch (error) {
    throw diskFailure(error, 'write', path);
  }
}

/** Attempts to create a folder whose parent other processes may remove meanwhile, when they release a lock. */
const mostTries = 10;

/**
 * mkdir -p without flushing. Node's own recursive mkdir reports ENOENT whatever the reason (a read-only file system, a
 * quota), and never returns on file systems that report ENOENT themselves, such as /proc.
 * @param folder an absolute path
 * @returns the first folder that was created; undefined if all existed
 * @throws environmentFailure on such a file system; else the system's error
 */
export async function makeParents(folder: string): Promise<string | undefined> {
  let firstMade: string | undefined;
  for (let tries = 1; tries <= mostTries; tries++) {
    try {
      await mkdir(folder);
      return firstMade ?? folder;
    } catch (error) {
      if (
        errorCode(error) === 'EEXIST' &&
        (await stat(folder).then(
          (stats) => stats.isDirectory(),
          () => false,
        ))
      )
        return firstMade;
      if (errorCode(error) !== 'ENOENT') throw error;
    }
    firstMade = (await makeParents(dirname(folder))) ?? firstMade;
  }
  throw environmentFailure(
    `Cannot create the folder ${folder}: its file system does not allow it. Choose another place.`,
  );
}

/** Flushes the names of the folders that `makeParents` created, from `firstMade` (undefined: none) to `folder`. */
export async function flushMade(folder: string, firstMade: string | undefined): Promise<void> {
  if (firstMade === undefined) return;
  for (let made = folder; made.length >= firstMade.length; made = dirname(made)) await flushFolder(dirname(made));
}

/**
 * Checks the free space before anything is written, so that a full disk leaves nothing half done.
 * @param folder where to write; if it does not exist, its nearest existing parent is checked
 * @param or what else the user can do, for the message
 * @throws environmentFailure with the space needed and free
 */
export async function assertFreeSpace(folder: string, bytes: number, or = 'lower checkpoints.keepLast'): Promise<void> {
  let freeBytes: number;
  try {
    const { bavail, bsize } = await statfs(await nearestFolder(folder));
    freeBytes = bavail * bsize;
  } catch (error) {
    throw diskFailure(error, 'write', folder);
  }
  // Some file systems do not report it (0 blocks of size 0): then the write itself will show.
  if (freeBytes >= bytes || freeBytes < 0) return;
  const megabytes = (count: number): string => (count / 1e6).toFixed(1);
  throw environmentFailure(
    `Cannot write ${folder}: it needs ${megabytes(bytes)} MB, and the disk has ${megabytes(freeBytes)} MB free. ` +
      `Free some space, or ${or}.`,
  );
}

async function nearestFolder(path: string): Promise<string> {
  let folder = resolve(path);
  while (!(await exists(folder)) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}

async function flush(path: string): Promise<void> {
  const handle = await open(path, 'r');
  await handle.sync().finally(() => handle.close());
}

/** Some network file systems cannot flush a folder and report EINVAL or ENOTSUP, which is ignored. */
async function flushFolder(path: string): Promise<void> {
  try {
    await flush(path);
  } catch (error) {
    const code = errorCode(error);
    if (code !== 'EINVAL' && code !== 'ENOTSUP') throw error;
  }
}
