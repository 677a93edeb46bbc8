/**
 * Loads a YAML file and `--set` flags into the frozen, complete `Config`. Layers, each overriding the one before: the
 * defaults of the schema, the files named by `extends`, the file itself, the flags. Stage: config (src/README.md).
 */
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, extname, isAbsolute, join, resolve } from 'node:path';
import { environmentFailure, wrongInput } from '../errors.ts';
import { refusePointerAt } from '../storage/pointerFiles.ts';
import { withoutReplaced } from './choices.ts';
import { crossProblems } from './crossChecks.ts';
import { interpolated } from './interpolation.ts';
import { location, mergeLocated, originsIn, parseLocated, plainValue, valueAt, withValue } from './located.ts';
import type { LocatedMapping, LocatedValue } from './located.ts';
import { applyOverride } from './overrides.ts';
import { withPreset } from './presets.ts';
import { problemsError, schemaProblems } from './problems.ts';
import { nameOfFile, refuseOtherName } from './runNames.ts';
import { configSchema } from './schema.ts';
import type { Config } from './schema.ts';
import { defaultTail } from './sections/corpus.ts';
import { withStartingRun } from './startingRun.ts';
import { defaultSteps } from './sections/training.ts';

const maxConfigBytes = 1 << 20;

interface LoadOptions {
  set?: readonly string[];
  resumed?: ((name: string) => string) | undefined;
  namesRun?: boolean;
  onReplaced?: ((message: string) => void) | undefined;
}

/**
 * Reads a config file and everything it extends, applies the `--set` flags, checks it and fills in the defaults.
 * Relative paths become absolute: relative to the file they are written in, those of a flag to the working directory.
 * Loads nothing native and does not read the corpus.
 *
 * @param options.set assignments such as `model.layers=6`; later ones override earlier ones
 * @param options.resumed maps the name of the run to the config.yaml of the run to resume; if that file exists, it is
 *   used in place of the run in `start.from`, which may have been deleted
 * @param options.namesRun whether the run is kept under its name: then a file must give one if its own will not do
 * @param options.onReplaced called for each value of a file that a flag replaces because both exclude each other
 * @throws wrongInput with one line per problem: file:line:column (or the flag), the key, the value required
 * @throws environmentFailure if permission to read a file is denied
 */
export function loadConfig(
  path: string,
  { set = [], resumed, namesRun = false, onReplaced = () => {} }: LoadOptions = {},
): Config {
  const layers = set.reduce<LocatedValue>(applyOverride, withoutReplaced(readLayers(path, [], ''), set, onReplaced));
  const defaultName = basename(path, extname(path));
  if (namesRun && valueAt(layers, ['name']) === undefined) refuseOtherName(defaultName, path, ', or --run DIR');
  const tree = interpolated(withName(layers, defaultName));
  const resumedConfig = resumed?.(String(plainValue(valueAt(tree, ['name'])!)));
  const isResumed = resumedConfig !== undefined && existsSync(resumedConfig);
  const withStart = withStartingRun(tree, (startConfig, namedAt) =>
    readRunConfig(isResumed ? resumedConfig : startConfig, namedAt),
  );
  return completeConfig(withStart, defaultName);
}

/** The config of the run in `start.from`, which is written at `namedAt`. */
function readRunConfig(path: string, namedAt: LocatedValue): Config {
  return parseResolvedConfig(readConfigText(path, `${location(namedAt.origin)}: start.from is not a run: `), path);
}

/**
 * Parses the text of `renderConfig`, from a run directory or a checkpoint.
 *
 * @param path the file the text was read from, for messages
 * @throws wrongInput as `loadConfig` does
 */
export function parseResolvedConfig(text: string, path: string): Config {
  return completeConfig(interpolated(parseMapping(text, path)), basename(path, extname(path)));
}

/**
 * The file at `path`, merged over those it extends.
 *
 * @param above real paths of the files that led here, each extending the next
 * @param namedAt where the path was written, for messages; empty for the command line
 */
function readLayers(path: string, above: readonly string[], namedAt: string): LocatedMapping {
  const tree = parseMapping(readConfigText(path, namedAt), path);
  const realPath = realpathSync(path);
  if (above.includes(realPath)) {
    const circle = [...above.slice(above.indexOf(realPath)), realPath].map((file) => basename(file)).join(' → ');
    throw wrongInput(`${namedAt}circular extends: ${circle}`);
  }
  const extended = tree.entries.get('extends')?.value;
  if (extended === undefined) return tree;
  const at = `${location(extended.origin)}: `;
  if (extended.kind !== 'scalar' || typeof extended.value !== 'string' || extended.value === '') {
    throw wrongInput(`${at}extends must be the path of a config file`);
  }
  const basePath = isAbsolute(extended.value) ? extended.value : join(dirname(path), extended.value);
  const base = readLayers(basePath, [...above, realPath], at);
  const entries = new Map(tree.entries);
  entries.delete('extends');
  return mergeLocated(base, { ...tree, entries }) as LocatedMapping;
}

function readConfigText(path: string, namedAt: string): string {
  try {
    const stats = statSync(path);
    if (stats.isDirectory()) throw wrongInput(`${namedAt}${path} is a folder, not a config file`);
    if (stats.size > maxConfigBytes) {
      throw wrongInput(`${namedAt}${path} is too large for a config: ${stats.size} bytes; is this the corpus?`);
    }
    refusePointerAt(path);
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    if (error instanceof TypeError) throw wrongInput(`${namedAt}${path} is not UTF-8 text`, { cause: error });
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') throw wrongInput(`${namedAt}${path} does not exist`, { cause: error });
    if (code === 'EACCES' || code === 'EPERM') {
      throw environmentFailure(`${namedAt}${path} cannot be read: permission denied`, { cause: error });
    }
    throw error;
  }
}

function parseMapping(text: string, path: string): LocatedMapping {
  const tree = parseLocated(text, originsIn(path));
  if (tree === null) throw wrongInput(`${path} is empty; a config needs at least corpus: { sources: [{ path: … }] }`);
  if (tree.kind !== 'mapping')
    throw wrongInput(`${location(tree.origin)}: a config must be a mapping of keys to values`);
  return tree;
}

function completeConfig(written: LocatedValue, defaultName: string): Config {
  const tree = withPreset(written);
  const parsed = configSchema.safeParse(plainValue(withAbsolutePaths(withName(tree, defaultName))));
  if (!parsed.success) throw problemsError(schemaProblems(parsed.error.issues, tree));
  const { training } = parsed.data;
  if (training.steps === null && training.tokens === null && training.epochs === null) training.steps = defaultSteps;
  const { validation } = parsed.data.corpus;
  if (validation.tail === null && validation.hash === null && validation.path === null) validation.tail = defaultTail;
  const problems = crossProblems(parsed.data, tree);
  if (problems.length > 0) throw problemsError(problems);
  return deepFrozen(parsed.data);
}

function withName(tree: LocatedValue, defaultName: string): LocatedValue {
  if (valueAt(tree, ['name']) !== undefined) return tree;
  return withValue(tree, ['name'], { kind: 'scalar', origin: tree.origin, value: nameOfFile(defaultName) });
}

const standardInput = '-';

/** Makes every path of the config absolute, relative to where it was written. */
function withAbsolutePaths(tree: LocatedValue): LocatedValue {
  const sources = valueAt(tree, ['corpus', 'sources']);
  const items = sources?.kind === 'list' ? sources.items : [];
  const sourcePaths = items.map((_, i) => ['corpus', 'sources', i, 'path']);
  const keys = [
    ['start', 'from'],
    ...sourcePaths,
    ['corpus', 'validation', 'path'],
    ['corpus', 'cache'],
    ['tokenizer', 'path'],
  ];
  return keys.reduce((result, key) => {
    const path = valueAt(tree, key);
    if (path?.kind !== 'scalar' || typeof path.value !== 'string' || ['', standardInput].includes(path.value))
      return result;
    const absolute: LocatedValue = { ...path, value: resolve(path.origin.directory, path.value) };
    return withValue(result, key, absolute);
  }, tree);
}

function deepFrozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(deepFrozen);
  return Object.freeze(value);
}
