/** Means and medians of measurements, and whether two means differ by more than runs with different seeds do. */

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

export interface Difference {
  /** How much higher the mean of b is. */
  difference: number;
  /** Half the width of the 95 % confidence interval of the difference; null if both groups have a single value. */
  margin: number | null;
  isWithinSpread: boolean | null;
}

/**
 * The difference of two means with Welch's interval (B. L. Welch, Biometrika 34, 1947), which does not assume equal
 * variances. A group with a single value is assumed to have the deviation of the other.
 */
export function differenceOf(a: Spread, b: Spread): Difference {
  const difference = b.mean - a.mean;
  const deviationA = a.deviation ?? b.deviation;
  const deviationB = b.deviation ?? a.deviation;
  if (deviationA === null || deviationB === null) return { difference, margin: null, isWithinSpread: null };
  const varianceA = deviationA ** 2 / a.n;
  const varianceB = deviationB ** 2 / b.n;
  const degrees =
    a.n > 1 && b.n > 1 && varianceA + varianceB > 0
      ? (varianceA + varianceB) ** 2 / (varianceA ** 2 / (a.n - 1) + varianceB ** 2 / (b.n - 1))
      : Math.max(a.n, b.n) - 1;
  const margin = studentQuantile(degrees) * Math.sqrt(varianceA + varianceB);
  return { difference, margin, isWithinSpread: Math.abs(difference) <= margin };
}

/** 97.5 % quantiles of Student's t for 1, 2, 3 … degrees of freedom (any table of the distribution). */
const quantiles = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131,
];
const largeSampleQuantile = 1.96;

/** Interpolates between whole degrees; beyond the table it uses the series 1.96 + 2.37/ν, accurate to 0.01. */
export function studentQuantile(degrees: number): number {
  if (degrees >= quantiles.length) return largeSampleQuantile + 2.37 / degrees + 2.8 / degrees ** 2;
  const whole = Math.max(1, Math.floor(degrees));
  const low = quantiles[whole - 1]!;
  return low + (Math.max(degrees, 1) - whole) * ((quantiles[whole] ?? low) - low);
}

/** Mean and standard deviation of losses, `1.2600 ± 0.0100`; the mean alone for one value; a dash for none. */
export const spreadText = (spread: Spread | null): string =>
  spread === null
    ? '–'
    : spread.mean.toFixed(4) + (spread.deviation === null ? '' : ` ± ${spread.deviation.toFixed(4)}`);

/** How a group compares with the best one, e.g. `0.0300 higher, within the spread between seeds (95 %: ±0.0500)`. */
export function differenceText({ difference, margin, isWithinSpread }: Difference): string {
  const higher = `${difference.toFixed(4)} higher`;
  if (margin === null) return `${higher}, spread between seeds unknown (one seed each)`;
  const relation = isWithinSpread ? 'within' : 'beyond';
  return `${higher}, ${relation} the spread between seeds (95 %: ±${margin.toFixed(4)})`;
}
