/**
 * Which config file a run is trained from: two files of one name, in two folders or as a.yaml and a.yml, name the same
 * run directory, and the run of one is not to be taken for that of the other.
 */
import { existsSync, realpathSync, statSync } from 'node:fs';
import { relative, resolve, sep } from 'node:path';
import { wrongInput } from '../errors.ts';
import { shellPath } from '../shellWord.ts';
import { readEnvironment } from './environment.ts';

/** The path that environment.json keeps, relative to the run directory; null for what is not a file, e.g. a pipe. */
export function configNote(runDirectory: string, configPath: string): string | null {
  if (!statSync(configPath, { throwIfNoEntry: false })?.isFile()) return null;
  return relative(resolve(runDirectory), resolve(configPath)).replaceAll(sep, '/');
}

/** The file that the run in a directory was trained from, if it is there and not `configPath`. */
export function otherConfigOf(runDirectory: string, configPath: string | undefined): string | undefined {
  if (configPath === undefined || !existsSync(configPath)) return undefined;
  const noted = readEnvironment(runDirectory)?.config ?? null;
  if (noted === null) return undefined;
  const former = resolve(runDirectory, noted);
  if (!existsSync(former) || realpathSync(former) === realpathSync(configPath)) return undefined;
  return relative(process.cwd(), former);
}

/** @throws wrongInput if the directory has the run of another config file */
export function refuseOtherConfig(runDirectory: string, configPath: string | undefined): void {
  const other = otherConfigOf(runDirectory, configPath);
  if (other === undefined || configPath === undefined) return;
  const shown = relative(process.cwd(), runDirectory);
  throw wrongInput(
    `${shown} is the run of another config, ${other}, not of ${configPath}. Give this one a directory of its own:\n  ` +
      `clm train ${shellPath(configPath)} --run ${shellPath(freeDirectory(shown))}\n` +
      'or another name, by the key name in the file.',
  );
}

/** The path with the first number, from 2 on, that makes it one that does not exist. */
export function freeDirectory(taken: string): string {
  let number = 2;
  while (existsSync(`${taken}-${number}`)) number++;
  return `${taken}-${number}`;
}
