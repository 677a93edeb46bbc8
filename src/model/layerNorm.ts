/**
 * LayerNorm over the last axis (Ba et al. 2016, https://arxiv.org/abs/1607.06450) with its own gradient:
 * tfjs's, composed of means, embeds constants of the input's size and keeps several copies of it.
 *
 * N = B·T rows · C width
 */
import { add, customGrad, mean, mul, rsqrt, square, sub, sum, type Tensor } from '@tensorflow/tfjs-core';

/** As GPT-2 and PyTorch. */
const epsilon = 1e-5;

/** x (N, C), gain (C) → (N, C): (x − mean) / √(variance + ε) · gain. */
export function layerNorm(x: Tensor, gain: Tensor, bias: Tensor | null): Tensor {
  const normalise = customGrad((...args) => {
    const [input, g, save] = args as unknown as [Tensor, Tensor, (tensors: Tensor[]) => void];
    const centred = sub(input, mean(input, -1, true));
    const inverseDeviation = rsqrt(add(mean(square(centred), -1, true), epsilon)); // (N, 1)
    const normalised = mul(centred, inverseDeviation);
    save([normalised, inverseDeviation, g]);
    const gradFunc = (dy: Tensor, saved: Tensor[]): Tensor[] => {
      const [n, r, gainValue] = saved as [Tensor, Tensor, Tensor];
      const dn = mul(dy, gainValue);
      // The gradient has no component along 1 nor along the normalised row: both means are taken out.
      const dx = mul(r, sub(sub(dn, mean(dn, -1, true)), mul(n, mean(mul(dn, n), -1, true))));
      return [dx, sum(mul(dy, n), 0)];
    };
    return { value: mul(normalised, g), gradFunc };
  });
  const y = normalise(x, gain);
  return bias === null ? y : add(y, bias);
}
