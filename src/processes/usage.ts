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
      waitedNs: waitedNs(),
      networkBytes: networkBytes(),
      fileBytes: fileBytes(),
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

/** Bytes that the process has read and written by calls on files. */
function fileBytes(): number {
  try {
    const text = readFileSync('/proc/self/io', 'latin1');
    return Number(/^rchar: (\d+)/m.exec(text)?.[1]) + Number(/^wchar: (\d+)/m.exec(text)?.[1]);
  } catch {
    return 0; // not Linux
  }
}

/** How long the threads of this process, but for the calling one, have waited for a core. */
function waitedNs(): number {
  let sum = 0;
  try {
    const own = readlinkSync('/proc/thread-self').replace(/.*\//, '');
    for (const thread of readdirSync('/proc/self/task')) {
      if (thread !== own) sum += waitOf(`/proc/self/task/${thread}/schedstat`);
    }
  } catch {
    // not Linux, or a kernel that does not count it
  }
  return sum;
}

function waitOf(file: string): number {
  try {
    return Number(readFileSync(file, 'latin1').split(' ')[1]);
  } catch {
    return 0; // the thread has ended
  }
}
