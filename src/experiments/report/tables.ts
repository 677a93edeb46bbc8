/** Tables of the report: rows on a wide page, and a block for each row on a narrow one, so that nothing is cut off. */
import { isDeepStrictEqual } from 'node:util';
import { listed } from '../comparison/texts.ts';
import { escaped } from './html.ts';

export interface Cell {
  text: string;
  /** Numbers are aligned to the right. */
  isNumber?: boolean;
  /** Index of the setting whose line is drawn beside the text. */
  setting?: number;
}

/**
 * Each row begins with its heading. Roles are written out because a narrow page displays rows as blocks, which takes
 * them from a table.
 */
export function table(label: string, head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const headings = head
    .map((text, i) => `<th role="columnheader" scope="col"${numberClass(rows[0]?.[i])}>${escaped(text)}</th>`)
    .join('');
  const body = rows.map(
    (row) => `<tr role="row">${row.map((cell, i) => cellOf(cell, head[i]!, i === 0)).join('')}</tr>`,
  );
  return (
    `<table role="table" aria-label="${escaped(label)}">` +
    `<thead role="rowgroup"><tr role="row">${headings}</tr></thead>` +
    `<tbody role="rowgroup">${body.join('')}</tbody></table>`
  );
}

function cellOf(cell: Cell, heading: string, isFirst: boolean): string {
  const { text, setting } = cell;
  const mark = setting === undefined ? '' : ` data-setting="${setting}"`;
  if (isFirst) return `<th role="rowheader" scope="row"${mark}>${escaped(text)}</th>`;
  const name = heading === '' || text === '' ? '' : ` data-label="${escaped(heading)}"`;
  return `<td role="cell"${numberClass(cell)}${name}${mark}>${escaped(text)}</td>`;
}

const numberClass = (cell: Cell | undefined): string => (cell?.isNumber ? ' class="number"' : '');

/** At most `most` rows, and the others in a part that can be opened. */
export function foldedTable(
  label: string,
  head: readonly string[],
  rows: readonly (readonly Cell[])[],
  most: number,
  rest: string,
): string {
  const shown = table(label, head, rows.slice(0, most));
  if (rows.length <= most) return shown;
  const others = table(`${label}: ${rest}`, head, rows.slice(most));
  return `${shown}<details><summary>${rows.length - most} ${escaped(rest)}</summary>${others}</details>`;
}

/** Different values of one key beyond this are counted. */
const mostValues = 12;

/**
 * Keys whose values differ, a row for each value with those that have it; then the equal ones, collapsed.
 * @param owners names of what the values belong to, in their order
 */
export function differencesTable(
  label: string,
  owners: readonly string[],
  keys: readonly { key: string; values: readonly unknown[] }[],
  equalTitle: string,
): string {
  const isEqual = ({ values }: { values: readonly unknown[] }): boolean =>
    values.every((value) => isDeepStrictEqual(value, values[0]));
  const different = keys
    .filter((each) => !isEqual(each))
    .flatMap(({ key, values }) => {
      const texts = values.map(plainText);
      const unique = [...new Set(texts)];
      const rows = unique
        .slice(0, mostValues)
        .map((text, i): Cell[] => [
          { text: i === 0 ? key : '' },
          { text },
          { text: listed(owners.filter((_, k) => texts[k] === text)) },
        ]);
      const more = unique.length - mostValues;
      return more > 0 ? [...rows, [{ text: '' }, { text: `${more} more values` }, { text: '' }]] : rows;
    });
  const equal = keys.filter(isEqual).map(({ key, values }): Cell[] => [{ text: key }, { text: plainText(values[0]) }]);
  return (
    (different.length === 0 ? '' : table(label, ['key', 'value', 'of'], different)) +
    `<details><summary>${equal.length} ${equalTitle}</summary>${table(label, ['key', 'value'], equal)}</details>`
  );
}

const plainText = (value: unknown): string => (typeof value === 'string' ? value : (JSON.stringify(value) ?? '–'));
