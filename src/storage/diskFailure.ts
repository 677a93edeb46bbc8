/**
 * Error codes of the file system as messages for users, for everything that reads or writes a run. Guarantee: the
 * message names the user's path, never a temporary file, and says what to do.
 */
import { dirname } from 'node:path';
import { environmentFailure, ExpectedError, wrongInput } from '../errors.ts';

/** The `code` of a Node system error (`ENOENT` …), if it is one. */
export function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** Failures that already have their message: a read's is kept while another file is written, and the other way. */
const reported = { read: new WeakSet<Error>(), write: new WeakSet<Error>() };

/**
 * The error to throw for a failed read or write: an environment failure with its remedy if the machine is the cause,
 * wrong input if the path is, else the error itself (which may already be an ExpectedError).
 */
export function diskFailure(error: unknown, doing: 'read' | 'write', path: string): unknown {
  if (error instanceof Error && (reported.read.has(error) || (doing === 'read' && reported.write.has(error))))
    return error;
  // A failure reported for a temporary file is reworded with the path that the user knows.
  const cause = error instanceof ExpectedError && error.kind === 'environment' ? error.cause : error;
  const code = errorCode(cause);
  // Only writing meets these: the file being read is not the one that they are about.
  if (doing === 'read' && ['ENOSPC', 'EDQUOT', 'EROFS', 'EFBIG'].includes(code ?? '')) return error;
  if (code === 'EISDIR') return wrongInput(`${path} is a folder, not a file. Choose another name.`, { cause });
  if (code === 'ENAMETOOLONG')
    return wrongInput(`${path} is too long for a path on this file system. Choose a shorter name.`, { cause });
  if (doing === 'write' && (code === 'ENOTDIR' || code === 'EEXIST'))
    return wrongInput(`A part of the path ${path} is a file, not a folder.`, { cause });
  if (
    doing === 'write' &&
    code === 'ENOENT' &&
    dirname((cause as NodeJS.ErrnoException).path ?? '') === dirname(path)
  ) {
    return environmentFailure(
      `Cannot create files in ${dirname(path)}: the folder is gone, or its file system does not allow it. ` +
        'Choose another place.',
      { cause },
    );
  }
  const remedy = remedyOf(code, path);
  if (remedy === undefined) return error;
  const failure = environmentFailure(`Cannot ${doing} ${path}: ${remedy}`, { cause });
  reported[doing].add(failure);
  return failure;
}

/** What is wrong and what to do, for the error codes of disks; undefined for others. */
export function remedyOf(code: string | undefined, path: string): string | undefined {
  switch (code) {
    case 'ENOSPC':
      return 'the disk is full. Free some space, or choose another place.';
    case 'EDQUOT':
      return 'your disk quota is used up. Free some space, or choose another place.';
    case 'EROFS':
      return 'the file system is read-only. Choose another place.';
    case 'EACCES':
    case 'EPERM':
      return `permission denied. Give this user access to ${dirname(path)}, or choose another place.`;
    case 'EINTR':
    case 'EIO':
    case 'ESTALE':
      return 'the disk or network share reports an error. Check it before you continue.';
    case 'ELOOP':
      return 'it is a symbolic link, and clm does not write through symbolic links. Remove the link.';
    case 'EBUSY':
      return 'it is in use, e.g. as a mount point. Choose another name, such as a new folder in it.';
    case 'EMFILE':
    case 'ENFILE':
      return 'too many files are open. Raise the limit (ulimit -n).';
    case 'EFBIG':
      return 'the file grew beyond what the file system or "ulimit -f" allows.';
    default:
      return undefined;
  }
}
