import { expect, it } from 'vitest';
import { twoSidedQuantile, twoSidedTail } from '../../../src/experiments/comparison/studentT.ts';

it('quantiles of Student’s t equal those of published tables', () => {
  // NIST/SEMATECH e-Handbook 1.3.6.7.2; ν, tail of both sides, t.
  for (const [degrees, tail, t] of [
    [1, 0.05, 12.706],
    [2, 0.05, 4.303],
    [2, 0.01, 9.925],
    [3, 0.1, 2.353],
    [5, 0.05, 2.571],
    [10, 0.02, 2.764],
    [30, 0.05, 2.042],
    [100, 0.002, 3.174],
    [1e9, 0.05, 1.96],
  ] as const) {
    expect(Math.abs(twoSidedQuantile(tail, degrees) - t), `ν ${degrees}, tail ${tail}`).toBeLessThan(5.1e-4);
  }
});

it('tails agree with the closed forms of one and two degrees of freedom, and with their quantiles', () => {
  for (const t of [0, 0.01, 0.5, 1, 3, 40, 5000]) {
    expect(twoSidedTail(t, 1)).toBeCloseTo(1 - (2 / Math.PI) * Math.atan(t), 12);
    expect(twoSidedTail(-t, 2)).toBeCloseTo(1 - t / Math.sqrt(2 + t * t), 12);
  }
  expect(twoSidedTail(Infinity, 3)).toBe(0);
  for (const degrees of [1, 2.94, 17, 350.5])
    for (const tail of [0.9, 0.05, 1e-4, 1e-7])
      expect(twoSidedTail(twoSidedQuantile(tail, degrees), degrees) / tail).toBeCloseTo(1, 8);
});
