/**
 * The learning rate of each update, a pure function of its index. Every schedule rises linearly in the warm-up, counted
 * as in nanoGPT: the first update has rate peak/(warmupSteps + 1), and the final rate is that of the update after the
 * last.
 */
import type { Config } from '../../config/schema.ts';
import { stepsOf } from '../../config/sections/stages.ts';

export type ScheduleConfig = Config['schedule'];

/** The part of the run over which `warmup-stable-decay` falls unless the config sets it. */
const standardDecay = '20%';

/** Updates of the warm-up. @param steps updates of the whole run */
export const warmupOf = ({ warmupSteps }: Pick<ScheduleConfig, 'warmupSteps'>, steps: number): number =>
  stepsOf(warmupSteps, steps);

/**
 * @param peak the rate at the end of the warm-up, `optimizer.learningRate`
 * @param steps updates of the whole run
 * @param update index of the update about to be made, from 0
 */
export function learningRateAt(schedule: ScheduleConfig, peak: number, steps: number, update: number): number {
  const { kind } = schedule;
  const warmupSteps = warmupOf(schedule, steps);
  if (update < warmupSteps) return (peak * (update + 1)) / (warmupSteps + 1);
  const final = schedule.finalLearningRate ?? peak / 10;
  switch (kind) {
    case 'constant':
      return peak;
    case 'inverse-square-root': {
      // Vaswani et al. 2017 (https://arxiv.org/abs/1706.03762, section 5.3), scaled to reach the peak after the
      // warm-up.
      const timescale = Math.max(1, warmupSteps);
      return peak * Math.sqrt(timescale / (timescale + update - warmupSteps));
    }
    case 'cosine': // Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983
      return final + 0.5 * (1 + Math.cos(Math.PI * progress(warmupSteps, steps, update))) * (peak - final);
    case 'linear':
      return peak + progress(warmupSteps, steps, update) * (final - peak);
    case 'warmup-stable-decay': {
      // Hägele et al. 2024, https://arxiv.org/abs/2405.18392: constant, then a short fall.
      const decaySteps = stepsOf(schedule.decaySteps ?? standardDecay, steps);
      return peak + progress(Math.max(warmupSteps, steps - decaySteps), steps, update) * (final - peak);
    }
  }
}

/** The share of `begin` … `end` that is done at `update`, 0 to 1. */
function progress(begin: number, end: number, update: number): number {
  if (update >= end) return 1;
  return Math.max(0, update - begin) / Math.max(1, end - begin);
}
