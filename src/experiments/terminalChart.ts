/**
 * A line chart of characters. Each character is a braille pattern of 2 × 4 dots (from U+2800), so a terminal of 80
 * columns shows about 140 points side by side.
 */

interface ChartSeries {
  points: readonly (readonly [x: number, y: number])[];
}

/** One character: its dots, and the series that set one last and gives it its colour. */
interface Cell {
  dots: number;
  series: number;
}

/** The bit of each dot in a braille pattern, by row and column. */
const dotBits = [
  [0x01, 0x08],
  [0x02, 0x10],
  [0x04, 0x20],
  [0x40, 0x80],
] as const;

/**
 * @param width in characters, at least 20, axes included
 * @param height in characters, at least 4, axes included
 * @param paint colours text of the series with this index
 * @returns `height` lines of at most `width` characters
 */
export function terminalChart(
  series: readonly ChartSeries[],
  {
    width,
    height,
    paint = (text) => text,
  }: { width: number; height: number; paint?: (text: string, series: number) => string },
): string[] {
  const all = series.flatMap(({ points }) => points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y)));
  if (all.length === 0) return ['no records yet'];
  const [left, right] = range(all.map(([x]) => x));
  const [bottom, top] = range(all.map(([, y]) => y));
  const labels = [top, (top + bottom) / 2, bottom].map(axisText);
  const labelWidth = Math.max(...labels.map(({ length }) => length));
  const columns = Math.max(4, width - labelWidth - 2);
  const rows = Math.max(2, height - 1);
  const cells: Cell[][] = Array.from({ length: rows }, () =>
    Array.from({ length: columns }, () => ({ dots: 0, series: 0 })),
  );
  const column = (x: number): number => Math.round(((x - left) / (right - left)) * (2 * columns - 1));
  const row = (y: number): number => Math.round(((top - y) / (top - bottom)) * (4 * rows - 1));
  const dot = (x: number, y: number, index: number): void => {
    const cell = cells[y >> 2]![x >> 1]!;
    cell.dots |= dotBits[(y & 3) as 0 | 1 | 2 | 3][(x & 1) as 0 | 1];
    cell.series = index;
  };
  series.forEach(({ points }, index) => {
    let before: [number, number] | undefined;
    for (const [x, y] of points) {
      if (!Number.isFinite(x) || !Number.isFinite(y)) continue;
      const here: [number, number] = [column(x), row(y)];
      eachDotBetween(before ?? here, here, (dotX, dotY) => dot(dotX, dotY, index));
      before = here;
    }
  });
  const body = cells.map((line, i) => {
    const label = i === 0 ? labels[0]! : i === rows - 1 ? labels[2]! : i === rows >> 1 && rows > 4 ? labels[1]! : '';
    return `${label.padStart(labelWidth)} │${paintedLine(line, paint)}`;
  });
  const ends = [axisText(left), axisText(right)];
  const gap = Math.max(1, columns - ends[0]!.length - ends[1]!.length);
  return [...body, `${' '.repeat(labelWidth)} └${ends[0]}${'─'.repeat(gap)}${ends[1]}`.slice(0, width)];
}

/** Adjacent cells of one series are painted in one call. */
function paintedLine(cells: readonly Cell[], paint: (text: string, series: number) => string): string {
  let line = '';
  for (let start = 0; start < cells.length; ) {
    const { series, dots } = cells[start]!;
    let end = start;
    let text = '';
    for (
      ;
      end < cells.length && (cells[end]!.dots === 0) === (dots === 0) && (dots === 0 || cells[end]!.series === series);
      end++
    ) {
      text += dots === 0 ? ' ' : String.fromCharCode(0x2800 + cells[end]!.dots);
    }
    line += dots === 0 ? text : paint(text, series);
    start = end;
  }
  return line.trimEnd();
}

/** Calls `take` for every dot on the line between two dots, including both. */
function eachDotBetween(
  [x0, y0]: [number, number],
  [x1, y1]: [number, number],
  take: (x: number, y: number) => void,
): void {
  const steps = Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0), 1);
  for (let i = 0; i <= steps; i++)
    take(Math.round(x0 + ((x1 - x0) * i) / steps), Math.round(y0 + ((y1 - y0) * i) / steps));
}

/** Lowest and highest value; equal values are widened to a range. */
function range(values: readonly number[]): [number, number] {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
}

const axisText = (value: number): string =>
  Number.isInteger(value) && Math.abs(value) < 1e7 ? value.toLocaleString('en-US') : value.toPrecision(4);
