/** What started this process, as far as it matters to signals: a terminal's foreground, or nohup. */
import { readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import { isatty } from 'node:tty';

interface ProcessFacts {
  pid: number;
  parent: number;
  group: number;
  session: number;
  /** The process group in the foreground of its terminal; -1 without a terminal. */
  foreground: number;
}

/** @throws where there is no /proc, or no such process */
function factsOf(process: number | 'self'): ProcessFacts {
  // PID (name) state parent group session terminal foreground …; the name may contain anything.
  const text = readFileSync(`/proc/${process}/stat`, 'latin1');
  const numbers = text.slice(text.lastIndexOf(')') + 4).split(' ', 5);
  const [parent, group, session, , foreground] = numbers.map(Number);
  return { pid: parseInt(text, 10), parent: parent!, group: group!, session: session!, foreground: foreground! };
}

/** Whether a Ctrl-C typed at the terminal reaches this process. */
export function isInForeground(): boolean {
  try {
    const { group, foreground } = factsOf('self');
    return group === foreground;
  } catch {
    return isatty(0) || isatty(2); // not Linux
  }
}

let isIgnored: boolean | undefined;

/**
 * Whether SIGHUP was ignored when this process was started, as by nohup. Node makes all signals do what they do by
 * default before any JavaScript runs, so that what remains is circumstantial: what nohup leaves behind, and ancestors.
 */
export const isHangupIgnored = (): boolean => (isIgnored ??= isStartedByNohup() || isIgnoredByParent());

/** On Linux nohup takes the terminal from standard input, by a /dev/null that cannot be read. */
function isStartedByNohup(): boolean {
  if (process.platform === 'linux' && isatty(0)) return false;
  if (path.basename(process.env['_'] ?? '') === 'nohup') return true; // set by bash and zsh
  try {
    const flags = /^flags:\s*([0-7]+)/m.exec(readFileSync('/proc/self/fdinfo/0', 'utf8'))?.[1] ?? '0';
    const isWriteOnly = (parseInt(flags, 8) & 3) === 1;
    return isWriteOnly && readlinkSync('/proc/self/fd/0') === '/dev/null';
  } catch {
    return false;
  }
}

/**
 * Ignored signals are inherited: a parent that ignores SIGHUP handed that on, e.g. the shell of a script that nohup
 * started. One that runs Node (npx, npm run, clm sweep) shows it no more than this process does, so its parent is
 * asked. A new session, as terminals and service managers open one, usually begins with signals as they are by default.
 */
function isIgnoredByParent(): boolean {
  try {
    let { pid, parent, session } = factsOf('self');
    while (pid !== session && parent > 1) {
      const ignored = /^SigIgn:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${parent}/status`, 'latin1'))?.[1];
      if ((BigInt(`0x${ignored ?? 0}`) & 1n) === 1n) return true; // SIGHUP is signal 1
      if (path.basename(readlinkSync(`/proc/${parent}/exe`)) !== path.basename(process.execPath)) return false;
      ({ pid, parent, session } = factsOf(parent));
    }
  } catch {
    // not Linux, or another user's process
  }
  return false;
}
