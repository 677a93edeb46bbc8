/** What a complete config says beyond the defaults, so that people need not read a hundred keys to see three. */
import { isDeepStrictEqual } from 'node:util';
import { parse } from 'yaml';
import { leafKeys } from './keys.ts';
import type { KeyPath } from './located.ts';
import { formerPathsKey } from './paths/relativePaths.ts';
import { configSchema } from './schema.ts';

type Plain = Record<string | number, unknown>;

/**
 * The keys, with their values, that would have another value if they were left out. Length and validation split are
 * always among them, and so are keys without a default.
 *
 * @param text of a complete config, as `renderConfig` makes it
 * @returns nested like the config; undefined if this version of clm cannot read the text
 */
export function changedKeys(text: string): Record<string, unknown> | undefined {
  const written = parse(text) as unknown;
  if (typeof written === 'object' && written !== null) delete (written as Plain)[formerPathsKey];
  const complete = configSchema.safeParse(written);
  if (!complete.success) return undefined;
  const changed: Plain = {};
  for (const path of leafKeys()) {
    const value = valueAt(complete.data, path);
    if (value === undefined || !isChanged(written, complete.data, path)) continue;
    const kept = Array.isArray(value)
      ? value.map((item, i) => changedItem(written, complete.data, [...path, i], item as unknown))
      : value;
    put(changed, path, kept);
  }
  return changed;
}

/** An item of a list; of a mapping, only the keys that are changed. */
function changedItem(written: unknown, complete: unknown, path: KeyPath, item: unknown): unknown {
  if (typeof item !== 'object' || item === null || Array.isArray(item)) return item;
  const keys = Object.entries(item).filter(([key]) => isChanged(written, complete, [...path, key]));
  return Object.fromEntries(keys);
}

/** Whether the key has another value once it is taken out of the text. */
function isChanged(written: unknown, complete: unknown, path: KeyPath): boolean {
  const without = structuredClone(written);
  const parent = valueAt(without, path.slice(0, -1)) as Plain | undefined;
  if (parent === undefined) return false;
  delete parent[path.at(-1)!];
  const parsed = configSchema.safeParse(without);
  return !parsed.success || !isDeepStrictEqual(valueAt(parsed.data, path), valueAt(complete, path));
}

const valueAt = (tree: unknown, path: KeyPath): unknown =>
  path.reduce<unknown>((value, key) => (value as Plain | null | undefined)?.[key], tree);

function put(tree: Plain, path: KeyPath, value: unknown): void {
  const parent = path.slice(0, -1).reduce<Plain>((inner, key) => (inner[key] ??= {}) as Plain, tree);
  parent[path.at(-1)!] = value;
}
