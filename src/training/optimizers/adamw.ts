/**
 * AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101): Adam with weight decay apart from
 * the gradient, on matrices only.
 */
import { elementCount } from '../../tensors/tensors.ts';
import type { Optimizer } from './optimizer.ts';

/** Names of the two moments of a parameter. */
const momentNames = (parameter: string): [string, string] => [`${parameter}/firstMoment`, `${parameter}/secondMoment`];

export const adamW: Optimizer = {
  initialState: ({ name, shape }) =>
    momentNames(name).map((moment) => ({ name: moment, shape, values: new Float32Array(elementCount(shape)) })),

  scalars({ betas: [beta1, beta2], epsilon }, t) {
    const beta2Power = beta2 ** t;
    // TensorFlow adds ε to √v before the bias correction, the paper (and PyTorch) after it.
    return { beta1Power: beta1 ** t, beta2Power, epsilon: epsilon * Math.sqrt(1 - beta2Power) };
  },

  apply(variables, { betas: [beta1, beta2], weightDecay }, { spec, variable, gradient, gradientFactor, scalars }) {
    const [firstMoment, secondMoment] = momentNames(spec.name);
    variables.adamW({
      ...{ parameter: variable, firstMoment, secondMoment, gradient, gradientFactor, beta1, beta2 },
      weightDecay: spec.decays ? weightDecay : 0,
      learningRate: scalars['learningRate']!,
      beta1Power: scalars['beta1Power']!,
      beta2Power: scalars['beta2Power']!,
      epsilon: scalars['epsilon']!,
    });
  },
};
