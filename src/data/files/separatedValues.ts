/**
 * CSV and TSV (RFC 4180): where records end, with quoted fields that may contain line ends, and their fields. As in
 * Python's csv, a quote inside a field that does not begin with one is text.
 */
import { findBytes } from './splitAtDelimiters.ts';
import type { FindDelimiter } from './splitAtDelimiters.ts';

export interface Separation {
  readonly delimiter: ',' | '\t';
  /** Whether a quote at the start of a field begins a quoted field; else quotes are text like any other. */
  readonly quotes: boolean;
}

const quote = 0x22;
const lineFeed = 0x0a;

type Place = 'fieldStart' | 'plain' | 'quoted' | 'quoteInQuoted';

/** Finds the next LF outside of quoted fields, which ends a record. The CR of a CR LF is left to `fieldsOf`. */
export function findRecordEnd({ delimiter, quotes }: Separation): () => FindDelimiter {
  if (!quotes) return findBytes(Uint8Array.of(lineFeed));
  const separator = delimiter.charCodeAt(0);
  return () => {
    let place: Place = 'fieldStart';
    return (bytes, from) => {
      for (let at = from; at < bytes.length; at++) {
        const byte = bytes[at];
        if (place === 'quoted') {
          if (byte === quote) place = 'quoteInQuoted';
        } else if (byte === quote && place !== 'plain') place = 'quoted';
        else if (byte === separator) place = 'fieldStart';
        else if (byte === lineFeed) return { start: at, end: at + 1 };
        else place = 'plain';
      }
      return null;
    };
  };
}

/** The fields of one record, or what is wrong with its quotes. */
export function fieldsOf(record: string, { delimiter, quotes }: Separation): string[] | 'openQuote' | 'textAfterQuote' {
  const text = record.endsWith('\r') ? record.slice(0, -1) : record;
  if (!quotes) return text.split(delimiter);
  const fields: string[] = [];
  for (let at = 0; ; ) {
    if (text[at] !== '"') {
      const end = text.indexOf(delimiter, at);
      fields.push(end < 0 ? text.slice(at) : text.slice(at, end));
      if (end < 0) return fields;
      at = end + 1;
      continue;
    }
    let field = '';
    for (at++; ; ) {
      const end = text.indexOf('"', at);
      if (end < 0) return 'openQuote';
      field += text.slice(at, end);
      at = end + 1;
      if (text[at] !== '"') break;
      field += '"';
      at++;
    }
    fields.push(field);
    if (at === text.length) return fields;
    if (text[at] !== delimiter) return 'textAfterQuote';
    at++;
  }
}

/** More lines than a field of text has, as a rule. */
const manyLines = 100;

/**
 * Whether a record of several lines looks as if a stray quote had joined several records: each of its later lines has
 * as many delimiters as a record, or there are very many of them.
 */
export function looksJoined(record: string, columns: number, delimiter: ',' | '\t'): boolean {
  const [first, ...later] = record.split('\n') as [string, ...string[]];
  if (later.length === 0) return false;
  if (later.length >= manyLines) return true;
  if (columns < 2 || !later.every((line) => line.split(delimiter).length === columns)) return false;
  const isNumbered = [first, ...later].every((line) => /^\d+$/.test(line.slice(0, line.indexOf(delimiter))));
  // One comma in one further line is common in prose.
  return isNumbered || delimiter === '\t' || columns > 2 || later.length > 1;
}
