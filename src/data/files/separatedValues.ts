/** CSV and TSV (RFC 4180): where records end, with quoted fields that may contain line ends, and their fields. */
import type { FindDelimiter } from './splitAtDelimiters.ts';

const quote = 0x22;
const lineFeed = 0x0a;

/** Finds the next LF outside of quotes, which ends a record. The CR of a CR LF is left to `fieldsOf`. */
export function findRecordEnd(): FindDelimiter {
  let isQuoted = false;
  return (bytes, from) => {
    for (let at = from; at < bytes.length; at++) {
      if (bytes[at] === quote) isQuoted = !isQuoted;
      else if (bytes[at] === lineFeed && !isQuoted) return { start: at, end: at + 1 };
    }
    return null;
  };
}

/** The fields of one record, or null if a quote stays open or text follows a closing quote. */
export function fieldsOf(record: string, delimiter: ',' | '\t'): string[] | null {
  const text = record.endsWith('\r') ? record.slice(0, -1) : record;
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
      if (end < 0) return null;
      field += text.slice(at, end);
      at = end + 1;
      if (text[at] !== '"') break;
      field += '"';
      at++;
    }
    fields.push(field);
    if (at === text.length) return fields;
    if (text[at] !== delimiter) return null;
    at++;
  }
}
