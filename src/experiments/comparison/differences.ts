/**
 * Differences between the mean results of settings, with confidence intervals: paired by seed if possible, else
 * Welch's, and corrected for the number of comparisons.
 */
import { isDeepStrictEqual } from 'node:util';
import { spreadOf } from '../../statistics.ts';
import { twoSidedQuantile, twoSidedTail } from './studentT.ts';

/** One result of a setting. */
export interface Observation {
  seed: unknown;
  value: number;
}

export interface Difference {
  /** How much higher the mean of the other setting is; of a paired difference, the mean over the shared seeds. */
  difference: number;
  /** Half the width of the confidence interval; null if one of the settings has a single observation. */
  margin: number | null;
  /** Whether the interval contains 0; null without an interval. */
  isWithinSpread: boolean | null;
  /** paired: interval of the mean of the differences of equal seeds; welch: of the difference of two means. */
  method: 'paired' | 'welch' | null;
  /** Observations of the best and of the other setting that the interval is made from. */
  n: [best: number, other: number];
  /** 0.95, or more if corrected for several comparisons. */
  confidence: number | null;
  /** Probability of such a difference between equal settings; before and after Holm's correction. */
  p: number | null;
  correctedP: number | null;
}

const errorRate = 0.05;

/** A difference before its interval: an estimate, its standard error and its degrees of freedom. */
interface Contrast {
  difference: number;
  method: 'paired' | 'welch' | null;
  n: [number, number];
  standardError: number;
  degrees: number;
  p: number | null;
}

/**
 * The differences of all settings to the best, which is the one with the lowest mean, corrected for their number by
 * S. Holm's procedure (Scand. J. Statist. 6, 1979). What this bounds is the probability that the setting that is truly
 * best is called worse (J. C. Hsu, Ann. Statist. 9, 1981: a comparison with the best that the same results chose). Each
 * interval is at the level at which the procedure decides about its difference, so that it contains 0 exactly if the
 * difference is within the spread.
 * @param others the observations of each further setting
 * @returns an entry for each of the others, null without observations; and how many of them have an interval
 */
export function differencesTo(
  best: readonly Observation[],
  others: readonly (readonly Observation[])[],
): { differences: (Difference | null)[]; comparisons: number } {
  const contrasts = others.map((other) => (best.length > 0 && other.length > 0 ? contrastOf(best, other) : null));
  const decisions = holm(contrasts.filter((contrast): contrast is Contrast => (contrast?.p ?? null) !== null));
  return {
    differences: contrasts.map((contrast) => contrast && withInterval(contrast, decisions.get(contrast))),
    comparisons: decisions.size,
  };
}

/** Of b to a. Paired if all seeds of one setting are seeds of the other. */
function contrastOf(a: readonly Observation[], b: readonly Observation[]): Contrast {
  const pairs = a.flatMap(({ seed, value }) => {
    const partner = b.find((other) => isDeepStrictEqual(other.seed, seed));
    return partner === undefined ? [] : [partner.value - value];
  });
  const [meanA, meanB] = [spreadOf(a.map(({ value }) => value))!, spreadOf(b.map(({ value }) => value))!];
  const isPaired = pairs.length === Math.min(a.length, b.length);
  if (isPaired && pairs.length > 1) {
    const { n, mean, deviation } = spreadOf(pairs)!;
    return tested({
      difference: mean,
      method: 'paired',
      n: [n, n],
      standardError: deviation! / Math.sqrt(n),
      degrees: n - 1,
    });
  }
  const difference = meanB.mean - meanA.mean;
  const n: [number, number] = [a.length, b.length];
  if (meanA.deviation === null || meanB.deviation === null)
    return { difference, method: null, n, standardError: NaN, degrees: NaN, p: null };
  // B. L. Welch, Biometrika 34, 1947: does not assume equal variances.
  const [varianceA, varianceB] = [meanA.deviation ** 2 / meanA.n, meanB.deviation ** 2 / meanB.n];
  const variance = varianceA + varianceB;
  const degrees = variance ** 2 / (varianceA ** 2 / (meanA.n - 1) + varianceB ** 2 / (meanB.n - 1));
  return tested({ difference, method: 'welch', n, standardError: Math.sqrt(variance), degrees });
}

/** Without any deviation, a difference is certain. */
function tested(contrast: Omit<Contrast, 'p'>): Contrast {
  const { difference, standardError, degrees } = contrast;
  if (standardError === 0) return { ...contrast, p: difference === 0 ? 1 : 0 };
  return { ...contrast, p: twoSidedTail(difference / standardError, degrees) };
}

interface Decision {
  isDifferent: boolean;
  /** The error rate that p is compared with. */
  level: number;
  correctedP: number;
}

/** From the smallest p on, each is compared with the error rate divided by the number of those left. */
function holm(contrasts: readonly Contrast[]): Map<Contrast, Decision> {
  const ascending = contrasts.toSorted((a, b) => a.p! - b.p!);
  let isDifferent = true;
  let level = errorRate;
  let correctedP = 0;
  return new Map(
    ascending.map((contrast, i) => {
      const left = ascending.length - i;
      if (isDifferent) level = errorRate / left;
      isDifferent &&= contrast.p! <= level;
      correctedP = Math.min(1, Math.max(correctedP, left * contrast.p!));
      return [contrast, { isDifferent, level, correctedP }] as const;
    }),
  );
}

function withInterval(contrast: Contrast, decision: Decision | undefined): Difference {
  const { difference, method, n, standardError, degrees, p } = contrast;
  if (decision === undefined)
    return { difference, margin: null, isWithinSpread: null, method, n, confidence: null, p, correctedP: null };
  const { isDifferent, level, correctedP } = decision;
  const margin = standardError === 0 ? 0 : standardError * twoSidedQuantile(level, degrees);
  return { difference, margin, isWithinSpread: !isDifferent, method, n, confidence: 1 - level, p, correctedP };
}
