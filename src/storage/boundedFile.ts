/** Reading small files from untrusted places (JSON, YAML). Guarantee: never more than a given number of bytes. */
import { closeSync, openSync, readSync } from 'node:fs';
import { wrongInput } from '../errors.ts';
import { refusePointer } from './pointerFiles.ts';

/** More than any of them needs: the state.json of a checkpoint has about 200 bytes per tensor. */
export const mostTextBytes = 64 << 20;

/**
 * Reads a whole file.
 * @throws wrongInput if there are more than `mostBytes`, whatever size the system reports (0 for pipes and devices), or
 *   if it is a pointer of Git LFS; the system's error if the file cannot be read
 */
export function readBounded(path: string, mostBytes = mostTextBytes): Buffer {
  const file = openSync(path, 'r');
  try {
    const parts: Buffer[] = [];
    let bytes = 0;
    for (;;) {
      const part = Buffer.allocUnsafe(1 << 16);
      const read = readSync(file, part);
      if (bytes === 0) refusePointer(part.subarray(0, read), path);
      if (read === 0) return Buffer.concat(parts, bytes);
      bytes += read;
      if (bytes > mostBytes)
        throw wrongInput(
          `${path} has more than ${mostBytes / 2 ** 20} MiB, too much for this kind of file. Is it the right file?`,
        );
      parts.push(part.subarray(0, read));
    }
  } finally {
    closeSync(file);
  }
}
