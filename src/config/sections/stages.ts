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

const count = z.int().min(1);

/** A value from a place in the run on, until the next stage. */
export interface Stage {
  readonly from: StepsOrShare;
  readonly value: number;
}

export const stageList = z
  .array(
    z.strictObject({
      from: stepsOrShare(0).describe(
        'Steps before the stage, or a share of the run such as 50%; of the first stage 0.',
      ),
      value: count.describe('The value in the stage.'),
    }),
  )
  .min(1);

/** One whole number of at least 1 for the whole run, or stages. */
export const countOrStages = z.union([count, stageList], {
  error: 'a whole number of at least 1, or stages such as [{ from: 0, value: 1 }, { from: 50%, value: 4 }]',
});

/** The value of a setting that is the same over the whole run: a number, or a single stage. */
export function constantOf(setting: number | readonly Stage[]): number {
  if (typeof setting === 'number') return setting;
  if (setting.length > 1) throw new Error('the value of a setting with stages depends on the step');
  return setting[0]!.value;
}

/** All values that a setting has in a run. */
export const valuesOf = (setting: number | readonly Stage[]): number[] =>
  typeof setting === 'number' ? [setting] : setting.map(({ value }) => value);

/** The value after `made` steps of a run of `steps`. */
export const valueAfter = (setting: number | readonly Stage[], made: number, steps: number): number =>
  typeof setting === 'number' ? setting : setting.findLast(({ from }) => stepsOf(from, steps) <= made)!.value;
