/**
 * AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101): Adam with weight decay that is decoupled from
 * the gradient, on matrices only.
 */
import { mul, scalar } from '../../tfjs.ts';
import { operation, updateByKernel } from '../../ops/kernels.ts';
import { boolAttribute, float32Type, floatAttribute } from '../../runtime/binding.ts';
import { elementCount } from '../../tensors/tensors.ts';
import type { Optimizer } from './optimizer.ts';

type AdamW = Optimizer<'beta1Power' | 'beta2Power' | 'epsilon'>;

/** Names of the two moments of a parameter. */
const momentNames = (parameter: string): [string, string] => [`${parameter}/firstMoment`, `${parameter}/secondMoment`];

/** Everything in one pass over memory, in place. */
const applyByKernel: AdamW['apply'] = (
  variables,
  { betas: [beta1, beta2], weightDecay },
  { spec, variable, gradient, gradientFactor, scalars: { learningRate, beta1Power, beta2Power, epsilon } },
) => {
  const attributes = [
    floatAttribute('beta1', beta1),
    floatAttribute('beta2', beta2),
    floatAttribute('weight_decay', spec.decays ? weightDecay : 0),
  ];
  const state = [variable, ...momentNames(spec.name)].map((name) => variables.read(name));
  const scalars = [learningRate, beta1Power, beta2Power, epsilon, gradientFactor ?? scalar(1)];
  updateByKernel(variables, 'ClmAdamW', variable, [...state, gradient, ...scalars], attributes);
};

const applyComposed: AdamW['apply'] = (
  variables,
  { betas: [beta1, beta2], weightDecay },
  { spec, variable, gradient, gradientFactor, scalars: { learningRate, beta1Power, beta2Power, epsilon } },
) => {
  if (spec.decays && weightDecay > 0)
    variables.assignSubtract(variable, mul(variables.read(variable), mul(learningRate, weightDecay)));
  const clipped = gradientFactor === null ? gradient : mul(gradient, gradientFactor);
  const flags = ['use_locking', 'use_nesterov'].map((name) => boolAttribute(name, false));
  variables.update(
    'ResourceApplyAdam',
    [float32Type, ...flags],
    [variable, ...momentNames(spec.name)],
    [beta1Power, beta2Power, learningRate, scalar(beta1), scalar(beta2), epsilon, clipped],
  );
};

export const adamW: AdamW = {
  initialState: ({ name, shape }) =>
    momentNames(name).map((moment) => ({ name: moment, shape, values: new Float32Array(elementCount(shape)) })),

  scalars({ betas: [beta1, beta2], epsilon }, t) {
    const beta2Power = beta2 ** t;
    // TensorFlow adds ε to √v before the bias correction, the paper (and PyTorch) after it.
    return { beta1Power: beta1 ** t, beta2Power, epsilon: epsilon * Math.sqrt(1 - beta2Power) };
  },

  apply: operation({ kernel: applyByKernel, composed: applyComposed }),
};
