/** Training that has gone where no number follows it. */
import type { NamedTensor } from '../tensors/tensors.ts';
import { ExpectedError } from '../errors.ts';

/** The failure, with the way out. */
export const diverged = (what: string): ExpectedError =>
  new ExpectedError(
    'diverged',
    `Training diverged: ${what}. Nothing was saved after that. Start a new run (--run OTHER) with a lower ` +
      'optimizer.learningRate, a longer schedule.warmupSteps or a tighter optimizer.gradientClip.',
  );

/** @throws a failure of kind `diverged` naming the first tensor that holds a value which is no finite number */
export function assertFinite(tensors: readonly NamedTensor[], step: number): void {
  for (const { name, values } of tensors) {
    for (let i = 0; i < values.length; i++) {
      if (!Number.isFinite(values[i])) throw diverged(`${name} after ${step} steps holds ${values[i]}`);
    }
  }
}
