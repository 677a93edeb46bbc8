/** What the file system's error codes mean to the user, for everything that reads or writes a run. */
import { dirname } from 'node:path';
import { environmentFailure, ExpectedError, wrongInput } from '../errors.ts';

/** The `code` of a Node system error (`ENOENT` …), if it is one. */
export function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/**
 * Failures to read that have been told: they name the file that could not be read, whatever was to be written from it.
 */
const toldReads = new WeakSet<Error>();

/**
 * The error to throw for a failed read or write: an environment failure with its remedy where the machine is to blame,
 * wrong input where the path is, else the error itself (so it may already be one of ours).
 */
export function diskFailure(error: unknown, doing: 'read' | 'write', path: string): unknown {
  if (error instanceof Error && toldReads.has(error)) return error;
  // A failure already reported for a temporary file is told anew with the path that the user knows.
  const cause = error instanceof ExpectedError && error.kind === 'environment' ? error.cause : error;
  const code = errorCode(cause);
  if (code === 'EISDIR')
    return wrongInput(`${path} is a folder, where a file should be. Choose another name.`, { cause });
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
      `Nothing can be made in ${dirname(path)}: the folder is gone, or its file system does not allow it. Choose another place.`,
      { cause },
    );
  }
  const remedy = remedyOf(code, path);
  if (remedy === undefined) return error;
  const failure = environmentFailure(`Cannot ${doing} ${path}: ${remedy}`, { cause });
  if (doing === 'read') toldReads.add(failure);
  return failure;
}

function remedyOf(code: string | undefined, path: string): string | undefined {
  switch (code) {
    case 'ENOSPC':
      return 'the disk is full. Free some space (or lower checkpoints.keepLast) and continue with --resume.';
    case 'EDQUOT':
      return 'your disk quota is used up. Free some space and continue with --resume.';
    case 'EROFS':
      return 'the file system is read-only. Choose a run directory elsewhere with --run.';
    case 'EACCES':
    case 'EPERM':
      return `permission denied. Give this user access to ${dirname(path)}, or choose another place with --run.`;
    case 'EINTR':
    case 'EIO':
    case 'ESTALE':
      return 'the disk or network share reports an error. Check it before you go on.';
    case 'ELOOP':
      return 'a symbolic link stands in its place, and clm writes through none. Remove the link.';
    case 'EMFILE':
    case 'ENFILE':
      return 'too many files are open. Raise the limit (ulimit -n).';
    case 'EFBIG':
      return 'the file grew beyond what the file system or "ulimit -f" allows.';
    default:
      return undefined;
  }
}
