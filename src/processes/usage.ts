/** What a process has used of its machine, from which it follows whether it gets on. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { readMarks, type Marks } from './marks.ts';
import { hasMoved, type Beat, type Usage } from './watch.ts';

/** @returns a function that makes the next heartbeat, to be called with the time since the one before */
export function beatsOf(marks: Marks, networkBytes: () => number): (elapsedMs: number) => Beat {
  const usage = (): Usage => {
    const { user, system } = process.cpuUsage();
    return {
      cpu: user + system,
      waitedNs: waitedNs('self', ownThread()),
      networkBytes: networkBytes(),
      fileBytes: fileBytes('self') + process.resourceUsage().majorPageFault * pageBytes,
      changes: readMarks(marks).changes,
    };
  };
  let before = usage();
  return (elapsedMs) => {
    const now = usage();
    const moved = hasMoved(before, now, elapsedMs);
    before = now;
    const { activity, step } = readMarks(marks);
    return { activity, step, hasMoved: moved };
  };
}

/** Microseconds in a unit in which Linux counts processor time (USER_HZ is 100 on all machines that clm runs on). */
const tickMicroseconds = 10_000;
const pageBytes = 4096;

/**
 * What another process of this machine has used, and whether it is stopped, e.g. by SIGSTOP.
 * @returns undefined if it has ended, or the system does not say
 */
export function usageOf(pid: number): (Usage & { isStopped: boolean }) | undefined {
  try {
    // From field 3 on: state, …, 12 major page faults, 14 and 15 processor time (proc_pid_stat(5)).
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ');
    const field = (number: number): number => Number(fields[number - 3]);
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    return {
      isStopped: fields[0] === 'T' || fields[0] === 't',
      cpu: (field(14) + field(15)) * tickMicroseconds,
      waitedNs: waitedNs(pid),
      networkBytes: 0,
      fileBytes: fileBytes(pid) + field(12) * pageBytes,
      changes: 0,
    };
  } catch {
    return undefined;
  }
}

function fileBytes(pid: number | 'self'): number {
  try {
    return fileBytesIn(readFileSync(`/proc/${pid}/io`, 'latin1'));
  } catch {
    return 0; // not Linux
  }
}

/** What a call moves by which a thread wakes another one; V8 makes thousands of them to collect garbage. */
const wakingBytes = 8;

/** Bytes that a process has read and written by calls on files. @param io its counts, as Linux lists them */
export function fileBytesIn(io: string): number {
  const of = (name: string): number => Number(new RegExp(`^${name}: (\\d+)`, 'm').exec(io)?.[1]);
  return of('rchar') + of('wchar') - wakingBytes * (of('syscr') + of('syscw'));
}

/** How long the threads of a process, but for one, have waited for a core. */
function waitedNs(pid: number | 'self', without?: string): number {
  let sum = 0;
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      if (thread !== without) sum += waitOf(`/proc/${pid}/task/${thread}/schedstat`);
    }
  } catch {
    // not Linux, or a kernel that does not count it
  }
  return sum;
}

function ownThread(): string {
  try {
    return readlinkSync('/proc/thread-self').replace(/.*\//, '');
  } catch {
    return ''; // not Linux
  }
}

function waitOf(file: string): number {
  try {
    return Number(readFileSync(file, 'latin1').split(' ')[1]);
  } catch {
    return 0; // the thread has ended
  }
}
