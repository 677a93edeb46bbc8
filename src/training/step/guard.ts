/**
 * The gate before an update: it is skipped if its loss or gradient norm is not finite, or an outlier compared with
 * earlier updates. The step decides this itself, so that nothing is read back to the host. Running mean and deviation
 * leave out skipped updates and are saved with the optimizer, so that a resumed run decides in the same way.
 */
import {
  add,
  cast,
  equal,
  greater,
  greaterEqual,
  isFiniteTensor,
  logicalAnd,
  logicalNot,
  maximum,
  minimum,
  mul,
  reciprocal,
  scalar,
  sqrt,
  square,
  sub,
  type Tensor,
} from '../../tfjs.ts';
import type { SkipReason } from '../../run/metrics.ts';
import type { NamedTensor } from '../../tensors/tensors.ts';
import type { Config } from '../../config/schema.ts';
import type { Variables } from '../../runtime/variables.ts';

type GuardConfig = Config['training']['guard'];

/** By the code that the step returns; 0 means that the update was made. */
const reasons: readonly (SkipReason | null)[] = [null, 'notFinite', 'lossOutlier', 'gradientNormOutlier'];

export const skipReason = (code: number): SkipReason | null => reasons[code]!;

const watched = ['loss', 'gradientNorm'] as const;
const stateNames = ['guard/updates', ...watched.flatMap((name) => [`guard/${name}/mean`, `guard/${name}/variance`])];

/** The statistics before the first update; none if outliers are not skipped. */
export const guardState = ({ outlierDeviations }: GuardConfig): NamedTensor[] =>
  outlierDeviations === null ? [] : stateNames.map((name) => ({ name, shape: [], values: new Float32Array(1) }));

interface GateDecision {
  /** See `skipReason`; a scalar. */
  skipped: Tensor;
  /** Bool scalar. */
  isApplied: Tensor;
  /** Records the statistics that include this update; to be called if it is made. */
  remember(): void;
}

/** Records the decision about an update. @param values scalars */
export function gate(
  guard: GuardConfig,
  variables: Variables,
  values: Record<(typeof watched)[number], Tensor>,
): GateDecision {
  const notFinite = cast(
    logicalNot(logicalAnd(isFiniteTensor(values.loss), isFiniteTensor(values.gradientNorm))),
    'float32',
  );
  if (guard.outlierDeviations === null)
    return { skipped: notFinite, isApplied: equal(notFinite, 0), remember: () => {} };

  const updates = variables.read('guard/updates');
  // The plain mean of the first window, then one that forgets exponentially.
  const share = maximum(reciprocal(add(updates, 1)), 1 / guard.windowSteps);
  const isRipe = greaterEqual(updates, guard.windowSteps);
  const statistics = watched.map((name) => {
    const mean = variables.read(`guard/${name}/mean`);
    const variance = variables.read(`guard/${name}/variance`);
    // If the loss hardly changes, the deviation is nearly zero, and rounding must not look like an outlier.
    const deviation = maximum(sqrt(variance), mul(mean, 1e-3));
    const difference = sub(values[name], mean);
    const isOutlier = logicalAnd(isRipe, greater(difference, mul(deviation, guard.outlierDeviations!)));
    return { name, mean, variance, difference, outlier: cast(isOutlier, 'float32') };
  });
  const [loss, norm] = statistics.map(({ outlier }) => outlier) as [Tensor, Tensor];
  const outlier = add(mul(loss, 2), mul(sub(1, loss), mul(norm, 3)));
  const skipped = add(notFinite, mul(sub(1, notFinite), outlier));
  const remember = (): void => {
    variables.assign('guard/updates', minimum(add(updates, 1), scalar(1e6)));
    for (const { name, mean, variance, difference } of statistics) {
      variables.assign(`guard/${name}/mean`, add(mean, mul(difference, share)));
      variables.assign(`guard/${name}/variance`, mul(sub(1, share), add(variance, mul(share, square(difference)))));
    }
  };
  return { skipped, isApplied: equal(skipped, 0), remember };
}
