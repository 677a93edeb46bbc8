// A failure of the set-up that the user can fix: only its message is printed, which names the remedy.

/** Exit codes of the set-up, the same as those of clm itself. */
export const exitCodes = { bug: 1, wrongUsage: 2, environment: 3 };

/** Thrown for everything that is no bug of ours; `setup.mjs` prints the message and exits with `exitCode`. */
export class SetupFailure extends Error {
  /**
   * @param {string} message what happened and what to do about it
   * @param {number} [exitCode]
   */
  constructor(message, exitCode = exitCodes.environment) {
    super(message);
    this.name = 'SetupFailure';
    this.exitCode = exitCode;
  }
}

/** @type {Record<string, string>} */
const remedies = {
  ENOSPC: 'the disk is full: free some space and run the set-up again',
  EDQUOT: 'your disk quota is used up: free some space and run the set-up again',
  EROFS: 'the file system is read-only: set up a clone elsewhere, or set XDG_CACHE_HOME to another folder',
  EACCES: 'permission denied: make it writable for this user, or set XDG_CACHE_HOME to another folder',
  EPERM: 'permission denied: make it writable for this user, or set XDG_CACHE_HOME to another folder',
  EIO: 'the disk reports an error: check it and run the set-up again',
  EMFILE: 'too many files are open: raise the limit (ulimit -n)',
};

/** A refusal of the file system, told with its remedy; any other error as it is. @param {unknown} error */
export function explained(error) {
  const { code = '', path: file, dest } = /** @type {NodeJS.ErrnoException & { dest?: string }} */ (error ?? {});
  const remedy = Object.hasOwn(remedies, code) ? remedies[code] : undefined;
  return remedy === undefined || error instanceof SetupFailure
    ? error
    : new SetupFailure(`${dest ?? file ?? 'a file'} cannot be written: ${remedy}.`);
}

/** The last lines of a program's output, for the end of a message. */
export function lastLines(/** @type {string} */ output, count = 5) {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  return lines
    .slice(-count)
    .map((line) => `  ${line}`)
    .join('\n');
}
