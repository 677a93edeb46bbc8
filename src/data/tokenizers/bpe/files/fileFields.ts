/** The fields of a tokenizer.json, each read with its type or refused by its name: nothing is passed over. */
import { wrongInput } from '../../../../errors.ts';

/** One mapping of the file, as it is asked for its fields. */
export interface Fields {
  /** Where the mapping stands, as in "pre_tokenizer.pretokenizers[0]"; empty for the file itself. */
  readonly at: string;
  /** The value as it is; undefined where the field is missing. */
  value(name: string): unknown;
  text(name: string): string;
  /** false where the field is missing, unless another default is given. */
  flag(name: string, missing?: boolean): boolean;
  /** A nested mapping; undefined where it is missing or null. */
  fields(name: string): Fields | undefined;
  /** A list of mappings. */
  list(name: string): Fields[];
  /** The only values that clm knows of a field. Missing counts as null. */
  only(name: string, ...values: (string | boolean | number | null)[]): void;
  /** The error for what clm does not do. */
  refusal(name: string, what: string): Error;
  /** @throws wrongInput for fields that nobody asked for */
  finish(...ignored: string[]): void;
}

/** @param path of the file, for messages. */
export function fieldsOf(value: unknown, path: string, at = ''): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrongInput(`${path}: ${at === '' ? 'the file' : at} is no mapping. Take a fresh copy of the file.`);
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
      `${shown(found)} is no ${type === 'string' ? 'text' : 'true or false'}. Take a fresh copy of the file.`,
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
      if (!Array.isArray(found)) throw refusal(name, 'is no list. Take a fresh copy of the file.');
      return found.map((item, i) => fieldsOf(item, path, `${nameOf(name)}[${i}]`));
    },
    only: (name, ...values) => {
      const found = get(name) ?? null;
      if (values.some((value) => value === found)) return;
      throw refusal(name, `${shown(found)} is nothing clm can do; it knows ${values.map(shown).join(', ')}.`);
    },
    finish: (...ignored) => {
      const unknown = [...entries.keys()].find((name) => !asked.has(name) && !ignored.includes(name));
      if (unknown !== undefined) throw refusal(unknown, 'is a field clm does not know, so it cannot do what it asks.');
    },
  };
}

/** A value in a message, cut short. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}
