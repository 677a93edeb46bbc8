/** Means, medians and deviations of measurements. */

/** The upper of the two middle values of an even number of them; NaN of none. */
export const median = (values: readonly number[]): number =>
  Float64Array.from(values).sort()[values.length >> 1] ?? NaN;

export interface Spread {
  n: number;
  mean: number;
  /** Sample standard deviation (n − 1); null for a single value. */
  deviation: number | null;
}

/** Ignores null; null if no value remains. */
export function spreadOf(values: readonly (number | null)[]): Spread | null {
  const known = values.filter((each) => each !== null);
  const n = known.length;
  if (n === 0) return null;
  const mean = known.reduce((sum, each) => sum + each, 0) / n;
  const squares = known.reduce((sum, each) => sum + (each - mean) ** 2, 0);
  return { n, mean, deviation: n > 1 ? Math.sqrt(squares / (n - 1)) : null };
}

/** Mean and standard deviation of losses, `1.2600 ± 0.0100`; the mean alone for one value; a dash for none. */
export const spreadText = (spread: Spread | null): string =>
  spread === null
    ? '–'
    : spread.mean.toFixed(4) + (spread.deviation === null ? '' : ` ± ${spread.deviation.toFixed(4)}`);
