/** Student's t distribution: tail probabilities and quantiles, for any number of degrees of freedom, whole or not. */

/**
 * P(|T| > t): the regularised incomplete beta function I(ν/2, 1/2) at ν/(ν + t²) (DLMF 8.17, 5.19.E4).
 * @param degrees of freedom ν, greater than 0
 */
export function twoSidedTail(t: number, degrees: number): number {
  const square = t * t;
  if (square === Infinity) return 0;
  const x = degrees / (degrees + square);
  const a = degrees / 2;
  const b = 0.5;
  // The continued fraction converges fast below its mean; above it the other tail does.
  return x < (a + 1) / (a + b + 2) ? betaBelow(x, a, b) : 1 - betaBelow(square / (degrees + square), b, a);
}

/**
 * The t with P(|T| > t) = `tail`, to about 12 digits.
 * @param tail in (0, 1), such as 0.05 for a 95 % interval
 */
export function twoSidedQuantile(tail: number, degrees: number): number {
  let low = 0;
  let high = 1;
  while (twoSidedTail(high, degrees) > tail) {
    low = high;
    high *= 2;
  }
  while (high - low > 1e-13 * high) {
    const middle = (low + high) / 2;
    if (middle === low || middle === high) break;
    if (twoSidedTail(middle, degrees) > tail) low = middle;
    else high = middle;
  }
  return high;
}

/** I(a, b) at x by the continued fraction DLMF 8.17.22, evaluated forwards (modified Lentz method). */
function betaBelow(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  const logFactor = logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x);
  const tiny = 1e-300;
  let numerator = 1;
  let denominator = 0;
  let fraction = 1;
  for (let i = 0; i < 10_000; i++) {
    const m = i >> 1;
    const term =
      i === 0
        ? 1
        : i % 2 === 0
          ? (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m))
          : (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    denominator = 1 / (1 + term * denominator || tiny);
    numerator = 1 + term / numerator || tiny;
    const change = numerator * denominator;
    fraction *= change;
    if (i > 0 && Math.abs(change - 1) < 1e-15) break;
  }
  return (Math.exp(logFactor) * (fraction - 1)) / a;
}

/** ln Γ(x) for x > 0 by Stirling's series (DLMF 5.11.1) above 10 and the recurrence below. */
function logGamma(x: number): number {
  let shift = 0;
  let y = x;
  while (y < 10) shift += Math.log(y++);
  const inverse = 1 / (y * y);
  const series = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse * (1 / 1680 - inverse / 1188)))) / y;
  return (y - 0.5) * Math.log(y) - y + Math.log(2 * Math.PI) / 2 + series - shift;
}
