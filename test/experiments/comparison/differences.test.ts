import { describe, expect, it } from 'vitest';
import { differencesTo, type Observation } from '../../../src/experiments/comparison/differences.ts';
import { spreadOf } from '../../../src/statistics.ts';

/** Observations of seeds 1, 2, 3 …; null leaves a seed out. */
const ofSeeds = (...values: (number | null)[]): Observation[] =>
  values.flatMap((value, i) => (value === null ? [] : [{ seed: i + 1, value }]));

const differenceOf = (a: Observation[], b: Observation[]) => differencesTo(a, [b]).differences[0]!;

describe('spread of seeds', () => {
  it('equals that of the textbook', () => {
    expect(spreadOf([2, 4, 4, 4, 5, 5, 7, 9, null])).toEqual({ n: 8, mean: 5, deviation: Math.sqrt(32 / 7) });
    expect(spreadOf([3])).toEqual({ n: 1, mean: 3, deviation: null });
    expect(spreadOf([null])).toBeNull();
  });
});

describe('the difference of two settings', () => {
  it('is paired by seed: what every seed shows is a difference, however far the seeds are apart', () => {
    const base = [2, 3, 4];
    const { difference, margin, isWithinSpread, method, n, confidence } = differenceOf(
      ofSeeds(...base),
      ofSeeds(...[0.113, 0.148, 0.145].map((each, i) => base[i]! + each)),
    );
    // By hand: mean 0.1353, deviation 0.0194, 4.3027 · 0.0194 / √3.
    expect(difference).toBeCloseTo(0.13533, 5);
    expect(margin).toBeCloseTo(0.0482, 3);
    expect({ isWithinSpread, method, n, confidence }).toEqual({
      isWithinSpread: false,
      method: 'paired',
      n: [3, 3],
      confidence: 0.95,
    });
    // The same results with other seeds are within the spread.
    const unpaired = ofSeeds(null, null, null, 2.113, 3.148, 4.145);
    expect(differenceOf(ofSeeds(...base), unpaired)).toMatchObject({ method: 'welch', isWithinSpread: true });
  });

  it('is paired over the shared seeds if one setting has more, and Welch’s if both have seeds of their own', () => {
    const paired = differenceOf(ofSeeds(1, 2, 9), ofSeeds(1.5, 2.7));
    expect(paired).toMatchObject({ method: 'paired', n: [2, 2] });
    expect(paired.difference).toBeCloseTo(0.6, 12);
    // Variances 0.01/3 and 0.04/3, ν = (0.05/3)² / ((0.01/3)²/2 + (0.04/3)²/2) = 50/17; t for it from R's qt.
    const welch = differenceOf(ofSeeds(1, 1.1, 1.2), ofSeeds(1.9, 2.1, null, 2.3));
    expect(welch).toMatchObject({ method: 'welch', n: [3, 3], isWithinSpread: false });
    expect(welch.margin).toBeCloseTo(3.2195 * Math.sqrt(0.05 / 3), 2);
  });

  it('has no interval if one of them has a single seed', () => {
    const unknown = { margin: null, isWithinSpread: null, method: null, confidence: null, p: null, correctedP: null };
    expect(differenceOf(ofSeeds(1), ofSeeds(2))).toEqual({ difference: 1, n: [1, 1], ...unknown });
    expect(differenceOf(ofSeeds(1), ofSeeds(2, 2.5, 3))).toEqual({ difference: 1.5, n: [1, 3], ...unknown });
  });

  it('is certain without any deviation', () => {
    expect(differenceOf(ofSeeds(1, 2), ofSeeds(2, 3))).toMatchObject({ margin: 0, isWithinSpread: false, p: 0 });
    expect(differenceOf(ofSeeds(1, 2), ofSeeds(1, 2))).toMatchObject({ margin: 0, isWithinSpread: true, p: 1 });
  });
});

describe('several settings', () => {
  const best = ofSeeds(2, 2, 2, 2);
  // Its differences to the best have mean 0.095 and deviation 0.048: t = 3.96, ν = 3, p = 0.029.
  const close = ofSeeds(2.05, 2.15, 2.06, 2.12);
  const noisy = ofSeeds(3, 1.6, 2.8, 2.2);
  const far = ofSeeds(7, 7.01, 7.02, 7.03);

  it('are corrected by Holm: p = 0.029 is enough alone or as the last, not as the first of two', () => {
    expect(differenceOf(best, close)).toMatchObject({ isWithinSpread: false, confidence: 0.95 });
    expect(differenceOf(best, close).p).toBeCloseTo(0.0288, 3);
    const first = differencesTo(best, [close, noisy]);
    expect(first.comparisons).toBe(2);
    expect(first.differences[0]).toMatchObject({ isWithinSpread: true, confidence: 0.975 });
    expect(first.differences[0]!.correctedP).toBeCloseTo(2 * 0.0288, 3);
    const last = differencesTo(best, [close, far]);
    expect(last.differences[0]).toMatchObject({ isWithinSpread: false, confidence: 0.95 });
    expect(last.differences[1]!.confidence).toBe(0.975);
  });

  it('have intervals that contain 0 exactly where the difference is within the spread', () => {
    const others = differencesTo(best, [close, noisy, far, ofSeeds(null, null, null, null, 2.5, 2.6, 2.4)]);
    const differences = others.differences.map((each) => each!);
    expect(differences.map(({ isWithinSpread }) => isWithinSpread)).toEqual([true, true, false, false]);
    for (const { difference, margin, isWithinSpread, correctedP } of differences) {
      expect(Math.abs(difference) <= margin!).toBe(isWithinSpread);
      expect(correctedP! > 0.05).toBe(isWithinSpread);
    }
  });

  it('count only the comparisons that have an interval', () => {
    const { differences, comparisons } = differencesTo(ofSeeds(1, 2), [ofSeeds(1.5, 2.4), ofSeeds(3), ofSeeds()]);
    expect(comparisons).toBe(1);
    expect(differences.map((each) => each?.confidence)).toEqual([0.95, null, undefined]);
    expect(differencesTo([], [ofSeeds(1, 2)])).toEqual({ differences: [null], comparisons: 0 });
  });
});
