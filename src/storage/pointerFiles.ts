/** Files that stand for another one, which has not been downloaded: pointers of Git LFS and git-annex. */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { wrongInput } from '../errors.ts';

/** Bytes at the start of a file that show whether it is a pointer. */
export const pointerBytes = 64;

/**
 * @param head the first `pointerBytes` bytes of the file, or all of it
 * @throws wrongInput for a pointer of Git LFS or git-annex, with the command that downloads the file
 */
export function refusePointer(head: Uint8Array, path: string): void {
  const text = Buffer.from(head.subarray(0, pointerBytes)).toString('latin1');
  if (/^version https:\/\/(?:git-lfs\.github\.com|hawser\.github\.com)\/spec\//.test(text))
    throw wrongInput(
      `${path} is a Git LFS pointer, not the file itself: git lfs pull, or download the file from where the ` +
        'repository is shown.',
    );
  if (/^\/annex\/objects\//.test(text))
    throw wrongInput(`${path} is a git-annex pointer, not the file itself: git annex get downloads it.`);
}

/** As `refusePointer`, for a file that has not been opened. A file that cannot be read is left to its reader. */
export function refusePointerAt(path: string): void {
  const head = Buffer.alloc(pointerBytes);
  let bytes: number;
  try {
    if (!statSync(path).isFile()) return; // reading a pipe would take its bytes away
    const file = openSync(path, 'r');
    try {
      bytes = readSync(file, head, 0, pointerBytes, 0);
    } finally {
      closeSync(file);
    }
  } catch {
    return;
  }
  refusePointer(head.subarray(0, bytes), path);
}
