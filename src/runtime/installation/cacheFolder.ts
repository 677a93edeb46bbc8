/** The cache folder, which holds a copy of libtensorflow for each package that has another one: what is there. */
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** `clm` below the XDG cache folder. A relative XDG_CACHE_HOME is ignored, as the XDG specification says. */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  const base = env['XDG_CACHE_HOME'];
  return path.join(base !== undefined && path.isAbsolute(base) ? base : path.join(os.homedir(), '.cache'), 'clm');
}

/** A folder of the cache that holds libtensorflow. */
export interface CachedCopy {
  path: string;
  bytes: number;
  /** Unpacked by an npm package, left behind by an unpacking that was killed, or made by the set-up of a clone. */
  kind: 'package' | 'remains' | 'clone';
  lastUsed: Date;
}

/** All copies of libtensorflow in the cache. */
export function cachedCopies(cache: string = cacheFolder()): CachedCopy[] {
  return foldersIn(cache).flatMap((name) => {
    const folder = path.join(cache, name);
    const kind = name.includes(partialMark)
      ? 'remains'
      : name.startsWith('libtensorflow-')
        ? 'package'
        : /^tensorflow-[\d.]+-/.test(name)
          ? 'clone'
          : undefined;
    if (kind === undefined || (kind === 'remains' && isBeingWritten(folder))) return [];
    return [{ path: folder, bytes: bytesBelow(folder), kind, lastUsed: lastChange(folder) }];
  });
}

/** Removes the copies that packages have unpacked, except the one in use, and what killed unpackings left behind. */
export function clearCopies(inUse: string | undefined, cache: string = cacheFolder()): CachedCopy[] {
  const old = cachedCopies(cache).filter((copy) => copy.kind !== 'clone' && copy.path !== inUse);
  for (const copy of old) rmSync(copy.path, { recursive: true, force: true });
  return old;
}

const partialMark = '.partial-';

/** The beginning of the name of a folder in which this process unpacks what will be `folder`. */
export const partialPrefix = (folder: string): string => `${folder}${partialMark}${machineId()}-${process.pid}-`;

/** Removes what unpackings left behind that were killed. */
export function removeRemains(cache: string): void {
  for (const name of foldersIn(cache)) {
    const folder = path.join(cache, name);
    if (name.includes(partialMark) && !isBeingWritten(folder)) rmSync(folder, { recursive: true, force: true });
  }
}

const oneHourMs = 3_600_000;

/** Does a process still unpack into this folder? Of one on another machine or in a container only its files tell. */
function isBeingWritten(folder: string): boolean {
  const [, machine, pid] = /\.partial-(\w+)-(\d+)-/.exec(folder) ?? [];
  if (machine !== machineId()) return Date.now() - lastChange(folder).getTime() < oneHourMs;
  try {
    process.kill(Number(pid), 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Tells apart machines, and containers of one machine, that share a cache folder: their process numbers differ. */
function machineId(): string {
  let boot = '';
  try {
    boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8') + readlinkSync('/proc/self/ns/pid');
  } catch {
    // not Linux
  }
  return createHash('sha256').update(`${os.hostname()} ${boot}`).digest('hex').slice(0, 12);
}

const foldersIn = (folder: string): string[] => {
  try {
    const entries = readdirSync(folder, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch {
    return [];
  }
};

/** When a file in the folder, or its list of files, was last changed; each start touches the folder. */
function lastChange(folder: string): Date {
  const names = ['.', ...entriesOf(folder)];
  const times = names.map((name) => lstatSync(path.join(folder, name), { throwIfNoEntry: false })?.mtimeMs ?? 0);
  return new Date(Math.max(...times));
}

function bytesBelow(folder: string): number {
  let bytes = 0;
  for (const name of entriesOf(folder)) {
    const file = path.join(folder, name);
    const stat = lstatSync(file, { throwIfNoEntry: false });
    bytes += stat?.isDirectory() ? bytesBelow(file) : (stat?.size ?? 0);
  }
  return bytes;
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // removed meanwhile
  }
}
