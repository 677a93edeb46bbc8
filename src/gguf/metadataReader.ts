/** Reads the metadata of a GGUF file key by key, and collects what is wrong with them. */
import { isDeepStrictEqual } from 'node:util';
import type { Metadata } from './file/metadata.ts';

export interface MetadataReader {
  /** Why clm would not compute the same as llama.cpp. */
  readonly problems: string[];
  readonly warnings: string[];
  /** Whether the file has the key. It counts as read. */
  has(key: string): boolean;
  /** A whole number of at least 1. @param missing in place of a missing key */
  size(key: string, missing?: number): number;
  /** A token id that the file has; undefined without the key. */
  tokenId(key: string, tokens: number): number | undefined;
  /** A number greater than 0, as the shortest decimal that is the same float32. */
  number(key: string, missing?: number): number;
  flag(key: string, missing: boolean): boolean;
  text(key: string): string | undefined;
  /** Whatever the file has; a number as `number` gives it. */
  any(key: string): unknown;
  /** A list of strings, or of numbers; undefined without the key. */
  strings(key: string): string[] | undefined;
  numbers(key: string): number[] | undefined;
  /** Refuses any value but these. */
  only(key: string, ...values: (number | string | boolean)[]): void;
  /** Call last: refuses what begins with one of the prefixes and was not read, unless the user has it ignored. */
  finish(prefixes: readonly string[]): void;
  /** The keys for `--ignore-key` that would let the file pass. */
  readonly unknownKeys: readonly string[];
}

/** @param ignored keys that the user wants ignored */
export function metadataReader(metadata: Metadata, ignored: readonly string[]): MetadataReader {
  const problems: string[] = [];
  const warnings: string[] = [];
  const unknownKeys: string[] = [];
  const seen = new Set<string>();
  const get = (key: string): unknown => {
    seen.add(key);
    return metadata.get(key)?.value;
  };
  const problem = <T>(key: string, value: unknown, should: string, instead: T): T => {
    problems.push(value === undefined ? `${key} is missing` : `${key} is ${shown(value)}; it must be ${should}`);
    return instead;
  };
  const itemsOf = <T>(key: string, type: 'string' | 'number'): T[] | undefined => {
    const value = get(key);
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.every((item) => typeof item === type)) return value as T[];
    return problem(key, value, `a list of ${type}s`, []);
  };
  return {
    problems,
    warnings,
    unknownKeys,
    has: (key) => get(key) !== undefined,
    size(key, missing) {
      const given = get(key) ?? missing;
      // Some files have a number for each layer.
      const value = Array.isArray(given) && new Set(given).size === 1 ? (given[0] as unknown) : given;
      if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 1) return value;
      return problem(key, given, 'a whole number of at least 1, the same for all layers', 1);
    },
    tokenId(key, tokens) {
      const value = get(key);
      if (value === undefined) return undefined;
      if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < tokens) return value;
      warnings.push(`${key} is ${shown(value)}, which no token has: not taken over`);
      return undefined;
    },
    number(key, missing) {
      const value = get(key) ?? missing;
      if (typeof value === 'number' && value > 0 && value < Infinity) return shortest(value);
      return problem(key, value, 'a number greater than 0', 1);
    },
    flag(key, missing) {
      const value = get(key) ?? missing;
      return typeof value === 'boolean' ? value : problem(key, value, 'true or false', missing);
    },
    text(key) {
      const value = get(key);
      return value === undefined || typeof value === 'string' ? value : problem(key, value, 'text', undefined);
    },
    any(key) {
      const value = get(key);
      return typeof value === 'number' ? shortest(value) : value;
    },
    strings: (key) => itemsOf<string>(key, 'string'),
    numbers: (key) => itemsOf<number>(key, 'number'),
    only(key, ...values) {
      const value = get(key);
      if (value === undefined || values.some((one) => isDeepStrictEqual(one, value))) return;
      problem(key, value, values.map((one) => JSON.stringify(one)).join(' or '), undefined);
    },
    finish(prefixes) {
      for (const [key, { value }] of metadata) {
        if (seen.has(key) || !prefixes.some((prefix) => key.startsWith(prefix))) continue;
        if (ignored.includes(key)) {
          warnings.push(`${key} is ignored, as --ignore-key says: clm does as if it were not there`);
          continue;
        }
        problems.push(`${key} (${shown(value)}) is not known to clm and may change the results`);
        unknownKeys.push(key);
      }
      for (const key of ignored) {
        if (!metadata.has(key)) problems.push(`--ignore-key ${key}: there is no such key`);
        else if (seen.has(key))
          problems.push(`--ignore-key ${key}: clm computes with this key, so it cannot be ignored`);
      }
    },
  };
}

/** GGUF stores numbers such as 1e-5 as float32; the decimal that was meant is the shortest that rounds to it. */
function shortest(value: number): number {
  for (let digits = 1; digits < 10; digits++) {
    const decimal = Number(value.toPrecision(digits));
    if (Math.fround(decimal) === value) return decimal;
  }
  return value;
}

const shown = (value: unknown): string => {
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
};
