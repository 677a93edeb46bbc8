// How fast a quantity grows, and how sure that is.

/** Two-sided 95 % quantiles of Student's t by degrees of freedom, from 1 on. */
const t95 = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179];

const mean = (/** @type {number[]} */ values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/**
 * Least squares through one value each of ten stretches of time: neighbouring samples of memory resemble each other,
 * and taken one by one would make the interval far too narrow.
 * @param {{ minute: number, value: number }[]} samples in the order of time, at least twenty
 * @param {(values: number[]) => number} [reduce] the least of a stretch where what is in use at the moment comes and
 *   goes, and only what stays is asked for
 * @returns {{ mean: number, perMinute: number, margin: number }} the slope lies within `margin` with 95 %
 */
export function slope(samples, reduce = mean) {
  const stretches = 10;
  const points = Array.from({ length: stretches }, (_, i) => {
    const part = samples.slice(
      Math.floor((i * samples.length) / stretches),
      Math.floor(((i + 1) * samples.length) / stretches),
    );
    return { x: mean(part.map(({ minute }) => minute)), y: reduce(part.map(({ value }) => value)) };
  });
  const [x0, y0] = [mean(points.map(({ x }) => x)), mean(points.map(({ y }) => y))];
  const sxx = points.reduce((sum, { x }) => sum + (x - x0) ** 2, 0);
  const perMinute = points.reduce((sum, { x, y }) => sum + (x - x0) * (y - y0), 0) / sxx;
  const residual = points.reduce((sum, { x, y }) => sum + (y - y0 - perMinute * (x - x0)) ** 2, 0);
  const margin = t95[stretches - 3] * Math.sqrt(residual / (stretches - 2) / sxx);
  return { mean: y0, perMinute, margin };
}

/** The mean of a few differences, and its margin with 95 %. @param {number[]} differences two to thirteen */
export function meanDifference(differences) {
  const middle = mean(differences);
  const n = differences.length;
  const variance = differences.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (n - 1);
  return { mean: middle, margin: t95[n - 2] * Math.sqrt(variance / n) };
}
