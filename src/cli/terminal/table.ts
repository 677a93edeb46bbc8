/** Plain text tables with aligned columns; the first column is cut if the terminal is narrow. */

export interface Column<Row> {
  title: string;
  align?: 'left' | 'right';
  text: (row: Row) => string;
}

/** @param width of the terminal in characters; Infinity for no limit */
export function renderTable<Row>(rows: readonly Row[], columns: readonly Column<Row>[], width = Infinity): string[] {
  const cells = [columns.map(({ title }) => title), ...rows.map((row) => columns.map(({ text }) => text(row)))];
  const widths = columns.map((_, i) => Math.max(...cells.map((row) => row[i]!.length)));
  const excess = widths.reduce((sum, each) => sum + each, 2 * (columns.length - 1)) - width;
  if (excess > 0) widths[0] = Math.max(8, widths[0]! - excess);
  return cells.map((row) =>
    row
      .map((text, i) => {
        const cut = text.length > widths[i]! ? `${text.slice(0, widths[i]! - 1)}…` : text;
        return columns[i]!.align === 'right' ? cut.padStart(widths[i]!) : cut.padEnd(widths[i]!);
      })
      .join('  ')
      .trimEnd(),
  );
}

/** Width of stdout's terminal, or Infinity in a pipe. */
export const stdoutWidth = (): number =>
  process.stdout.isTTY && process.stdout.columns > 0 ? process.stdout.columns : Infinity;

/** A loss, or a dash if there is none. */
export const lossText = (loss: number | null): string => (loss === null ? '–' : loss.toFixed(4));
