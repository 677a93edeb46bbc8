/**
 * File locks that the kernel keeps: they end with the process that holds them, however it ends, and hold between
 * containers and, on most network file systems, between machines. Node has no such call, so this file is the one
 * place outside runtime/ that calls the C library: fcntl(2), through koffi. That takes 20 ms when it is first needed;
 * a training process loads koffi anyway.
 *
 * Used are "open file description" locks (Linux 3.15). Unlike the older ones of fcntl they survive when the process
 * opens and closes the file once more, and unlike flock(2) a reader can ask for them without taking one. Node opens
 * files with O_CLOEXEC, so programs that a process starts do not inherit its locks.
 *
 * Where they hold: on local file systems (also overlay and tmpfs) between all processes of the machine; on NFS, CIFS,
 * Ceph, GPFS and Lustre between machines too, unless mounted otherwise; on FUSE it is up to the program behind it.
 */
import { closeSync, openSync, readFileSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';

/** `held`: by another open file, of any process. `unsupported`: the file system or the kernel has no such locks. */
export type LockAttempt = 'taken' | 'held' | { unsupported: string };

/** Locks the whole of an open file, without waiting. @param file a descriptor opened for reading and writing */
function tryLock(file: number): LockAttempt {
  const answer = lockCall(file, 'set');
  if ('type' in answer) return keepsOthersOut(file) ? 'taken' : { unsupported: 'its locks keep nobody out' };
  // ESTALE: over NFS, the file has been deleted on another machine, which had locked it.
  return ['EAGAIN', 'EACCES', 'ESTALE'].includes(answer.failed) ? 'held' : { unsupported: answer.failed };
}

/** Some FUSE programs grant every lock, since to their own system they are a single process: bindfs, for one. */
function keepsOthersOut(file: number): boolean {
  let second: number;
  try {
    second = openSync(`/proc/self/fd/${file}`, 'r+');
  } catch {
    return true; // not Linux
  }
  try {
    return 'failed' in lockCall(second, 'set');
  } finally {
    closeSync(second);
  }
}

/** Whether an open file is locked; undefined if there are no such locks there. Takes none, so it disturbs nobody. */
function isLocked(file: number): boolean | undefined {
  const answer = lockCall(file, 'get');
  return 'type' in answer ? answer.type !== platform().unlocked : undefined;
}

/** struct flock and its constants: of Linux on 64-bit processors, and of macOS. */
const platforms = {
  linux: { set: 37, get: 36, writeLock: 1, unlocked: 2, typeAt: 0 }, // l_type, l_whence, l_start, l_len, l_pid
  darwin: { set: 90, get: 92, writeLock: 3, unlocked: 2, typeAt: 20 }, // l_start, l_len, l_pid, l_type, l_whence
};
const platform = () => platforms[process.platform === 'darwin' ? 'darwin' : 'linux'];
const flockBytes = 32;

function lockCall(file: number, command: 'set' | 'get'): { type: number } | { failed: string } {
  const fcntl = loadFcntl();
  if (fcntl === undefined) return { failed: 'koffi cannot be loaded' };
  const { writeLock, typeAt } = platform();
  const request = Buffer.alloc(flockBytes); // l_whence SEEK_SET, l_start and l_len 0: the whole file
  request.writeInt16LE(writeLock, typeAt);
  if (fcntl.call(file, platform()[command], request) === 0) return { type: request.readInt16LE(typeAt) };
  const code = fcntl.errno();
  return { failed: Object.entries(constants.errno).find(([, each]) => each === code)?.[0] ?? `error ${code}` };
}

interface Fcntl {
  call(file: number, command: number, request: Buffer): number;
  errno(): number;
}

let fcntl: Fcntl | undefined;

function loadFcntl(): Fcntl | undefined {
  if (fcntl !== undefined) return fcntl;
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi')['default'];
    const variadic = koffi.load(null).func('int fcntl(int, int, ...)');
    fcntl = {
      call: (file, command, request) => variadic(file, command, 'void *', request) as number,
      errno: () => koffi.errno(),
    };
  } catch {
    return undefined; // `npm ci` left it out, or there is none for this machine
  }
  return fcntl;
}

/** File systems that may keep locks within one machine although several share the files, and options that do so. */
const separateTypes = /^(fuse|9p|virtiofs|beegfs|vboxsf|prl_fs|vmhgfs|afs|davfs)/;
const separateOptions = /(^|,)(nolock|local_lock=(all|posix)|nobrl|localflock)(,|$)/;

/** Whether a process on another machine may hold a lock there that the kernel of this one does not know. */
function mayHideLocks(folder: string): boolean {
  try {
    const real = `${realpathSync(folder)}/`;
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8').trimEnd().split('\n').map(parseMount);
    const around = mounts.filter(({ path }) => real.startsWith(path === '/' ? path : `${path}/`));
    // The longest path, and of equal ones the last, which covers those before it.
    const mount = around.reduce((best, each) => (each.path.length >= best.path.length ? each : best));
    return separateTypes.test(mount.type) || separateOptions.test(mount.options);
  } catch {
    return false; // not Linux
  }
}

/** An object, so that a test can take the place of a file system. */
export const kernelLocks = { tryLock, isLocked, mayHideLocks };

/** A line such as `36 35 0:42 / /mnt/home rw,noatime shared:1 - nfs4 server:/home rw,local_lock=none`. */
export function parseMount(line: string): { path: string; type: string; options: string } {
  const [own = '', superblock = ''] = line.split(' - ');
  const [, , , , path = '', mountOptions = ''] = own.split(' ');
  const [type = '', , options = ''] = superblock.split(' ');
  const unescaped = path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
  return { path: unescaped, type, options: `${mountOptions},${options}` };
}
