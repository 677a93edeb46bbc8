/** What a process has used of its machine, from which it follows whether it gets on. */
import { readFileSync } from 'node:fs';
import { readMarks, type Marks } from './marks.ts';
import { hasMoved, type Beat, type Usage } from './watch.ts';

/** @returns a function that makes the next heartbeat, to be called with the time since the one before */
export function beatsOf(marks: Marks, networkBytes: () => number): (elapsedMs: number) => Beat {
  const usage = (): Usage => {
    const { user, system } = process.cpuUsage();
    return {
      cpu: user + system,
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
