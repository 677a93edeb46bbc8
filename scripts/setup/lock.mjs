// Keeps two set-ups from writing to the same folder. The lock is the kernel's (flock on an open file), so it
// ends with the last process that holds the file open: a killed set-up leaves no stale lock behind, and its npm or pip,
// if they live on, still keep the next set-up waiting.

import { closeSync, mkdirSync, openSync } from 'node:fs';
import path from 'node:path';
import { heldLocks, runProgram } from './process.mjs';
import { requirePython } from './libtensorflow/python.mjs';

// Node has no flock. Python's locks the open file behind descriptor 3, which it shares with us: the lock stays after
// Python's end. File systems without locks (some network ones) are worked on without.
const lockThroughPython = `
import errno, fcntl, sys
try:
    try:
        fcntl.flock(3, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print('waiting', flush=True)
        fcntl.flock(3, fcntl.LOCK_EX)
except OSError as error:
    if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
        raise
`;

/**
 * Runs `work` while holding the lock `file`, which is made where it is missing and stays.
 * @template T
 * @param {string} file
 * @param {import('./progress.mjs').Progress} progress
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withLock(file, progress, work) {
  mkdirSync(path.dirname(file), { recursive: true });
  const descriptor = openSync(file, 'a');
  try {
    const { status, output } = await runProgram(requirePython(), ['-c', lockThroughPython], {
      locks: [descriptor],
      onOutput: (text) => {
        // Python writes the word and the end of its line apart.
        if (text.includes('waiting')) progress.longStep('Another set-up is running; waiting for it to end.');
      },
    });
    if (status !== 0) throw new Error(`could not lock ${file}: ${output}`);
    heldLocks.add(descriptor);
    return await work();
  } finally {
    heldLocks.delete(descriptor);
    closeSync(descriptor);
  }
}
