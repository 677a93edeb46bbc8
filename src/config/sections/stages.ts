/** Places in a run as steps or as shares of it, and settings that change over a run by stages. */
import { z } from 'zod';

/** What `stepsOf` takes: a number of steps, or a share of the run such as `5%`. */
export type StepsOrShare = number | string;

/** @param least fewest steps */
export function stepsOrShare(least: number) {
  const error = `a whole number of at least ${least}, or a share of the run such as 5%`;
  const share = z.string().regex(/^(100|\d{1,2}(\.\d+)?)%$/, error);
  return z.union([z.int().min(least), share], { error });
}

/** Steps of a run of `steps`, of which a share is rounded to whole ones. */
export const stepsOf = (value: StepsOrShare, steps: number): number =>
  typeof value === 'number' ? value : Math.round((Number.parseFloat(value) / 100) * steps);
