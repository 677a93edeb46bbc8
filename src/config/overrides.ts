/** `--set KEY=VALUE` on the command line: the last layer of a config. */
import { resolve } from 'node:path';
import { ConfigError } from '../errors.ts';
import { parseKeyPath, parseLocated, renderKeyPath, valueAt, withValue } from './located.ts';
import type { KeyPath, LocatedValue, Origin } from './located.ts';

/** A parsed `KEY=VALUE`. */
interface Override {
  path: KeyPath;
  value: LocatedValue;
}

/**
 * KEY is a path such as `model.layers` or `corpus.sources[0].path`; VALUE is a number, true, false or null as in YAML,
 * a quoted text, a list `[…]` or mapping `{…}` in YAML's flow style; anything else is text, taken literally. Relative
 * paths are relative to the working directory.
 *
 * @throws ConfigError naming the flag if KEY or VALUE cannot be parsed
 */
export function parseOverride(assignment: string): Override {
  const source = `--set ${assignment}`;
  const origin: Origin = { source, line: null, column: null, directory: resolve() };
  const equals = assignment.indexOf('=');
  if (equals < 1) throw new ConfigError(`${source}: write --set KEY=VALUE, e.g. --set model.layers=6`);
  const key = assignment.slice(0, equals);
  const path = parseKeyPath(key);
  if (path === undefined)
    throw new ConfigError(`${source}: ${key} is not a key; keys look like model.layers or corpus.sources[0].path`);
  if (path[0] === 'extends') throw new ConfigError(`${source}: extends can only be set in a file`);
  return { path, value: flagValue(assignment.slice(equals + 1), origin) };
}

/**
 * The tree with one `KEY=VALUE` merged over it.
 * @throws ConfigError as `parseOverride`, and if an index is out of range
 */
export function applyOverride(tree: LocatedValue, assignment: string): LocatedValue {
  const { path, value } = parseOverride(assignment);
  path.forEach((key, i) => {
    const parent = valueAt(tree, path.slice(0, i));
    const entries = parent?.kind === 'list' ? parent.items.length : 0;
    if (typeof key === 'number' && key > entries) {
      const list = `${renderKeyPath(path.slice(0, i))}, which has ${entries} ${entries === 1 ? 'entry' : 'entries'}`;
      throw new ConfigError(`--set ${assignment}: [${key}] is out of range for ${list}`);
    }
  });
  return withValue(tree, path, value);
}

function flagValue(text: string, origin: Origin): LocatedValue {
  if (text === '') throw new ConfigError(`${origin.source}: no value; write null for "never", or '""' for empty text`);
  // Block style would parse `a: b` as a mapping and `# x` as a comment, which nobody means on a command line.
  if (!/^\s*[[{"']/.test(text) && !/^[\w.+~-]+$/.test(text)) return { kind: 'scalar', origin, value: text };
  // A line and column inside a flag would only confuse.
  const value = parseLocated(text, () => origin);
  if (value === null) throw new Error('a YAML scalar without a value');
  return value;
}
