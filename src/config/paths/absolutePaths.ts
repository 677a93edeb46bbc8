/**
 * Where the paths of a config lead: they are relative to the file they are written in, and absolute in a `Config`.
 * Those in the config.yaml of a run or a checkpoint lead to a second place too, where they led when it was written.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { wrongInput, type ExpectedError } from '../../errors.ts';
import { renderKeyPath, valueAt, withValue, type KeyPath, type LocatedScalar, type LocatedValue } from '../located.ts';
import type { Config } from '../schema.ts';

const standardInput = '-';

const pathKeys = (sources: number): KeyPath[] => [
  ['start', 'from'],
  ...Array.from({ length: sources }, (_, i) => ['corpus', 'sources', i, 'path']),
  ['corpus', 'validation', 'path'],
  ['corpus', 'cache'],
  ['tokenizer', 'path'],
  ['tokenizer', 'chatTemplate'],
];

/** A path with nothing where it is relative to its config. */
export interface FormerPath {
  key: KeyPath;
  missing: string;
  /** Where it was at first, and is taken from if there is something. */
  former: string;
  isFound: boolean;
}

/** What is done with paths that lead to two places: one relative to the file, and the former absolute one. */
export interface PathChoice {
  /** Takes the former ones wherever there is something; by default only if there is nothing at the relative ones. */
  prefersFormer?: boolean;
  onFormer?: (path: FormerPath) => void;
}

/** Makes every path of the config absolute, relative to where it was written. */
export function withAbsolutePaths(tree: LocatedValue, choice: PathChoice = {}): LocatedValue {
  const sources = valueAt(tree, ['corpus', 'sources']);
  return pathKeys(sources?.kind === 'list' ? sources.items.length : 0).reduce((result, key) => {
    const path = valueAt(tree, key);
    if (path?.kind !== 'scalar' || !isPath(path.value)) return result;
    return withValue(result, key, { ...path, value: absolutePath({ ...path, value: path.value }, key, choice) });
  }, tree);
}

/** Whether a value is a path, rather than null or standard input. */
export const isPath = (value: unknown): value is string =>
  typeof value === 'string' && value !== '' && value !== standardInput;

/** The absolute path of one that is written in a config. */
export function absolutePath(
  { origin, value }: LocatedScalar & { value: string },
  key: KeyPath,
  { prefersFormer = false, onFormer }: PathChoice = {},
): string {
  const path = resolve(origin.directory, value);
  const former = origin.formerPaths?.get(value);
  if (former === undefined || former === path) return path;
  const [isMissing, isFound] = [!isThere(path), isThere(former)];
  if (isMissing) onFormer?.({ key, missing: path, former, isFound });
  return isFound && (prefersFormer || isMissing) ? former : path;
}

/** A config whose paths were looked for in two places, where it has two for some. */
export interface PlacedConfig {
  config: Config;
  /** The same with its paths as they were when it was written, if something is there and they lead elsewhere now. */
  formerConfig?: Config | undefined;
  /** Those with nothing where they are relative to it. */
  formerPaths?: FormerPath[];
}

/** @param read a config, with this choice */
export function placedConfig(read: (choice: PathChoice) => Config): PlacedConfig {
  const formerPaths: FormerPath[] = [];
  const config = read({ onFormer: (each) => formerPaths.push(each) });
  const formerConfig = read({ prefersFormer: true });
  return { config, formerPaths, formerConfig: isDeepStrictEqual(config, formerConfig) ? undefined : formerConfig };
}

/** The refusal of a corpus, with where its missing files were when the run was written. */
export function withFormerPlaces(refusal: ExpectedError, { formerPaths = [] }: PlacedConfig): ExpectedError {
  const lost = formerPaths.filter(({ key, isFound }) => !isFound && key[0] === 'corpus' && key[1] !== 'cache');
  if (lost.length === 0) return refusal;
  const places = lost.map(({ former }) => former).join(', ');
  return wrongInput(
    `${refusal.message}\nWhen the run was written, it was ${places}. A config that names it elsewhere can be given ` +
      'when resuming.',
    { cause: refusal },
  );
}

export const formerNote = ({ key, missing, former }: FormerPath): string =>
  `${renderKeyPath(key)}: ${missing} does not exist; taken from ${former}`;

/** What to say of paths that were taken from where they were. @param used the one of the two configs that is used */
export function pathNotes({ config, formerPaths = [] }: PlacedConfig, used: Config): string[] {
  const notes = formerPaths.filter(({ isFound }) => isFound).map(formerNote);
  if (config === used) return notes;
  const places = ({ corpus }: Config): string => corpus.sources.map((source) => source.path).join(', ');
  return [...notes, `corpus: ${places(config)} is not the text that the run began with; taken from ${places(used)}`];
}

/** Whether there is a file or folder at the path or, if it is a glob, files that it matches. */
function isThere(path: string): boolean {
  if (existsSync(path)) return true;
  if (!/[*?[\]{}()!+@]/.test(path)) return false;
  // Loaded when a moved run has a glob, since commands that read no corpus need no glob.
  const { globSync } = createRequire(import.meta.url)('tinyglobby') as typeof import('tinyglobby');
  return globSync(path, { absolute: true, onlyFiles: true, expandDirectories: false }).length > 0;
}
