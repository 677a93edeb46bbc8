/** Medians and the like of measurements. */

/** @param {number[]} values */
const sorted = (values) => values.toSorted((a, b) => a - b);

/** The value at a share of the sorted values, 0 to 1. @param {number[]} values @param {number} share */
export const quantile = (values, share) =>
  sorted(values)[Math.min(values.length - 1, Math.floor(share * values.length))];

/** The upper of the two in the middle if the count is even. @param {number[]} values */
export const median = (values) => quantile(values, 0.5);

/** @param {number[]} values */
export const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** "median 2.44 s (2.40 to 2.51, 5 times)" @param {number[]} values @param {number} digits @param {string} unit */
export function spread(values, digits, unit) {
  const [low, high] = [Math.min(...values), Math.max(...values)].map((value) => value.toFixed(digits));
  return `median ${median(values).toFixed(digits)} ${unit} (${low} to ${high}, ${values.length} times)`;
}
