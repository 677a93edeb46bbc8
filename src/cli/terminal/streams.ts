/**
 * Writes to stdout and stderr, so that they get all of a text or the failure has a name. To a file Node writes once and
 * drops what a nearly full disk did not take; so files and devices are written here. A reader that has seen enough
 * (head, less) and closes the pipe is no failure, nor is a terminal that goes away.
 */
import { fstatSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { environmentFailure, type ExpectedError } from '../../errors.ts';
import { errorCode, remedyOf } from '../../storage/diskFailure.ts';

const descriptors = { stdout: 1, stderr: 2 } as const;

/** What becomes of a stdout that cannot be written; without it the command fails. */
let outlive: ((failure: ExpectedError) => void) | undefined;
let isStdoutLost = false;

/** From here on a stdout that cannot be written ends nothing: `report` is called once, and no more is written to it. */
export const outliveStdout = (report: (failure: ExpectedError) => void): void => void (outlive = report);

/**
 * @returns false if the stream has taken enough for now, like `write` of a stream
 * @throws environmentFailure if stdout is a file that cannot be written. Failures of stderr are passed over: nobody
 *   could read of them, and there may be work to save
 */
export function writeTo(name: 'stdout' | 'stderr', text: string): boolean {
  if (name === 'stdout' && isStdoutLost) return true;
  if (!isFile(name)) return process[name].write(text);
  const bytes = Buffer.from(text);
  try {
    for (let done = 0; done < bytes.length; ) done += writeSync(descriptors[name], bytes, done);
  } catch (error) {
    if (name === 'stdout') failStdout(error);
  }
  return true;
}

const kinds = new Map<string, boolean>();

/** Whether it is a file or a device. Pipes, sockets and terminals report their failures as events. */
function isFile(name: 'stdout' | 'stderr'): boolean {
  let known = kinds.get(name);
  if (known === undefined) {
    const stats = fstatSync(descriptors[name]);
    known = !stats.isFIFO() && !stats.isSocket() && !isatty(descriptors[name]);
    kinds.set(name, known);
  }
  return known;
}

function failStdout(error: unknown): void {
  const code = errorCode(error);
  const why = remedyOf(code, 'stdout') ?? (error instanceof Error ? error.message : String(error));
  const failure = environmentFailure(`Cannot write to stdout: ${why}`, { cause: error });
  isStdoutLost = true;
  if (outlive === undefined) throw failure;
  outlive(failure);
}

/** @param fail ends the process, for a failure that nothing outlives */
export function watchStreams(fail: (error: unknown) => void): void {
  process.stdout.on('error', (error) => {
    if (['EPIPE', 'EIO', 'ECONNRESET'].includes(errorCode(error) ?? '')) return;
    try {
      failStdout(error);
    } catch (failure) {
      fail(failure);
    }
  });
  process.stderr.on('error', () => {});
}
