/**
 * The process that holds the lock of a run directory, as `run.lock` describes it: for messages, for readers, and to
 * tell whether it still runs where the kernel cannot.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { wrongInput } from '../errors.ts';
import { readBounded } from '../storage/boundedFile.ts';
import { diskFailure, errorCode } from '../storage/diskFailure.ts';
import { kernelLocks } from '../storage/kernelLock.ts';

/** The process that holds a lock. Process ids are reused, so its start time is part of its identity. */
export interface LockHolder {
  pid: number;
  /** Start of the process in clock ticks since boot (/proc); null if the system does not report it. */
  startTicks: string | null;
  /** Identifies the running kernel: the same id under another host name is a container on this machine. */
  bootId: string | null;
  /** Process ids are only valid within their container. */
  pidNamespace: string | null;
  host: string;
  lockedAt: string;
  nonce: string;
  /** Whether the kernel holds the lock too, and so decides. Absent in locks of earlier versions of clm. */
  kernelLock?: boolean;
}

/** Who the file names; undefined if it does not exist, and `torn` if it is being written or a crash has torn it. */
export function holderOf(path: string): LockHolder | undefined {
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

/** Whether the process that a lock names still runs. @param lock what the kernel says of the lock, if it can tell */
export function fateOf(holder: LockHolder, path: string, lock: 'free' | 'unknown'): 'alive' | 'gone' | 'unknown' {
  if (holder.nonce === 'torn') return 'gone';
  const here = thisProcess();
  const isOnThisKernel = holder.bootId !== null && holder.bootId === here.bootId;
  if (lock === 'free' && holder.kernelLock === true) {
    return isOnThisKernel || holder.host === here.host || !kernelLocks.mayHideLocks(dirname(path)) ? 'gone' : 'unknown';
  }
  if (holder.bootId !== null && here.bootId !== null) {
    if (!isOnThisKernel) return holder.host === here.host ? 'gone' : 'unknown';
    if (holder.pidNamespace !== here.pidNamespace) return 'unknown';
  } else if (holder.host !== here.host) return 'unknown';
  if (!isRunning(holder.pid)) return 'gone';
  return holder.startTicks !== null && startTicksOf(holder.pid) !== holder.startTicks ? 'gone' : 'alive';
}

/** The lock of this process, not yet taken. */
export function thisProcess(): LockHolder {
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

/** The error if the holder runs: who it is, where, since when, and what to do. */
export function heldByAnother(holder: LockHolder | undefined, path: string): Error {
  const folder = dirname(path);
  const otherDirectory = 'or choose another directory with --run.';
  if (holder === undefined || holder.nonce === 'torn') {
    return wrongInput(`${folder} is being written by another process. Wait for it, ${otherDirectory}`);
  }
  const { pid, host, lockedAt, kernelLock } = holder;
  const here = thisProcess();
  const isOnThisKernel = holder.bootId === here.bootId && holder.bootId !== null;
  const isContained = isOnThisKernel && holder.pidNamespace !== here.pidNamespace;
  const where = isContained ? ` in another container of this machine, ${host}` : ` on ${host}`;
  const canBeKilled = !isContained && (isOnThisKernel || host === here.host);
  const stop = canBeKilled ? `stop it with: kill ${pid},` : 'stop it there,';
  // Without the kernel's lock, nothing tells a copy of a run from the run itself.
  const copied = kernelLock === true ? '' : ` If this is a copy of the directory of that process, delete ${path}.`;
  return wrongInput(
    `${folder} is being written by process ${pid}${where} (since ${lockedAt}). Wait for it, ${stop} ` +
      `${otherDirectory}${copied}`,
  );
}

/** The error if only the machine or container of the holder can tell whether it still runs. */
export const uncheckable = ({ pid, host, lockedAt }: LockHolder, path: string): Error =>
  wrongInput(
    `${dirname(path)} is locked by process ${pid} on ${host} (since ${lockedAt}) on another machine or in another ` +
      `container, which cannot be checked from here. If that run has ended, delete ${path} and start again.`,
  );
