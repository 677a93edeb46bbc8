/**
 * Normalisation of rows over their last axis, with its own gradient: tfjs's, composed of means, embeds constants of the
 * input's size and keeps several copies of it. On a CPU one operation does it all; composed ones do the same elsewhere.
 *
 * N rows · C width
 */
import { add, customGrad, mean, mul, rsqrt, square, sub, sum, type Tensor } from '@tensorflow/tfjs-core';
import { addBias } from '../ops/operations.ts';
import { fusedNorm, fusedNormGradient, hasFusedOperations, type NormKind } from '../ops/fusedOperations.ts';
import type { Parameters } from './decoderPass.ts';
import type { ModelConfig } from './parameters.ts';

/** x (N, C) → (N, C), by the norm of the model's family, whose gain and bias stand at `path`. */
export function norm(parameters: Parameters, path: string, x: Tensor, { family, normEpsilon }: ModelConfig): Tensor {
  const gain = parameters[`${path}.gain`]!;
  return family === 'gpt2'
    ? layerNorm(x, gain, parameters[`${path}.bias`] ?? null, normEpsilon)
    : rmsNorm(x, gain, normEpsilon);
}

/** LayerNorm (Ba et al. 2016, https://arxiv.org/abs/1607.06450): (x − mean) / √(variance + ε) · gain + bias. */
export function layerNorm(x: Tensor, gain: Tensor, bias: Tensor | null, epsilon: number): Tensor {
  const y = hasFusedOperations() ? normInOne(x, gain, { epsilon, centred: true }) : composedLayerNorm(x, gain, epsilon);
  return bias === null ? y : addBias(y, bias);
}

/** RMSNorm (Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467): x / √(mean of squares + ε) · gain. */
export const rmsNorm = (x: Tensor, gain: Tensor, epsilon: number): Tensor =>
  hasFusedOperations() ? normInOne(x, gain, { epsilon, centred: false }) : composedRmsNorm(x, gain, epsilon);

function normInOne(x: Tensor, gain: Tensor, kind: NormKind): Tensor {
  const normalise = customGrad((...args) => {
    const [input, g, save] = args as unknown as [Tensor, Tensor, (tensors: Tensor[]) => void];
    const [value, mean, inverse] = fusedNorm(input, g, kind) as [Tensor, Tensor, Tensor];
    save([input, g, mean, inverse]);
    const gradFunc = (dy: Tensor, saved: Tensor[]): Tensor[] => {
      const [u, gainValue, m, r] = saved as [Tensor, Tensor, Tensor, Tensor];
      return fusedNormGradient(u, gainValue, m, r, dy, kind);
    };
    return { value, gradFunc };
  });
  return normalise(x, gain);
}

/** The same from TensorFlow's operations. */
export function composedLayerNorm(x: Tensor, gain: Tensor, epsilon: number): Tensor {
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
  return normalise(x, gain);
}

/** The same from TensorFlow's operations. */
export function composedRmsNorm(x: Tensor, gain: Tensor, epsilon: number): Tensor {
  const normalise = customGrad((...args) => {
    const [input, g, save] = args as unknown as [Tensor, Tensor, (tensors: Tensor[]) => void];
    const inverseRootMean = rsqrt(add(mean(square(input), -1, true), epsilon)); // (N, 1)
    const normalised = mul(input, inverseRootMean);
    save([normalised, inverseRootMean, g]);
    const gradFunc = (dy: Tensor, saved: Tensor[]): Tensor[] => {
      const [n, r, gainValue] = saved as [Tensor, Tensor, Tensor];
      const dn = mul(dy, gainValue);
      const dx = mul(r, sub(dn, mul(n, mean(mul(dn, n), -1, true)))); // none along the normalised row
      return [dx, sum(mul(dy, n), 0)];
    };
    return { value: mul(normalised, g), gradFunc };
  });
  return normalise(x, gain);
}
