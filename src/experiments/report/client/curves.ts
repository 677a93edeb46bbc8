/** Report client, runs in the browser: turns encoded curves into the columns that a chart draws. */
/// <reference lib="dom" />
import type { EncodedCurve, EncodedFloats, ReportRun } from '../reportData.ts';

export type XAxis = 'steps' | 'tokens' | 'flops' | 'time';

interface Curve {
  x: Float64Array;
  y: Float32Array;
  meanX: Float64Array;
  mean: Float32Array;
}

function floats(encoded: EncodedFloats): Float32Array {
  const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

/** Converts steps of a run to the unit of the axis; null if the tokens or FLOPs of its steps are unknown. */
function axisOf(run: ReportRun, axis: XAxis): ((step: number) => number) | null {
  const { tokensPerStep, flopsPerToken } = run;
  if (axis === 'steps') return (step) => step;
  if (axis === 'tokens') return tokensPerStep === null ? null : (step) => step * tokensPerStep;
  if (axis === 'flops')
    return tokensPerStep === null || flopsPerToken === null ? null : (step) => step * tokensPerStep * flopsPerToken;
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

/**
 * Resamples curves on one shared grid of x values, as uPlot needs them. A slot of the grid has two x values, which get
 * the lowest and the highest value of the curve in that slot, in their order; null if it has none.
 */
export function onGrid(
  curves: readonly { x: Float64Array; y: Float32Array }[],
  grid: Float64Array,
): (number | null)[][] {
  const slots = grid.length / 2;
  const first = grid[0]!;
  const last = grid[grid.length - 1]!;
  return curves.map(({ x, y }) => {
    const column = new Array<number | null>(grid.length).fill(null);
    let slot = -1;
    let low = 0;
    let high = 0;
    const put = (): void => {
      if (slot < 0) return;
      column[2 * slot] = y[Math.min(low, high)]!;
      if (low !== high) column[2 * slot + 1] = y[Math.max(low, high)]!;
    };
    for (let i = 0; i < x.length; i++) {
      const at = Math.min(
        slots - 1,
        Math.max(0, Math.floor(((x[i]! - first) / Math.max(last - first, 1e-12)) * slots)),
      );
      if (at !== slot) {
        put();
        slot = at;
        low = i;
        high = i;
      } else if (y[i]! < y[low]!) low = i;
      else if (y[i]! > y[high]!) high = i;
    }
    put();
    return column;
  });
}

/** Evenly spaced x values over the range of all curves; on a log axis, of their positive part. */
export function sharedGrid(curves: readonly { x: Float64Array }[], slots: number, log: boolean): Float64Array {
  let low = Infinity;
  let high = -Infinity;
  for (const { x } of curves) {
    for (const value of x) {
      if (log && value <= 0) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  if (!(high > low)) [low, high] = Number.isFinite(low) ? [low, low + 1] : [0, 1];
  return Float64Array.from({ length: 2 * slots }, (_, i) => low + ((high - low) * i) / (2 * slots - 1));
}
