/** Reads a config from where it is given (a file, a text or an object) and merges it over the files it extends. */
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { ConfigError, environmentFailure } from '../errors.ts';
import { refusePointerAt } from '../storage/pointerFiles.ts';
import { withoutReferences } from './interpolation.ts';
import { location, maxDepth, mergeLocated, originsIn, parseLocated, plainValue, renderKeyPath } from './located.ts';
import type { KeyPath, LocatedMapping, LocatedValue, Origin, OriginAt } from './located.ts';
import { formerPathsKey } from './paths/relativePaths.ts';
import { withoutDerived } from './sections/derivedKeys.ts';

/** The path of a config file; or the text of one; or its keys as an object, in which texts have no references. */
export type ConfigSource = string | { readonly yaml: string } | { readonly keys: object };

const maxConfigBytes = 1 << 20;

/** What messages call a config that is not a file. */
const unnamed = 'config';

/** The config merged over those it extends; relative paths in a text or object refer to the working directory. */
export function readLayers(source: ConfigSource): LocatedMapping {
  if (typeof source === 'string') return readFile(source, [], '');
  const directory = resolve();
  if ('yaml' in source) {
    const originAt: OriginAt = (line, column) => ({ source: unnamed, line, column, directory });
    return withExtended(parseMapping(source.yaml, unnamed, originAt), directory, []);
  }
  const origin: Origin = { source: unnamed, line: null, column: null, directory };
  return withExtended(locatedKeys(source.keys, origin) as LocatedMapping, directory, []);
}

/**
 * A value of a config that is an object. Keys that are undefined count as absent.
 * @throws ConfigError naming a key whose value YAML could not hold, or that is nested too deep
 */
function locatedKeys(value: unknown, origin: Origin, path: KeyPath = []): LocatedValue {
  if (path.length > maxDepth) throw new ConfigError(`config: nested more than ${maxDepth} levels deep`);
  if (value === null || typeof value === 'number' || typeof value === 'boolean')
    return { kind: 'scalar', origin, value };
  if (typeof value === 'string') return { kind: 'scalar', origin, value: withoutReferences(value) as string };
  if (Array.isArray(value))
    return { kind: 'list', origin, items: value.map((item, i) => locatedKeys(item, origin, [...path, i])) };
  if (typeof value !== 'object' || ![Object.prototype, null].includes(Object.getPrototypeOf(value) as object | null)) {
    const at = path.length === 0 ? '' : `${renderKeyPath(path)} is ${Object.prototype.toString.call(value)}; `;
    throw new ConfigError(`config: ${at}only objects, lists, texts, numbers, true, false and null are allowed`);
  }
  const entries = Object.entries(value as Record<string, unknown>)
    .filter(([, inner]) => inner !== undefined)
    .map(([name, inner]) => [name, { keyOrigin: origin, value: locatedKeys(inner, origin, [...path, name]) }] as const);
  return { kind: 'mapping', origin, entries: new Map(entries) };
}

/**
 * The file at `path`, merged over those it extends.
 *
 * @param above real paths of the files that led here, each extending the next
 * @param namedAt where the path was written, for messages; empty for the command line
 */
function readFile(path: string, above: readonly string[], namedAt: string): LocatedMapping {
  const tree = parseMapping(readConfigText(path, namedAt), path, originsIn(path));
  const realPath = realpathSync(path);
  if (above.includes(realPath)) {
    const circle = [...above.slice(above.indexOf(realPath)), realPath].map((file) => basename(file)).join(' → ');
    throw new ConfigError(`${namedAt}circular extends: ${circle}`);
  }
  return withExtended(tree, dirname(path), [...above, realPath]);
}

/** The tree merged over the file that it extends. @param directory the folder of a relative path */
function withExtended(tree: LocatedMapping, directory: string, above: readonly string[]): LocatedMapping {
  const extended = tree.entries.get('extends')?.value;
  if (extended === undefined) return tree;
  const at = `${location(extended.origin)}: `;
  if (extended.kind !== 'scalar' || typeof extended.value !== 'string' || extended.value === '') {
    throw new ConfigError(`${at}extends must be the path of a config file`);
  }
  const basePath = isAbsolute(extended.value) ? extended.value : join(directory, extended.value);
  const base = readFile(basePath, above, at);
  const entries = new Map(tree.entries);
  entries.delete('extends');
  return mergeLocated(base, { ...tree, entries }) as LocatedMapping;
}

/** @param namedAt as in `readFile` */
export function readConfigText(path: string, namedAt: string): string {
  try {
    const stats = statSync(path);
    if (stats.isDirectory()) throw new ConfigError(`${namedAt}${path} is a folder, not a config file`);
    if (stats.size > maxConfigBytes) {
      throw new ConfigError(`${namedAt}${path} is too large for a config: ${stats.size} bytes; is this the corpus?`);
    }
    refusePointerAt(path);
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    if (error instanceof TypeError) throw new ConfigError(`${namedAt}${path} is not UTF-8 text`, { cause: error });
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR')
      throw new ConfigError(`${namedAt}${path} does not exist`, { cause: error });
    if (code === 'EACCES' || code === 'EPERM') {
      throw environmentFailure(`${namedAt}${path} cannot be read: permission denied`, { cause: error });
    }
    throw error;
  }
}

/** @param name what messages call the text */
export function parseMapping(text: string, name: string, originAt: OriginAt): LocatedMapping {
  const tree = parseLocated(text, originAt);
  if (tree === null)
    throw new ConfigError(`${name} is empty; a config needs at least corpus: { sources: [{ path: … }] }`);
  if (tree.kind !== 'mapping')
    throw new ConfigError(`${location(tree.origin)}: a config must be a mapping of keys to values`);
  const former = tree.entries.get(formerPathsKey);
  if (former === undefined) return tree;
  const formerPaths = formerPathsIn(former.value);
  const withFormer = parseLocated(text, (line, column) => ({ ...originAt(line, column), formerPaths }));
  (withFormer as LocatedMapping).entries.delete(formerPathsKey);
  return withoutDerived(withFormer as LocatedMapping);
}

function formerPathsIn(value: LocatedValue): Map<string, string> {
  const entries = value.kind === 'mapping' ? [...value.entries] : undefined;
  const paths = entries?.map(([path, { value: former }]) => [path, plainValue(former)] as const);
  if (paths?.every((each): each is [string, string] => typeof each[1] === 'string')) return new Map(paths);
  throw new ConfigError(`${location(value.origin)}: ${formerPathsKey} must be a mapping of paths to absolute paths`);
}
