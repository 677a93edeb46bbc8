/**
 * `${…}` in the texts of a config: `${model.width}` is the value of another key, `${env:NAME}` that of an environment
 * variable and `${env:NAME:-default}` has a default. A text that is one `${…}` and nothing else becomes that value
 * with its type; inside a longer text it is spelt out. `$${` is a plain `${`.
 */
import { z } from 'zod';
import { wrongInput } from '../errors.ts';
import { schemaAt, suggestKey } from './keys.ts';
import { parseLocated, place, valueAt } from './located.ts';
import type { KeyPath, LocatedScalar, LocatedValue, Origin } from './located.ts';

type Variables = Readonly<Record<string, string | undefined>>;

const reference = /\$\$\{|\$\{([^{}]*)\}?/g;

/**
 * The tree with every reference replaced by its value.
 * @throws wrongInput with file, line and column of the text: a key that is none, a variable that is not set, a circle
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
    if (above.includes(value)) throw wrongInput(`${place(value.origin)}: ${value.value} goes round in a circle`);
    return resolvedText(value, value.value, [...above, value]);
  };

  const resolvedText = (scalar: LocatedScalar, text: string, above: readonly LocatedValue[]): LocatedValue => {
    const whole = /^\$\{([^{}]*)\}$/.exec(text)?.[1];
    if (whole !== undefined) return valueOfKey(whole, scalar.origin, above);
    const spelt = text.replace(reference, (match, name: string | undefined) => {
      if (match === '$${') return '${';
      if (name === undefined || !match.endsWith('}'))
        throw wrongInput(`${place(scalar.origin)}: ${match} has no end; write \${…}, or $\${ for a plain \${`);
      const value = valueOfKey(name, scalar.origin, above);
      if (value.kind === 'scalar' && value.value !== null) return String(value.value);
      throw wrongInput(
        `${place(scalar.origin)}: \${${name}} is ${value.kind === 'scalar' ? 'null' : `a ${value.kind}`}, which cannot stand inside a text`,
      );
    });
    return { ...scalar, value: spelt };
  };

  const valueOfKey = (name: string, origin: Origin, above: readonly LocatedValue[]): LocatedValue => {
    if (name.startsWith('env:')) return variableValue(name, origin, variables);
    const path = keyPath(name);
    const schema = path && schemaAt(path);
    if (!path || !schema) {
      const hint = path ? suggestKey(path.slice(0, -1), String(path.at(-1))) : 'write a key such as ${model.width}';
      throw wrongInput(
        `${place(origin)}: \${${name}} is no key of a config; ${hint}. An environment variable is \${env:NAME}`,
      );
    }
    const written = valueAt(tree, path);
    if (written !== undefined) {
      const value = resolve(written, above);
      // A path stays relative to the file it was written in, while a problem is found where it is used.
      return value.kind === 'scalar' ? { ...value, origin: { ...origin, directory: value.origin.directory } } : value;
    }
    const standard = z.safeParse(schema, undefined);
    if (standard.success && isScalar(standard.data)) return { kind: 'scalar', origin, value: standard.data };
    throw wrongInput(`${place(origin)}: \${${name}} has no value: the key is not written here and has no default`);
  };
  return resolve(tree, []);
}

function variableValue(name: string, origin: Origin, variables: Variables): LocatedValue {
  const match = /^env:([A-Za-z_][A-Za-z0-9_]*)(?::-([^]*))?$/.exec(name);
  if (match === null) throw wrongInput(`${place(origin)}: \${${name}}: write \${env:NAME} or \${env:NAME:-default}`);
  const [, variable = '', standard] = match;
  // As in a shell, an empty variable counts as none.
  const text = variables[variable] || standard;
  if (text === undefined)
    throw wrongInput(
      `${place(origin)}: the environment variable ${variable} is not set; set it, or give a default: \${env:${variable}:-…}`,
    );
  const scalar = /^[\w.+~-]+$/.test(text) ? parseLocated(text, () => origin) : null;
  return scalar ?? { kind: 'scalar', origin, value: text };
}

/** `corpus.sources[0].path` as a path, or undefined where the text is none. */
function keyPath(name: string): KeyPath | undefined {
  if (!/^[^.[\]]+(\.[^.[\]]+|\[\d+\])*$/.test(name)) return undefined;
  return [...name.matchAll(/(\[)?([^.[\]]+)/g)].map(([, bracket, part = '']) => (bracket ? Number(part) : part));
}

const isScalar = (value: unknown): value is string | number | boolean | null =>
  value === null || ['string', 'number', 'boolean'].includes(typeof value);

/** A value in which no text is taken for a reference when it is read again. */
export function withoutReferences(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('${', () => '$${');
  if (Array.isArray(value)) return value.map(withoutReferences);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withoutReferences(inner)]));
}
