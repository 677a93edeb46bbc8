/** Reads the fields of a tokenizer.json, each with its type. Unknown fields are refused, never ignored. */
import { wrongInput } from '../../../../errors.ts';

/** One JSON object of the file. */
export interface Fields {
  /** Its path in the file, e.g. "pre_tokenizer.pretokenizers[0]"; empty for the file itself. */
  readonly at: string;
  /** The raw value; undefined if the field is missing. */
  value(name: string): unknown;
  text(name: string): string;
  /** `missing` if the field is missing, by default false. */
  flag(name: string, missing?: boolean): boolean;
  /** A nested object; undefined if it is missing or null. */
  fields(name: string): Fields | undefined;
  /** An array of objects; empty if it is missing or null. */
  list(name: string): Fields[];
  /** Refuses any value but these. Missing counts as null. */
  only(name: string, ...values: (string | boolean | number | null)[]): void;
  /** The error for a field that clm cannot use. */
  refusal(name: string, what: string): Error;
  /** @throws wrongInput for fields that were neither read nor are in `ignored` */
  finish(...ignored: string[]): void;
}

/** @param path of the file, for messages. */
export function fieldsOf(value: unknown, path: string, at = ''): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrongInput(`${path}: ${at === '' ? 'the file' : at} is not a JSON object. Get a fresh copy of the file.`);
  }
  const entries = new Map(Object.entries(value));
  const asked = new Set<string>();
  const nameOf = (name: string): string => (at === '' ? name : `${at}.${name}`);
  const get = (name: string): unknown => {
    asked.add(name);
    return entries.get(name);
  };
  const refusal = (name: string, what: string): Error => wrongInput(`${path}: ${nameOf(name)}: ${what}`);
  const typed = (name: string, type: 'string' | 'boolean', found: unknown): unknown => {
    if (typeof found === type) return found;
    throw refusal(
      name,
      `${shown(found)} is not ${type === 'string' ? 'a string' : 'true or false'}. Get a fresh copy of the file.`,
    );
  };
  return {
    at,
    value: get,
    refusal,
    text: (name) => typed(name, 'string', get(name)) as string,
    flag: (name, missing = false) => typed(name, 'boolean', get(name) ?? missing) as boolean,
    fields: (name) => {
      const found = get(name) ?? null;
      return found === null ? undefined : fieldsOf(found, path, nameOf(name));
    },
    list: (name) => {
      const found = get(name) ?? [];
      if (!Array.isArray(found)) throw refusal(name, 'is not an array. Get a fresh copy of the file.');
      return found.map((item, i) => fieldsOf(item, path, `${nameOf(name)}[${i}]`));
    },
    only: (name, ...values) => {
      const found = get(name) ?? null;
      if (values.some((value) => value === found)) return;
      throw refusal(name, `${shown(found)} is not supported; clm supports ${values.map(shown).join(', ')}.`);
    },
    finish: (...ignored) => {
      const unknown = [...entries.keys()].find((name) => !asked.has(name) && !ignored.includes(name));
      if (unknown !== undefined)
        throw refusal(unknown, 'is a field that clm does not support. Ignoring it could change the token ids.');
    },
  };
}

/** A value for a message, shortened. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}
