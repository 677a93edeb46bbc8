/**
 * Durable writes: a file or folder is made aside under a temporary name in the same parent, flushed, and
 * renamed into place, so that under its own name it is whole or absent, whenever the machine stops.
 * Everything the run directory must not lose goes through here.
 */
import { mkdir, open, readdir, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { environmentFailure } from '../errors.ts';
import { diskFailure, errorCode } from './diskFailure.ts';

/** unfinished: being written. replaced: the predecessor while its successor takes the name. removed: being deleted. */
type Leftover = 'unfinished' | 'replaced' | 'removed';

const leftoverPattern = /^\.(.+)\.clm-(unfinished|replaced|removed)-[0-9a-z-]+$/;
let namesGiven = 0;

/** The time is in the name because in a container every process may have the same id. */
const asideName = (path: string, kind: Leftover): string =>
  join(dirname(path), `.${basename(path)}.clm-${kind}-${process.pid}-${Date.now().toString(36)}-${namesGiven++}`);

/** What a directory entry is left over from, or undefined for an ordinary name. */
export function leftoverOf(entry: string): { name: string; kind: Leftover } | undefined {
  const match = leftoverPattern.exec(entry);
  return match === null ? undefined : { name: match[1]!, kind: match[2] as Leftover };
}

/**
 * Replaces a file by new contents; before and after a crash it has the old contents or the new.
 * @throws environmentFailure naming the path when the disk is full, read-only or closed to us
 */
export const writeFileDurably = (path: string, contents: string | Uint8Array): Promise<void> =>
  replaceFileDurably(path, (temporaryPath) => writeFile(temporaryPath, contents, { flag: 'wx' }));

/**
 * As `writeFileDurably`, for contents that are not in memory: `write` makes the file it is given.
 * @throws environmentFailure as `writeFileDurably`; whatever `write` throws
 */
export async function replaceFileDurably(path: string, write: (temporaryPath: string) => Promise<void>): Promise<void> {
  const temporaryPath = asideName(path, 'unfinished');
  try {
    await makeFolder(dirname(path));
    await write(temporaryPath);
    await flush(temporaryPath);
    await rename(temporaryPath, path);
    await flushFolder(dirname(path));
  } catch (error) {
    await rm(temporaryPath, { force: true }).catch(() => undefined); // the failure itself is what matters
    throw diskFailure(error, 'write', path);
  }
}

/** Appends all of `bytes`, which one write need not do. */
export async function writeFully(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) done += (await file.write(bytes, done)).bytesWritten;
}

/**
 * Makes a folder with everything in it, or replaces the one of that name. `fill` writes files (no
 * subfolders) into the folder it is given.
 * @throws environmentFailure as `writeFileDurably`; whatever `fill` throws; what stood there is then untouched
 */
export async function writeFolderDurably(path: string, fill: (folder: string) => Promise<void>): Promise<void> {
  const temporaryPath = asideName(path, 'unfinished');
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
  }
}

/**
 * A folder cannot be renamed over one that holds files, so the old one steps aside first; a crash between
 * the two renames leaves it as `replaced`, which `removeLeftovers` puts back.
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
 * Deletes a folder so that a crash never leaves half of it under its own name.
 * @throws environmentFailure when the file system refuses
 */
export async function removeFolder(path: string): Promise<void> {
  const removed = asideName(path, 'removed');
  try {
    await rename(path, removed);
    await flushFolder(dirname(path)); // else the loss of its files may outlive a crash, and the new name not
    await rm(removed, { recursive: true, force: true });
  } catch (error) {
    throw diskFailure(error, 'write', path);
  }
}

/**
 * Clears what interrupted writes left directly in `folder`, and puts back a folder that was stopped while
 * being replaced. Only for the process that owns the run: it would take another one's unfinished writes.
 * @returns the paths that were cleared; none when the folder does not exist
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

/** Names in a folder; none when there is no folder there. */
export async function entriesOf(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return [];
    throw diskFailure(error, 'read', folder);
  }
}

/** Whether anything has this path. */
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
 * Makes a folder and its missing parents, durably.
 * @throws environmentFailure when the file system refuses
 */
export async function makeFolder(path: string): Promise<void> {
  try {
    const folder = resolve(path);
    await flushMade(folder, await makeParents(folder));
  } catch (error) {
    throw diskFailure(error, 'write', path);
  }
}

/** Tries at a folder whose parent others, who give a lock back, may remove in between. */
const mostTries = 10;

/**
 * mkdir -p, not yet flushed, one by one: Node's own says ENOENT whatever the reason is that a folder is refused (a
 * read-only file system, a quota), and never ends where that is what the file system says, as /proc does.
 * @param folder an absolute path
 * @returns the first folder that was made; undefined where all were there
 * @throws environmentFailure for such a file system; what the system says to anything else that is in the way
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
    `Cannot make the folder ${folder}: its file system lets nothing be made there. Choose another place.`,
  );
}

/** Flushes the names of the folders from `firstMade` down to `folder`, as `makeParents` made them; undefined: none. */
export async function flushMade(folder: string, firstMade: string | undefined): Promise<void> {
  if (firstMade === undefined) return;
  for (let made = folder; made.length >= firstMade.length; made = dirname(made)) await flushFolder(dirname(made));
}

/**
 * Asks for the space before anything is written, so that a full disk is met with nothing half done.
 * @param folder the place, or the nearest parent that exists
 * @throws environmentFailure saying how much is missing
 */
export async function assertFreeSpace(folder: string, bytes: number): Promise<void> {
  let freeBytes: number;
  try {
    const { bavail, bsize } = await statfs(await nearestFolder(folder));
    freeBytes = bavail * bsize;
  } catch (error) {
    throw diskFailure(error, 'write', folder);
  }
  // Some file systems do not say (0 blocks of size 0): the write itself will tell.
  if (freeBytes >= bytes || freeBytes < 0) return;
  const megabytes = (count: number): string => (count / 1e6).toFixed(1);
  throw environmentFailure(
    `Cannot write ${folder}: ${megabytes(bytes)} MB are needed, the disk has ${megabytes(freeBytes)} MB free. ` +
      'Free some space (or lower checkpoints.keepLast) and continue with --resume.',
  );
}

async function nearestFolder(path: string): Promise<string> {
  let folder = resolve(path);
  while (!(await exists(folder)) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}

async function flush(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Some network file systems cannot flush a folder and say EINVAL or ENOTSUP: then there is nothing to do. */
async function flushFolder(path: string): Promise<void> {
  try {
    await flush(path);
  } catch (error) {
    const code = errorCode(error);
    if (code !== 'EINVAL' && code !== 'ENOTSUP') throw error;
  }
}
