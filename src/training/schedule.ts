/** The learning rate of each update. */
import type { Config } from '../config/schema.ts';

/**
 * Linear warm-up, then a cosine from the peak to the final rate (Loshchilov and Hutter 2017,
 * https://arxiv.org/abs/1608.03983), as nanoGPT counts it: the warm-up's first update has rate
 * peak/(warmupSteps + 1), the final rate is that of the update after the last.
 *
 * @param update index of the update about to be made, from 0
 */
export function learningRateAt(
  schedule: Config['schedule'],
  peak: number,
  steps: number,
  update: number,
): number {
  const { warmupSteps, finalLearningRate } = schedule;
  if (update < warmupSteps) return (peak * (update + 1)) / (warmupSteps + 1);
  if (update >= steps) return finalLearningRate;
  const progress = (update - warmupSteps) / Math.max(1, steps - warmupSteps);
  return finalLearningRate + 0.5 * (1 + Math.cos(Math.PI * progress)) * (peak - finalLearningRate);
}
