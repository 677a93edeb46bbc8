/** Small files from anywhere (JSON, YAML): read whole, but never without end. */
import { closeSync, openSync, readSync } from 'node:fs';
import { wrongInput } from '../errors.ts';

/** More than any of them needs: the table of contents of a checkpoint has about 200 bytes a tensor. */
export const mostTextBytes = 64 << 20;

/**
 * @throws wrongInput where there is more than `mostBytes`, whatever the system says the size is (a pipe or a device
 *   says 0); what the system says of a file that cannot be read
 */
export function readBounded(path: string, mostBytes = mostTextBytes): Buffer {
  const file = openSync(path, 'r');
  try {
    const parts: Buffer[] = [];
    let bytes = 0;
    for (;;) {
      const part = Buffer.allocUnsafe(1 << 16);
      const read = readSync(file, part);
      if (read === 0) return Buffer.concat(parts, bytes);
      bytes += read;
      if (bytes > mostBytes)
        throw wrongInput(
          `${path} has more than ${mostBytes / 2 ** 20} MiB, too much for what it should be. Is it the right file?`,
        );
      parts.push(part.subarray(0, read));
    }
  } finally {
    closeSync(file);
  }
}
