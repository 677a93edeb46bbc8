/**
 * References in the texts of a config: `${model.width}` is the value of another key, `${env:NAME}` that of an
 * environment variable, and `${env:NAME:-default}` has a default. A text that is a single reference becomes its value
 * and type; inside a longer text the value is inserted as text. `$${` is a literal `${`.
 */
import { z } from 'zod';
import { ConfigError } from '../errors.ts';
import { schemaAt, suggestKey } from './keys.ts';
import { location, parseKeyPath, parseLocated, valueAt } from './located.ts';
import type { LocatedScalar, LocatedValue, Origin } from './located.ts';

type Variables = Readonly<Record<string, string | undefined>>;

const reference = /\$\$\{|\$\{([^{}]*)\}?/g;

/**
 * The tree with every reference replaced by its value.
 * @throws ConfigError with file, line and column of the text: an unknown key, an unset variable, a circular reference
 */
export function interpolated(tree: LocatedValue, variables: Variables = process.env): LocatedValue {
  const resolve = (value: LocatedValue, above: readonly LocatedValue[]): LocatedValue => {
    if (value.kind === 'list') return { ...value, items: value.items.map((item) => resolve(item, above)) };
    if (value.kind === 'mapping') {
      const entries = Array.from(
        value.entries,
        ([name, entry]) => [name, { ...entry, value: resolve(entry.value, above) }] as const,
      );
      return { ...value, entries: new Map(entries) };
    }
    if (typeof value.value !== 'string' || !value.value.includes('${')) return value;
    if (above.includes(value))
      throw new ConfigError(`${location(value.origin)}: ${value.value} is a circular reference`);
    return resolvedText(value, value.value, [...above, value]);
  };

  const resolvedText = (scalar: LocatedScalar, text: string, above: readonly LocatedValue[]): LocatedValue => {
    const whole = /^\$\{([^{}]*)\}$/.exec(text)?.[1];
    if (whole !== undefined) return valueOfKey(whole, scalar.origin, above);
    const inserted = text.replace(reference, (match, name: string | undefined) => {
      if (match === '$${') return '${';
      if (name === undefined || !match.endsWith('}'))
        throw new ConfigError(
          `${location(scalar.origin)}: ${match} is not closed; write \${…}, or $\${ for a literal \${`,
        );
      const value = valueOfKey(name, scalar.origin, above);
      if (value.kind === 'scalar' && value.value !== null) return String(value.value);
      const found = value.kind === 'scalar' ? 'null' : `a ${value.kind}`;
      throw new ConfigError(`${location(scalar.origin)}: \${${name}} is ${found}, which cannot be part of a text`);
    });
    return { ...scalar, value: inserted };
  };

  const valueOfKey = (name: string, origin: Origin, above: readonly LocatedValue[]): LocatedValue => {
    if (name.startsWith('env:')) return variableValue(name, origin, variables);
    const path = parseKeyPath(name);
    const schema = path && schemaAt(path);
    if (!path || !schema) {
      const hint = path ? suggestKey(path.slice(0, -1), String(path.at(-1))) : 'write e.g. ${model.width}';
      throw new ConfigError(
        `${location(origin)}: \${${name}} is not a config key; ${hint} (an environment variable is \${env:NAME})`,
      );
    }
    const written = valueAt(tree, path);
    if (written !== undefined) {
      const value = resolve(written, above);
      // A path stays relative to the file it was written in, but a problem is reported where the reference is.
      if (value.kind !== 'scalar') return value;
      const { directory, formerPaths } = value.origin;
      return { ...value, origin: { ...origin, directory, formerPaths } };
    }
    const standard = z.safeParse(schema, undefined);
    if (standard.success && isScalar(standard.data)) return { kind: 'scalar', origin, value: standard.data };
    throw new ConfigError(`${location(origin)}: \${${name}} has no value: the key is not set and has no default`);
  };
  return resolve(tree, []);
}

function variableValue(name: string, origin: Origin, variables: Variables): LocatedValue {
  const match = /^env:([A-Za-z_][A-Za-z0-9_]*)(?::-([^]*))?$/.exec(name);
  if (match === null)
    throw new ConfigError(`${location(origin)}: \${${name}} is not valid; write \${env:NAME} or \${env:NAME:-default}`);
  const [, variable = '', standard] = match;
  // As in a shell, an empty variable counts as unset.
  const text = variables[variable] || standard;
  if (text === undefined)
    throw new ConfigError(
      `${location(origin)}: environment variable ${variable} is not set; set it or write \${env:${variable}:-DEFAULT}`,
    );
  const scalar = /^[\w.+~-]+$/.test(text) ? parseLocated(text, () => origin) : null;
  return scalar ?? { kind: 'scalar', origin, value: text };
}

const isScalar = (value: unknown): value is string | number | boolean | null =>
  value === null || ['string', 'number', 'boolean'].includes(typeof value);

/** A value with its texts escaped, so that none is taken for a reference when it is read again. */
export function withoutReferences(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('${', () => '$${');
  if (Array.isArray(value)) return value.map(withoutReferences);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withoutReferences(inner)]));
}
