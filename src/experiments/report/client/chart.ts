/** Report client, runs in the browser: draws one chart and handles its keyboard shortcuts. */
/// <reference lib="dom" />
import type UPlot from 'uplot';
import type { ReportChart, ReportRun } from '../reportData.ts';
import { decodedCurve, onGrid, sharedGrid, smoothed, type XAxis } from './curves.ts';

declare const uPlot: typeof UPlot;

export interface View {
  axis: XAxis;
  logX: boolean;
  logY: boolean;
  smoothing: number;
  raw: boolean;
  /** Whether each run is shown. */
  visible: boolean[];
}

const palette = '#0072b2 #d55e00 #009e73 #cc79a7 #b38600 #56b4e9 #8a63d2 #6b7280 #c2185b #4caf50'.split(' ');
export const colourOf = (run: number): string => palette[run % palette.length]!;
/** After ten runs the colours repeat, with dashed lines. */
export const dashOf = (run: number): number[] =>
  [[], [8, 4], [2, 4], [10, 3, 2, 3]][Math.floor(run / palette.length) % 4]!;

const chartHeight = 300;
const gridSlots = 700;
const axisNames: Record<XAxis, string> = { steps: 'step', tokens: 'tokens', flops: 'FLOPs', time: 'minutes' };
const valueText = (value: number): string =>
  Math.abs(value) >= 1000 ? Math.round(value).toLocaleString('en-US') : value.toPrecision(4);

/** Draws a chart into its frame and removes the former one. */
export function drawChart(
  frame: HTMLElement,
  chart: ReportChart,
  runs: readonly ReportRun[],
  view: View,
  former?: UPlot,
): UPlot {
  former?.destroy();
  const shown = runs
    .map((run, index) => ({ run, index, curve: decodedCurve(run, chart.key, view.axis) }))
    .filter(({ curve, index }) => curve !== undefined && view.visible[index]);
  const isNoisy = !chart.key.startsWith('validation') && chart.key !== 'learningRate';
  const lines = shown.flatMap(({ run, index, curve }) => {
    const { x, y, meanX, mean } = curve!;
    const colour = colourOf(index);
    const main = {
      x: isNoisy ? meanX : x,
      y: isNoisy ? smoothed(mean, view.smoothing) : y,
      label: run.name,
      colour,
      width: 1.75,
      dash: dashOf(index),
      isMain: true,
    };
    const faint = `${colour}${shown.length > 6 ? '26' : '50'}`;
    const unsmoothed = { ...main, x, y, colour: faint, width: 1, dash: [], isMain: false };
    return isNoisy && view.raw ? [unsmoothed, main] : [main];
  });
  lines.sort((a, b) => Number(a.isMain) - Number(b.isMain)); // smoothed curves are drawn over all unsmoothed ones
  const grid = sharedGrid(lines, gridSlots, view.logX);
  const ink = getComputedStyle(document.body).color;
  const line = getComputedStyle(document.documentElement).getPropertyValue('--line');
  const readout = frame.nextElementSibling as HTMLElement;
  const isLogY = view.logY;
  const columns = onGrid(lines, grid).map((column) =>
    isLogY ? column.map((value) => (value !== null && value <= 0 ? null : value)) : column,
  );
  const axis: UPlot.Axis = {
    stroke: ink,
    grid: { stroke: line, width: 1 },
    ticks: { stroke: line },
    values: (_, splits) => splits.map((value) => (value === null ? '' : compact(value))),
  };
  const plot = new uPlot(
    {
      width: Math.max(240, frame.clientWidth),
      height: chartHeight,
      legend: { show: false },
      cursor: { drag: { x: true, y: false }, focus: { prox: 24 } },
      scales: { x: { time: false, distr: view.logX ? 3 : 1 }, y: { distr: isLogY ? 3 : 1 } },
      axes: [
        { ...axis, label: axisNames[view.axis], labelSize: 22, size: 36 },
        { ...axis, size: 58 },
      ],
      series: [
        {},
        ...lines.map(({ label, colour, width, dash }) => ({
          label,
          stroke: colour,
          width,
          dash,
          spanGaps: true,
          points: { show: false },
        })),
      ],
      hooks: {
        setCursor: [
          (self) => {
            const at = self.cursor.idx;
            if (at === null || at === undefined) return;
            const values = lines.flatMap(({ isMain, label }, i) => {
              const value = isMain ? nearest(columns[i]!, at) : null;
              return value === null ? [] : [`${label} ${valueText(value)}`];
            });
            readout.textContent = `${axisNames[view.axis]} ${valueText(grid[at]!)}: ${values.join(' · ')}`;
          },
        ],
      },
    },
    [grid, ...columns],
    frame,
  );
  frame.onkeydown = (event) => {
    if (onKey(plot, event.key)) event.preventDefault();
  };
  return plot;
}

/** The value of a column at an index, or the nearest one within 40. */
function nearest(column: readonly (number | null)[], at: number): number | null {
  for (let away = 0; away < 40; away++) {
    const value = column[at - away] ?? column[at + away] ?? null;
    if (value !== null) return value;
  }
  return null;
}

/** Moves the cursor or zooms. @returns whether the key is a shortcut */
function onKey(plot: UPlot, key: string): boolean {
  const xs = plot.data[0];
  const { min, max } = plot.scales['x'] as { min: number; max: number };
  const at = plot.cursor.idx ?? Math.floor(xs.length / 2);
  if (key === 'ArrowLeft' || key === 'ArrowRight' || key === 'Home' || key === 'End') {
    const step = Math.max(1, Math.round(xs.length / 100));
    const to = key === 'Home' ? 0 : key === 'End' ? xs.length - 1 : at + (key === 'ArrowLeft' ? -step : step);
    const x = Math.min(max, Math.max(min, xs[Math.min(xs.length - 1, Math.max(0, to))]!));
    plot.setCursor({ left: plot.valToPos(x, 'x'), top: plot.over.clientHeight / 2 });
    return true;
  }
  if (key === '0') plot.setScale('x', { min: xs[0]!, max: xs[xs.length - 1]! });
  else if (key === '+' || key === '=' || key === '-') {
    const half = ((max - min) / 2) * (key === '-' ? 2 : 0.5);
    const middle = Math.min(xs[xs.length - 1]!, Math.max(xs[0]!, xs[at]!));
    plot.setScale('x', { min: Math.max(xs[0]!, middle - half), max: Math.min(xs[xs.length - 1]!, middle + half) });
  } else return false;
  return true;
}

function compact(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e15)) return value.toExponential(1).replace('.0e', 'e');
  for (const [limit, suffix] of [
    [1e12, 'T'],
    [1e9, 'G'],
    [1e6, 'M'],
    [1e4, 'k'],
  ] as const) {
    if (size >= limit) return `${Number((value / (suffix === 'k' ? 1e3 : limit)).toPrecision(3))}${suffix}`;
  }
  return String(Number(value.toPrecision(4)));
}
