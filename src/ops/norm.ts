/**
 * Normalisation of rows over their last axis, with gradients of their own: those that tfjs derives from means embed
 * constants of the input's size in the graph and keep several copies of it.
 *
 * N rows · C width
 */
import { add, mean, mul, rsqrt, square, sub, sum, type Tensor } from '../tfjs.ts';
import { boolAttribute, floatAttribute } from '../runtime/binding.ts';
import { operation, runKernel } from './kernels.ts';
import { addBias } from './linear.ts';
import { withGradient } from './withGradient.ts';

/** LayerNorm (Ba et al. 2016, https://arxiv.org/abs/1607.06450): (x − mean) / √(variance + ε) · gain + bias. */
export const layerNorm = operation({
  kernel: (x: Tensor, gain: Tensor, bias: Tensor | null, epsilon: number): Tensor =>
    addBias(byKernel(x, gain, { epsilon, centred: true }), bias),
  composed: (x: Tensor, gain: Tensor, bias: Tensor | null, epsilon: number): Tensor => {
    const y = withGradient(
      [x, gain],
      () => {
        const centred = sub(x, mean(x, -1, true));
        const inverseDeviation = rsqrt(add(mean(square(centred), -1, true), epsilon)); // (N, 1)
        const normalised = mul(centred, inverseDeviation);
        return { value: mul(normalised, gain), saved: [normalised, inverseDeviation, gain] };
      },
      (dy, [n, r, g]) => {
        const dn = mul(dy, g);
        // The gradient has no component along 1 nor along the normalised row: both means are taken out.
        const dx = mul(r, sub(sub(dn, mean(dn, -1, true)), mul(n, mean(mul(dn, n), -1, true))));
        return [dx, sum(mul(dy, n), 0)];
      },
    );
    return addBias(y, bias);
  },
});

/** RMSNorm (Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467): x / √(mean of squares + ε) · gain. */
export const rmsNorm = operation({
  kernel: (x: Tensor, gain: Tensor, epsilon: number): Tensor => byKernel(x, gain, { epsilon, centred: false }),
  composed: (x: Tensor, gain: Tensor, epsilon: number): Tensor =>
    withGradient(
      [x, gain],
      () => {
        const inverseRootMean = rsqrt(add(mean(square(x), -1, true), epsilon)); // (N, 1)
        const normalised = mul(x, inverseRootMean);
        return { value: mul(normalised, gain), saved: [normalised, inverseRootMean, gain] };
      },
      (dy, [n, r, g]) => {
        const dn = mul(dy, g);
        const dx = mul(r, sub(dn, mul(n, mean(mul(dn, n), -1, true)))); // no component along the normalised row
        return [dx, sum(mul(dy, n), 0)];
      },
    ),
});

/** x (N, C), gain (C) → (N, C). LayerNorm is centred, RMSNorm is not. */
function byKernel(x: Tensor, gain: Tensor, kind: { epsilon: number; centred: boolean }): Tensor {
  const attributes = [floatAttribute('epsilon', kind.epsilon), boolAttribute('centred', kind.centred)];
  return withGradient(
    [x, gain],
    () => {
      // Means and 1/deviations (N) are for the gradient.
      const [value, means, inverses] = runKernel('ClmNorm', [x, gain], attributes);
      return { value, saved: [x, gain, means, inverses] };
    },
    (dy, [u, g, means, inverses]) => runKernel('ClmNormGrad', [u, g, means, inverses, dy], attributes),
  );
}
