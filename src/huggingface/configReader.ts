/** Reads the keys of a config.json one by one, and collects what is wrong with them. */
import { isDeepStrictEqual } from 'node:util';
import { requiredValues, secondNames, ignorableKeys, ignoredKeys, unreadKeys } from './configKeys.ts';
import { transformersDefaults, type ModelType } from './modelTypes.ts';

export interface ConfigReader {
  readonly kind: ModelType;
  readonly given: Readonly<Record<string, unknown>>;
  /** Why clm would not compute the same as transformers. */
  readonly problems: string[];
  /** What transformers does not do as the file may seem to say, and clm neither. */
  readonly warnings: string[];
  /** The value of a key, or the default of transformers. */
  get(key: string): unknown;
  /** A whole number of at least 1. @param fallback for null */
  size(key: string, fallback?: number): number;
  /** A number greater than 0. */
  number(key: string): number;
  /** Whether a key is true. null is the default of transformers. */
  flag(key: string): boolean;
  /** Refuses a key that clm does not know, unless the user has it ignored. */
  unknown(key: string, problem: string): void;
  /** Call last: looks at the keys that were not read. */
  finish(): void;
  /** The keys for `--ignore-key` that would let the file pass. */
  readonly unknownKeys: readonly string[];
}

/** @param ignored keys that the user wants ignored */
export function configReader(
  given: Readonly<Record<string, unknown>>,
  kind: ModelType,
  ignored: readonly string[],
): ConfigReader {
  const problems: string[] = [];
  const warnings: string[] = [];
  const unknownKeys: string[] = [];
  const seen = new Set<string>();
  const used = new Set<string>();
  const shown = (value: unknown): string => JSON.stringify(value)?.slice(0, 60) ?? 'undefined';

  const get = (key: string): unknown => {
    seen.add(key);
    const own = Object.hasOwn(given, key) ? given[key] : undefined;
    const second = kind === 'gpt2' ? secondNames[key] : undefined;
    if (second !== undefined && given[second] != null) {
      seen.add(second);
      if (own !== undefined && own !== given[second])
        problems.push(`${key} is ${shown(own)} and ${second} is ${shown(given[second])}, two names of one thing`);
      return given[second];
    }
    return own === undefined ? transformersDefaults[kind][key] : own;
  };

  const isIgnored = (key: string): boolean => {
    if (!ignored.includes(key)) return false;
    used.add(key);
    return true;
  };

  const unknown = (key: string, problem: string): void => {
    if (isIgnored(key)) return;
    problems.push(problem);
    unknownKeys.push(key);
  };

  for (const [key, allowed] of Object.entries(requiredValues)) {
    const value = get(key);
    if (value === undefined || value === null || allowed.includes(value)) continue;
    if (isDeepStrictEqual(value, {})) continue; // e.g. no pruned heads
    if (ignorableKeys.includes(key) && isIgnored(key)) continue;
    const supported = allowed.map((one) => JSON.stringify(one)).join(' or ');
    problems.push(`${key} is ${JSON.stringify(value)}; clm supports only ${supported}`);
  }

  return {
    kind,
    given,
    problems,
    warnings,
    unknownKeys,
    get,
    size(key, fallback) {
      const value = get(key) ?? fallback;
      if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 1) return value;
      problems.push(`${key} is ${shown(value)}; it must be a whole number of at least 1`);
      return 1;
    },
    number(key) {
      const value = get(key);
      if (typeof value === 'number' && value > 0 && value < Infinity) return value;
      problems.push(`${key} is ${shown(value)}; it must be a number greater than 0`);
      return 1;
    },
    flag(key) {
      const value = get(key) ?? transformersDefaults[kind][key] ?? false;
      if (typeof value === 'boolean') return value;
      problems.push(`${key} is ${shown(value)}; it must be true or false`);
      return false;
    },
    unknown,
    finish() {
      for (const key of unreadKeys(kind)) {
        if (seen.has(key) || !Object.hasOwn(given, key) || isIgnored(key)) continue;
        seen.add(key);
        const value = given[key];
        if (value == null || value === false) continue;
        warnings.push(`${key} is ${shown(value)}, which a ${kind} in transformers does not read: it has no effect`);
      }
      for (const [key, value] of Object.entries(given)) {
        if (seen.has(key) || isIgnored(key) || ignoredKeys.has(key)) continue;
        if (value === null || isDeepStrictEqual(value, {}) || isDeepStrictEqual(value, [])) continue; // nothing is set
        unknown(key, `${key} (${shown(value)}) is not known to clm and may change the results`);
      }
      for (const key of ignored) {
        if (used.has(key)) warnings.push(`${key} is ignored, as --ignore-key says: clm does as if it were not there`);
        else if (seen.has(key) && Object.hasOwn(given, key))
          problems.push(`--ignore-key ${key}: clm computes with this key, so it cannot be ignored`);
        else if (!ignoredKeys.has(key) || !Object.hasOwn(given, key))
          problems.push(`--ignore-key ${key}: there is no such key`);
      }
    },
  };
}
