import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

import { fieldsOf, findRecordEnd, looksJoined } from '../../../src/data/files/separatedValues.ts';

type Rows = string[][] | null;

/** Texts, and their rows as Python's csv reads them in strict mode: with quotes, and without. null: refused. */
const cases = JSON.parse(readFileSync(new URL('../fixtures/separated-values.json', import.meta.url), 'utf8')) as [
  ',' | '\t',
  string,
  Rows,
  Rows,
][];

/** The rows of a text that is read `step` bytes at a time; null if one is refused. Blank lines are no rows. */
function rowsOf(text: string, delimiter: ',' | '\t', quotes: boolean, step: number): Rows {
  const bytes = Buffer.from(text);
  const rows: string[][] = [];
  let start = 0;
  let find = findRecordEnd({ delimiter, quotes })();
  for (let from = 0, filled = 0; start < bytes.length; ) {
    const end = find(bytes.subarray(0, filled), from, start);
    if (end === null && filled < bytes.length) {
      from = filled;
      filled = Math.min(bytes.length, filled + step);
      continue;
    }
    const record = bytes.subarray(start, end?.start ?? bytes.length).toString();
    const fields = fieldsOf(record, { delimiter, quotes });
    if (!Array.isArray(fields)) return null;
    if (record !== '') rows.push(fields);
    start = from = end?.end ?? bytes.length;
    find = findRecordEnd({ delimiter, quotes })();
  }
  return rows;
}

const withoutBlank = (rows: Rows): Rows => (rows === null ? null : rows.filter((row) => row.length > 0));

describe('records and fields', () => {
  test.each([1, 3, 100])('are those of Python, read %i bytes at a time', (step) => {
    for (const [delimiter, text, quoted, unquoted] of cases) {
      expect(rowsOf(text, delimiter, true, step), JSON.stringify(text)).toEqual(withoutBlank(quoted));
      expect(rowsOf(text, delimiter, false, step), JSON.stringify(text)).toEqual(withoutBlank(unquoted));
    }
  });
});

test.each<[boolean, string, number, ',' | '\t']>([
  [true, '1\t"Yes, he said\n2\tNo\n3\tthen "', 2, '\t'],
  [true, '1,"Yes\n2,No"', 2, ','],
  [true, 'a,"Yes\nb,No\nc,"', 2, ','],
  [true, `"${'a\n'.repeat(101)}"`, 1, ','],
  [false, '1,"Hello\nDear, John"', 2, ','],
  [false, '1,"two\nlines",x', 3, ','],
  [false, '"one\ntwo\nthree"', 1, ','],
  [false, '1,a "quoted" text', 2, ','],
])('%s: looks as if records were joined: %j', (expected, record, columns, delimiter) => {
  expect(looksJoined(record, columns, delimiter)).toBe(expected);
});
