/**
 * Plain text tables with aligned columns. In a narrow terminal, columns that can be missed are left out, and then a row
 * takes several lines: nothing is cut, so that rows can be told apart and numbers stay whole.
 */

export interface Column<Row> {
  title: string;
  align?: 'left' | 'right';
  text: (row: Row) => string;
  /** Left out if the terminal is too narrow; of several, the last first. */
  isOptional?: boolean;
}

/** Between two columns, and before the further lines of a row. */
const gap = '  ';

/** @param width of the terminal in characters; Infinity for no limit */
export function renderTable<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  width = stdoutWidth(),
): string[] {
  const laidOut = columns
    .map(({ title, align = 'left', text, isOptional = false }) => {
      const cells = [title, ...rows.map(text)];
      return { align, isOptional, cells, width: Math.max(...cells.map((cell) => cell.length)) };
    })
    .filter((column) => column.width > 0);
  const fits = (part: readonly { width: number }[]): boolean =>
    part.reduce((sum, column) => sum + column.width, gap.length * (part.length - 1)) <= width;
  while (!fits(laidOut)) {
    const missed = laidOut.findLastIndex(({ isOptional }) => isOptional);
    if (missed < 0) break;
    laidOut.splice(missed, 1);
  }
  // The lines of a row: all columns in one, or the first column alone, then as many as fit into each.
  const lines: (typeof laidOut)[] = [];
  for (const [i, column] of laidOut.entries()) {
    const last = lines.at(-1);
    const indented = [{ width: 0 }, ...(last ?? []), column];
    if (last !== undefined && (fits(laidOut) || (i > 1 && fits(indented)))) last.push(column);
    else lines.push([column]);
  }
  return Array.from({ length: rows.length + 1 }, (_, row) =>
    lines.map((line, i) => {
      const cells = line.map(({ align, cells, width: most }) =>
        align === 'right' ? cells[row]!.padStart(most) : cells[row]!.padEnd(most),
      );
      return `${i === 0 ? '' : gap}${cells.join(gap)}`.trimEnd();
    }),
  ).flat();
}

/**
 * Lines of labels and texts. A text that is wider than the terminal goes on below its beginning; words stay whole.
 * @param labelWidth at least this many characters, with the space after a label
 */
export function renderFacts(
  facts: readonly (readonly [label: string, text: string])[],
  labelWidth = 0,
  width = stdoutWidth(),
): string[] {
  const indent = Math.max(labelWidth, ...facts.map(([label]) => label.length + gap.length));
  return facts.flatMap(([label, text]) =>
    wrapped(text, Math.max(20, width - indent)).map((line, i) => `${(i === 0 ? label : '').padEnd(indent)}${line}`),
  );
}

/** A line that is wider than the terminal in several, the further ones indented. */
export const hanging = (text: string, indent: number, width = stdoutWidth()): string[] =>
  text.length <= width
    ? [text]
    : wrapped(text.slice(indent), Math.max(20, width - indent)).map(
        (line, i) => (i === 0 ? text.slice(0, indent) : ' '.repeat(indent)) + line,
      );

/** A text in lines of at most `width` characters, broken at spaces; only a longer word makes a longer line. */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines.push(`${lines.pop()!} ${word}`);
    else lines.push(word);
  }
  return lines;
}

/** Width of stdout's terminal, or Infinity in a pipe. */
export const stdoutWidth = (): number =>
  process.stdout.isTTY && process.stdout.columns > 0 ? process.stdout.columns : Infinity;

/** A loss, or a dash if there is none. */
export const lossText = (loss: number | null): string => (loss === null ? '–' : loss.toFixed(4));
