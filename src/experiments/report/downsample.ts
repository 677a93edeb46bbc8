/**
 * Thins a curve without losing its spikes: of every bucket of neighbouring points the lowest and the highest are kept,
 * in their order. The mean of each bucket is kept as well, for smoothing.
 */

export interface Thinned {
  /** The lowest and highest point of each bucket; all points of a short curve. */
  x: Float32Array;
  y: Float32Array;
  /** Middle and mean of each bucket. */
  meanX: Float32Array;
  mean: Float32Array;
}

/** Points that are not finite are left out. */
export function thinned(x: readonly number[], y: readonly number[], buckets: number): Thinned {
  const kept: number[] = [];
  for (let i = 0; i < x.length; i++) if (Number.isFinite(x[i]) && Number.isFinite(y[i])) kept.push(i);
  const size = Math.max(1, kept.length / buckets);
  const outX: number[] = [];
  const outY: number[] = [];
  const meanX: number[] = [];
  const mean: number[] = [];
  for (let start = 0; start < kept.length; ) {
    const end = Math.min(kept.length, Math.max(start + 1, Math.round((meanX.length + 1) * size)));
    let low = kept[start]!;
    let high = low;
    let sum = 0;
    for (let k = start; k < end; k++) {
      const i = kept[k]!;
      if (y[i]! < y[low]!) low = i;
      if (y[i]! > y[high]!) high = i;
      sum += y[i]!;
    }
    for (const i of low === high ? [low] : [Math.min(low, high), Math.max(low, high)]) {
      outX.push(x[i]!);
      outY.push(y[i]!);
    }
    meanX.push((x[kept[start]!]! + x[kept[end - 1]!]!) / 2);
    mean.push(sum / (end - start));
    start = end;
  }
  return {
    x: Float32Array.from(outX),
    y: Float32Array.from(outY),
    meanX: Float32Array.from(meanX),
    mean: Float32Array.from(mean),
  };
}
