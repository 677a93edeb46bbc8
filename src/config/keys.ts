/** The keys of the config schema by name, and suggestions for misspelt ones. */
import { distance } from 'fastest-levenshtein';
import { z } from 'zod';
import { configSchema } from './schema.ts';
import { parseKeyPath, renderKeyPath } from './located.ts';
import type { KeyPath } from './located.ts';
import { folded, keyNames, meaningIn } from './sections/otherNames.ts';

type Schema = z.core.$ZodType;

/** A schema without the defaults, `null` and completion around it. */
function unwrapped(schema: Schema): Schema {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodNullable) {
    return unwrapped(schema.unwrap());
  }
  if (schema instanceof z.ZodPipe) return unwrapped(schema.in);
  return schema;
}

/** The schema of the key at `path`, or undefined if there is no such key. */
export function schemaAt(path: KeyPath): Schema | undefined {
  let schema: Schema | undefined = configSchema;
  for (const key of path) {
    const inner: Schema | undefined = schema && unwrapped(schema);
    if (inner instanceof z.ZodObject) schema = Object.hasOwn(inner.shape, key) ? inner.shape[key] : undefined;
    else if (inner instanceof z.ZodArray) schema = inner.element;
    else if (inner instanceof z.ZodTuple) schema = inner.def.items[Number(key)];
    else return undefined;
  }
  return schema;
}

/** Whether the value at `path` may be null. */
export function isNullable(path: KeyPath): boolean {
  const schema = schemaAt(path);
  return schema !== undefined && z.safeParse(schema, null).success;
}

/** Whether the number at `path` must be whole. */
export function isWholeNumber(path: KeyPath): boolean {
  const schema = schemaAt(path);
  return schema !== undefined && unwrapped(schema) instanceof z.ZodNumberFormat;
}

/** Names of the keys of the mapping at `path`; none if the value there is not a mapping. */
export function keysIn(path: KeyPath): string[] {
  const schema = schemaAt(path);
  const inner = schema && unwrapped(schema);
  return inner instanceof z.ZodObject ? Object.keys(inner.shape) : [];
}

/** Every key that holds a value rather than a mapping, in the order of the schema, without those inside lists. */
export function leafKeys(path: KeyPath = []): KeyPath[] {
  const names = keysIn(path);
  return names.length === 0 ? [path] : names.flatMap((name) => leafKeys([...path, name]));
}

/**
 * A hint for the unknown key `name` in the mapping at `parent`: the key that other programs call so, the nearest valid
 * key, which may be in another mapping, or else every key of this mapping.
 */
export function suggestKey(parent: KeyPath, name: string): string {
  const siblings = keysIn(parent);
  const near = siblings.map((key) => ({ key, edits: distance(folded(key), folded(name)) }));
  near.sort((a, b) => a.edits - b.edits);
  const best = near[0];
  const elsewhere = [...keysNamed(name), ...keyCalled(parent, name)];
  if (best && best.edits <= (elsewhere.length > 0 ? 0 : Math.max(2, Math.floor(name.length / 3)))) {
    return `did you mean ${renderKeyPath([...parent, best.key])}?`;
  }
  if (elsewhere.length > 0) return `did you mean ${[...new Set(elsewhere.map(renderKeyPath))].join(' or ')}?`;
  const inside = parent.length === 0 ? '' : ` in ${renderKeyPath(parent)}`;
  return `valid keys${inside} are ${siblings.join(', ')}`;
}

/** The key that is called so in other programs, alone or with its mapping. */
function keyCalled(parent: KeyPath, name: string): KeyPath[] {
  const key = meaningIn(keyNames, renderKeyPath([...parent, name])) ?? meaningIn(keyNames, name);
  return key === undefined ? [] : [parseKeyPath(key)!];
}

/** Keys of that name in any mapping, or else those that end in it, unless it is too short to tell. */
function keysNamed(name: string): KeyPath[] {
  const named = leafKeys().map((path) => ({ path, key: folded(String(path.at(-1))) }));
  const exact = named.filter(({ key }) => key === folded(name));
  const ending = named.filter(({ key }) => name.length > 4 && key.endsWith(folded(name)));
  return (exact.length > 0 ? exact : ending).map(({ path }) => path);
}
