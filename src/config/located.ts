/**
 * Parses YAML into a tree in which every value has its origin, so that later checks can name file, line and column, and
 * relative paths can be resolved against the file they are written in.
 */
import { dirname } from 'node:path';
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import { ConfigError } from '../errors.ts';

/** Where a value was written: in a file (line and column count from 1) or in a `--set` flag. */
export interface Origin {
  source: string;
  line: number | null;
  column: number | null;
  /** The folder that relative paths written here refer to. */
  directory: string;
  /** Where relative paths written here led when the file was written, in the config.yaml of a run (paths/). */
  formerPaths?: ReadonlyMap<string, string> | undefined;
}

export interface LocatedScalar {
  kind: 'scalar';
  origin: Origin;
  value: string | number | boolean | null;
}

interface LocatedList {
  kind: 'list';
  origin: Origin;
  items: LocatedValue[];
}

export interface LocatedMapping {
  kind: 'mapping';
  origin: Origin;
  entries: Map<string, { keyOrigin: Origin; value: LocatedValue }>;
}

export type LocatedValue = LocatedScalar | LocatedList | LocatedMapping;

/** A YAML value without its origin. */
export type PlainValue = string | number | boolean | null | PlainValue[] | { [key: string]: PlainValue };

export const maxDepth = 32;
const maxValues = 10_000;

/** `file:line:column`, or the flag. */
export function location(origin: Origin): string {
  return origin.line === null ? origin.source : `${origin.source}:${origin.line}:${origin.column}`;
}

/** The origin of a value at this line and column. */
export type OriginAt = (line: number, column: number) => Origin;

/** Origins in the file at `path`. */
export function originsIn(path: string, formerPaths?: Origin['formerPaths']): OriginAt {
  const directory = dirname(path);
  return (line, column) => ({ source: path, line, column, directory, formerPaths });
}

/**
 * Parses YAML 1.2 (core schema: `1e-3` is a number, `yes` is text).
 *
 * @returns null if the text holds no value
 * @throws ConfigError naming the origin: syntax, duplicate keys, tabs, tags, keys that are not plain text, too deep
 *   nesting, too many values
 */
export function parseLocated(text: string, originOf: OriginAt): LocatedValue | null {
  const lineCounter = new LineCounter();
  const originAt = (offset: number): Origin => {
    const { line, col } = lineCounter.linePos(offset);
    return originOf(line, col);
  };
  const document = parseDocument(text, { lineCounter, prettyErrors: false, version: '1.2', schema: 'core' });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem !== undefined) {
    throw new ConfigError(`${location(originAt(problem.pos[0]))}: ${yamlProblem(problem.code, problem.message)}`);
  }
  if (document.contents === null) return null;

  let values = 0;
  const locate = (node: unknown, depth: number, parent: Origin): LocatedValue => {
    const range = (node as { range?: [number, number, number] } | null)?.range;
    const origin = range ? originAt(range[0]) : parent;
    values += 1;
    if (values > maxValues)
      throw new ConfigError(`${location(origin)}: more than ${maxValues} values after expanding aliases`);
    if (depth > maxDepth) throw new ConfigError(`${location(origin)}: nested more than ${maxDepth} levels deep`);
    if (node === null) return { kind: 'scalar', origin, value: null };
    if (isAlias(node)) {
      const target = node.resolve(document);
      if (target === undefined)
        throw new ConfigError(`${location(origin)}: *${node.source} refers to an anchor that is not defined above it`);
      return locate(target, depth + 1, origin);
    }
    if (isScalar(node)) return { kind: 'scalar', origin, value: scalarValue(node.value, origin) };
    if (isSeq(node)) return { kind: 'list', origin, items: node.items.map((item) => locate(item, depth + 1, origin)) };
    if (!isMap(node)) throw new Error('a YAML node that is neither alias, scalar, sequence nor mapping');
    const entries: LocatedMapping['entries'] = new Map();
    for (const { key, value } of node.items) {
      if (!isScalar(key) || key.value === null) throw new ConfigError(`${location(origin)}: a key must be plain text`);
      const keyOrigin = key.range ? originAt(key.range[0]) : origin;
      const name = String(key.value);
      if (name === '<<')
        throw new ConfigError(
          `${location(keyOrigin)}: << is a merge key, which YAML 1.2 does not have. Write the keys out here, or put ` +
            'the common ones into a file of their own and name it in extends',
        );
      if (entries.has(name)) throw new ConfigError(`${location(keyOrigin)}: duplicate key ${name}`);
      entries.set(name, { keyOrigin, value: locate(value, depth + 1, keyOrigin) });
    }
    return { kind: 'mapping', origin, entries };
  };
  return locate(document.contents, 0, originAt(0));
}

function scalarValue(value: unknown, origin: Origin): LocatedScalar['value'] {
  if (value === null || typeof value === 'string' || typeof value === 'number') return value;
  if (typeof value === 'boolean') return value;
  throw new ConfigError(`${location(origin)}: only text, numbers, true, false and null are allowed here`);
}

/** The parser's message, reworded if users meet it often. */
function yamlProblem(code: string, message: string): string {
  if (code === 'TAB_AS_INDENT') return 'YAML cannot be indented with tabs; use spaces';
  if (code === 'DUPLICATE_KEY') return 'duplicate key in the same mapping; remove one';
  if (code === 'MULTIPLE_DOCS')
    return "a second YAML document begins here; a config is a single document, without '---' inside";
  if (code === 'TAG_RESOLVE_FAILED') return 'YAML tags (!…) are not supported; remove it';
  // The parser recurses over nested brackets and has no limit of its own.
  if (message.includes('call stack')) return `nested more than ${maxDepth} levels deep`;
  return `not valid YAML: ${message.replace(/\s+/g, ' ').trim()}`;
}

/** `upper` merged over `lower`: mappings key by key, anything else replaces the value below. */
export function mergeLocated(lower: LocatedValue, upper: LocatedValue): LocatedValue {
  if (lower.kind !== 'mapping' || upper.kind !== 'mapping') return upper;
  const entries = new Map(lower.entries);
  for (const [name, entry] of upper.entries) {
    const below = lower.entries.get(name);
    entries.set(name, below ? { ...entry, value: mergeLocated(below.value, entry.value) } : entry);
  }
  return { kind: 'mapping', origin: upper.origin, entries };
}

/** The tree without origins. Mappings have no prototype, so that `__proto__` is a key like any other. */
export function plainValue(value: LocatedValue): PlainValue {
  if (value.kind === 'scalar') return value.value;
  if (value.kind === 'list') return value.items.map(plainValue);
  const plain: { [key: string]: PlainValue } = Object.create(null);
  for (const [name, entry] of value.entries) plain[name] = plainValue(entry.value);
  return plain;
}

export type KeyPath = readonly (string | number)[];

/** `corpus.sources[0].path` */
export function renderKeyPath(path: KeyPath): string {
  return path.map((key, i) => (typeof key === 'number' ? `[${key}]` : i === 0 ? key : `.${key}`)).join('');
}

/** The path in a text such as `corpus.sources[0].path`, or undefined if it is not one. */
export function parseKeyPath(text: string): KeyPath | undefined {
  if (!/^[^.[\]]+(\.[^.[\]]+|\[\d+\])*$/.test(text)) return undefined;
  return [...text.matchAll(/(\[)?([^.[\]]+)/g)].map(([, bracket, part = '']) => (bracket ? Number(part) : part));
}

/** The value at `path`, or undefined if nothing is written there. */
export function valueAt(tree: LocatedValue, path: KeyPath): LocatedValue | undefined {
  let value: LocatedValue | undefined = tree;
  for (const key of path) {
    if (value?.kind === 'mapping') value = value.entries.get(String(key))?.value;
    else if (value?.kind === 'list' && typeof key === 'number') value = value.items[key];
    else return undefined;
  }
  return value;
}

/** The tree with `value` merged over the value at `path`; missing mappings and entries on the path are created. */
export function withValue(tree: LocatedValue | undefined, path: KeyPath, value: LocatedValue): LocatedValue {
  const [key, ...rest] = path;
  if (key === undefined) return tree ? mergeLocated(tree, value) : value;
  if (typeof key === 'number') {
    const items = tree?.kind === 'list' ? [...tree.items] : [];
    items[key] = withValue(items[key], rest, value);
    return { kind: 'list', origin: tree?.kind === 'list' ? tree.origin : value.origin, items };
  }
  const mapping = tree?.kind === 'mapping' ? tree : undefined;
  const below = mapping?.entries.get(key);
  const entry = { keyOrigin: below?.keyOrigin ?? value.origin, value: withValue(below?.value, rest, value) };
  const entries = new Map(mapping?.entries).set(key, entry);
  return { kind: 'mapping', origin: mapping?.origin ?? value.origin, entries };
}

/** The origin of the key at `path`, or of the nearest mapping around it that is written. */
export function originOf(tree: LocatedValue, path: KeyPath): Origin {
  for (let length = path.length; length > 0; length--) {
    const parent = valueAt(tree, path.slice(0, length - 1));
    const key = path[length - 1];
    if (parent?.kind === 'mapping') {
      const entry = parent.entries.get(String(key));
      if (entry)
        return entry.value.kind === 'scalar' || entry.value.origin.line === null ? entry.value.origin : entry.keyOrigin;
    }
    if (parent?.kind === 'list' && typeof key === 'number' && parent.items[key]) return parent.items[key].origin;
  }
  return tree.origin;
}
