/** Report client, runs in the browser: draws one chart, a line and a band for each setting; keyboard shortcuts. */
/// <reference lib="dom" />
import type UPlot from 'uplot';
import type { ReportChart, ReportData } from '../reportData.ts';
import { bandOf, decodedCurve, envelope, onGrid, sharedGrid, smoothed, type XAxis } from './curves.ts';
import { colourOf, dashOf } from './swatches.ts';

declare const uPlot: typeof UPlot;

export interface View {
  axis: XAxis;
  logX: boolean;
  logY: boolean;
  smoothing: number;
  raw: boolean;
  /** Whether each setting is shown. */
  visible: boolean[];
}

const chartHeight = 300;
const gridSlots = 700;
/** Numbers at the ends of more lines would hide each other. */
const mostEndLabels = 20;
const axisNames: Record<XAxis, string> = { steps: 'step', tokens: 'tokens', flops: 'FLOPs', time: 'minutes' };
const valueText = (value: number): string =>
  Math.abs(value) >= 1000 ? Math.round(value).toLocaleString('en-US') : value.toPrecision(4);

/** Draws a chart into its frame and removes the former one. */
export function drawChart(frame: HTMLElement, chart: ReportChart, data: ReportData, view: View, former?: UPlot): UPlot {
  former?.destroy();
  const isNoisy = !chart.key.startsWith('validation') && chart.key !== 'learningRate';
  const { grid, lines } = linesOf(chart, data, view, isNoisy);
  const isLogY = view.logY;
  const onAxis = (column: (number | null)[]): (number | null)[] =>
    isLogY ? column.map((value) => (value !== null && value <= 0 ? null : value)) : column;
  const columns = lines.flatMap(({ mean, low, high }) => [onAxis(mean), onAxis(low), onAxis(high)]);
  const ink = getComputedStyle(document.body).color;
  const line = getComputedStyle(document.documentElement).getPropertyValue('--line');
  const readout = frame.previousElementSibling as HTMLElement;
  const axis: UPlot.Axis = {
    stroke: ink,
    grid: { stroke: line, width: 1 },
    ticks: { stroke: line },
    values: (_, splits) => splits.map((value) => (value === null ? '' : compact(value))),
  };
  // Also what shows the unsmoothed values of a single run.
  const edge = { width: isNoisy && view.raw ? 0.75 : 0, spanGaps: true, points: { show: false } };
  const plot = new uPlot(
    {
      width: Math.max(240, frame.clientWidth),
      height: chartHeight,
      padding: [8, 24, 0, 0],
      legend: { show: false },
      cursor: { drag: { x: true, y: false }, focus: { prox: 24 } },
      scales: { x: { time: false, distr: view.logX ? 3 : 1 }, y: { distr: isLogY ? 3 : 1 } },
      axes: [
        { ...axis, label: axisNames[view.axis], labelSize: 22, size: 36 },
        { ...axis, size: 58 },
      ],
      series: [
        {},
        ...lines.flatMap(({ setting, isPoint }) => [
          {
            label: data.settings[setting]!,
            stroke: colourOf(setting),
            width: 1.75,
            dash: dashOf(setting),
            spanGaps: true,
            points: { show: isPoint, size: 8, fill: colourOf(setting) },
          },
          ...[0, 1].map(() => ({ ...edge, stroke: `${colourOf(setting)}70` })),
        ]),
      ],
      bands: lines.map(({ setting }, i) => ({
        series: [3 * i + 3, 3 * i + 2] as [number, number],
        fill: `${colourOf(setting)}2e`,
      })),
      hooks: {
        draw: lines.length > mostEndLabels ? [] : [(self) => labelEnds(self, grid, lines, ink)],
        setCursor: [
          (self) => {
            const at = self.cursor.idx;
            if (at === null || at === undefined) return;
            const values = lines.flatMap(({ setting, mean, low, high }) => {
              const value = mean[at] ?? null;
              if (value === null) return [];
              const range = low[at] === high[at] ? '' : ` (${valueText(low[at]!)} to ${valueText(high[at]!)})`;
              return [`${setting + 1} ${data.settings[setting]!}: ${valueText(value)}${range}`];
            });
            readout.textContent = `${axisNames[view.axis]} ${valueText(grid[at]!)} · ${values.join(' · ')}`;
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

type Line = ReturnType<typeof bandOf> & { setting: number; isPoint: boolean };

/** A line and a band for every setting that is shown and has such a curve. */
function linesOf(
  { key }: ReportChart,
  { runs, settings }: ReportData,
  { axis, logX, smoothing, raw, visible }: View,
  isNoisy: boolean,
): { grid: Float64Array; lines: Line[] } {
  const shown = settings.flatMap((_, setting) => {
    if (!visible[setting]) return [];
    const curves = runs
      .filter((run) => run.setting === setting)
      .flatMap((run) => decodedCurve(run, key, axis) ?? [])
      .map((curve) => ({
        raw: curve,
        line: isNoisy ? { x: curve.meanX, y: smoothed(curve.mean, smoothing) } : curve,
      }));
    return curves.length === 0 ? [] : [{ setting, curves }];
  });
  const all = shown.flatMap(({ curves }) => curves.map((curve) => curve.line));
  const grid = sharedGrid(all, gridSlots, logX, !isNoisy);
  const lines = shown.map(({ setting, curves }) => {
    const band = bandOf(
      curves.map(({ line }) => onGrid(line, grid)),
      isNoisy && raw ? curves.map((curve) => envelope(curve.raw, grid)) : null,
    );
    return { setting, ...band, isPoint: band.mean.filter((value) => value !== null).length === 1 };
  });
  return { grid, lines };
}

/** The number of each setting at the end of its line; those that would touch are moved apart. */
function labelEnds(plot: UPlot, grid: Float64Array, lines: readonly Line[], ink: string): void {
  const { ctx, bbox } = plot;
  const scale = devicePixelRatio;
  const ends = lines
    .flatMap(({ setting, mean }) => {
      const at = mean.findLastIndex((value) => value !== null);
      if (at === -1) return [];
      const x = plot.valToPos(grid[at]!, 'x', true);
      const y = plot.valToPos(mean[at]!, 'y', true);
      return Number.isFinite(y) && x <= bbox.left + bbox.width + 1 ? [{ text: String(setting + 1), x, y }] : [];
    })
    .sort((a, b) => a.y - b.y);
  const gap = 12 * scale;
  ends.forEach((end, i) => (end.y = Math.max(end.y, (ends[i - 1]?.y ?? -Infinity) + gap)));
  const bottom = bbox.top + bbox.height - gap / 2;
  ends.toReversed().forEach((end, i, below) => (end.y = Math.min(end.y, (below[i - 1]?.y ?? bottom + gap) - gap)));
  ctx.save();
  ctx.font = `600 ${11 * scale}px system-ui, sans-serif`;
  ctx.fillStyle = ink;
  ctx.textBaseline = 'middle';
  for (const { text, x, y } of ends) ctx.fillText(text, x + 7 * scale, y);
  ctx.restore();
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
