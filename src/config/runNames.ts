/** What the names of runs are made of: they are names of directories, on every system and in every shell. */
import { ConfigError } from '../errors.ts';

export const namePattern = /^[\p{L}\p{N}_-][\p{L}\p{M}\p{N}._-]*$/u;

export const nameRule = "letters, digits, '.', '_' and '-', without a leading dot";

/** A file's base name as a name: characters that a name may not have become '-'. */
export function nameOfFile(baseName: string): string {
  return baseName.replace(/^\.+/, '').replace(/[^\p{L}\p{M}\p{N}._-]/gu, '-') || 'run';
}

/**
 * Refuses a file whose name a run or sweep cannot have as it is, and that gives no other: two such files might become
 * one run.
 * @param remedies further ways on, after the key `name`
 */
export function refuseOtherName(baseName: string, path: string, remedies: string): void {
  const name = nameOfFile(baseName);
  if (name === baseName) return;
  throw new ConfigError(
    `${path}: its run cannot be called ${JSON.stringify(baseName)}, and another file might become ${name} too. Give ` +
      `it a name of ${nameRule}: name: ${name} in the file${remedies}.`,
  );
}
