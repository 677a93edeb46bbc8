/** Report client, runs in the browser: turns encoded curves of runs into the lines and bands of their settings. */
/// <reference lib="dom" />
import type { EncodedCurve, EncodedFloats, ReportRun } from '../reportData.ts';

export type XAxis = 'steps' | 'tokens' | 'flops' | 'time';

export interface Points {
  x: Float64Array;
  y: Float32Array;
}

interface Curve extends Points {
  meanX: Float64Array;
  mean: Float32Array;
}

/** Values on a shared grid, null where a curve has none. */
type Column = (number | null)[];

/** The mean of a setting's runs, and the lowest and highest of them. */
export interface Band {
  mean: Column;
  low: Column;
  high: Column;
}

function floats(encoded: EncodedFloats): Float32Array {
  const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

/** Converts steps of a run to the unit of the axis; null if the tokens or FLOPs of its steps are unknown. */
function axisOf(run: ReportRun, axis: XAxis): ((step: number) => number) | null {
  const { tokensPerStep, flopsPerToken } = run;
  if (axis === 'steps') return (step) => step;
  if (axis === 'tokens' || axis === 'flops') {
    if (tokensPerStep === null || flopsPerToken === null) return null;
    const stages = run.stages ?? [{ fromStep: 0, tokensPerStep, flopsPerToken }];
    return (step) =>
      stages.reduce((sum, stage, i) => {
        const steps = Math.max(0, Math.min(step, stages[i + 1]?.fromStep ?? Infinity) - stage.fromStep);
        return sum + steps * stage.tokensPerStep * (axis === 'tokens' ? 1 : stage.flopsPerToken);
      }, 0);
  }
  const steps = floats(run.clockStep);
  const ms = floats(run.clockMs);
  let at = 0;
  return (step) => {
    if (steps.length === 0 || step <= 0) return 0;
    if (at > 0 && steps[at - 1]! > step) at = 0;
    while (at < steps.length - 1 && steps[at]! < step) at++;
    const [x0, y0] = at === 0 ? [0, 0] : [steps[at - 1]!, ms[at - 1]!];
    const minutes = (y0 + ((ms[at]! - y0) * (step - x0)) / Math.max(steps[at]! - x0, 1e-9)) / 60_000;
    return Math.max(0, minutes);
  };
}

/** The curve of a run on an axis; undefined if the run has none. */
export function decodedCurve(run: ReportRun, key: string, axis: XAxis): Curve | undefined {
  const encoded: EncodedCurve | undefined = run.curves[key];
  const toAxis = axisOf(run, axis);
  if (encoded === undefined || toAxis === null || encoded.x === '') return undefined;
  const onAxis = (steps: Float32Array): Float64Array => Float64Array.from(steps, toAxis);
  return {
    x: onAxis(floats(encoded.x)),
    y: floats(encoded.y),
    meanX: onAxis(floats(encoded.meanX)),
    mean: floats(encoded.mean),
  };
}

/** Exponential moving average, without bias towards 0 at the beginning. */
export function smoothed(values: Float32Array, weight: number): Float32Array {
  let sum = 0;
  let weights = 0;
  return values.map((value) => {
    sum = weight * sum + (1 - weight) * value;
    weights = weight * weights + (1 - weight);
    return sum / weights;
  });
}

/** The values of a curve at the points of a grid, interpolated linearly; null before its first and after its last. */
export function onGrid({ x, y }: Points, grid: Float64Array): Column {
  let at = 0;
  return Array.from(grid, (value) => {
    while (at < x.length && x[at]! < value) at++;
    if (at < x.length && x[at] === value) return y[at]!;
    if (at === 0 || at === x.length) return null;
    return y[at - 1]! + ((y[at]! - y[at - 1]!) * (value - x[at - 1]!)) / (x[at]! - x[at - 1]!);
  });
}

/** The lowest and highest value of a curve between each point of a grid and the next, so that spikes stay visible. */
export function envelope(curve: Points, grid: Float64Array): { low: Column; high: Column } {
  const low = onGrid(curve, grid);
  const high = [...low];
  let at = 0;
  curve.x.forEach((x, i) => {
    while (at < grid.length - 1 && grid[at + 1]! <= x) at++;
    if (x < grid[at]!) return; // before a grid that begins at the first positive value
    low[at] = Math.min(low[at] ?? Infinity, curve.y[i]!);
    high[at] = Math.max(high[at] ?? -Infinity, curve.y[i]!);
  });
  return { low, high };
}

/** Mean and range of lines; the range of unsmoothed values if given. The mean goes as far as half of the lines. */
export function bandOf(lines: readonly Column[], raw: readonly { low: Column; high: Column }[] | null): Band {
  const present = (columns: readonly Column[], i: number): number[] =>
    columns.map((column) => column[i]!).filter((value) => value !== null);
  const lows = raw?.map(({ low }) => low) ?? lines;
  const highs = raw?.map(({ high }) => high) ?? lines;
  const points = lines[0]!.map((_, i) => {
    const values = present(lines, i);
    const isMean = values.length > 0 && 2 * values.length >= lines.length;
    return {
      mean: isMean ? values.reduce((sum, value) => sum + value, 0) / values.length : null,
      low: lowest(present(lows, i)),
      high: highest(present(highs, i)),
    };
  });
  return {
    mean: points.map(({ mean }) => mean),
    low: points.map(({ low }) => low),
    high: points.map(({ high }) => high),
  };
}

const lowest = (values: readonly number[]): number | null => (values.length === 0 ? null : Math.min(...values));
const highest = (values: readonly number[]): number | null => (values.length === 0 ? null : Math.max(...values));

/**
 * Evenly spaced x values over the range of all curves; on a log axis, over its positive part and evenly in its
 * logarithm. With `exact` also the x of every point, so that curves of few points keep their corners.
 */
export function sharedGrid(curves: readonly { x: Float64Array }[], slots: number, log: boolean, exact: boolean) {
  let low = Infinity;
  let high = -Infinity;
  for (const { x } of curves) {
    for (const value of x) {
      if (log && value <= 0) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  if (!(high > low)) [low, high] = Number.isFinite(low) ? [low, low + 1] : [log ? 1 : 0, log ? 2 : 1];
  const even = Float64Array.from({ length: slots }, (_, i) =>
    log ? low * (high / low) ** (i / (slots - 1)) : low + ((high - low) * i) / (slots - 1),
  );
  if (!exact) return even;
  const own = curves.flatMap(({ x }) => [...x]).filter((value) => value >= low && value <= high);
  return Float64Array.from(new Set([...even, ...own])).sort();
}
