// A failure of the set-up that the user can mend: the message alone is printed, with the remedy in it.

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

/** The last lines of a program's output, for the end of a message. */
export function lastLines(/** @type {string} */ output, count = 5) {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  return lines
    .slice(-count)
    .map((line) => `  ${line}`)
    .join('\n');
}
