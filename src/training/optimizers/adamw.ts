/**
 * AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101): Adam with weight decay that is decoupled from
 * the gradient, on matrices only.
 */
import { mul, scalar, type Tensor } from '@tensorflow/tfjs-core';
import { operation, updateByKernel } from '../../ops/kernels.ts';
import { boolAttribute, floatAttribute, typeAttribute } from '../../runtime/binding.ts';
import { dataTypes } from '../../runtime/capi.ts';
import type { Variables } from '../../runtime/variables.ts';
import { elementCount } from '../../tensors/tensors.ts';
import type { Optimizer } from './optimizer.ts';

/** Names of the two moments of a parameter. */
const momentNames = (parameter: string): [string, string] => [`${parameter}/firstMoment`, `${parameter}/secondMoment`];

export const adamW: Optimizer<'beta1Power' | 'beta2Power' | 'epsilon'> = {
  initialState: ({ name, shape }) =>
    momentNames(name).map((moment) => ({ name: moment, shape, values: new Float32Array(elementCount(shape)) })),

  scalars({ betas: [beta1, beta2], epsilon }, t) {
    const beta2Power = beta2 ** t;
    // TensorFlow adds ε to √v before the bias correction, the paper (and PyTorch) after it.
    return { beta1Power: beta1 ** t, beta2Power, epsilon: epsilon * Math.sqrt(1 - beta2Power) };
  },

  apply(variables, { betas: [beta1, beta2], weightDecay }, { spec, variable, gradient, gradientFactor, scalars }) {
    const [firstMoment, secondMoment] = momentNames(spec.name);
    update(variables, {
      ...{ parameter: variable, firstMoment, secondMoment, gradient, gradientFactor, beta1, beta2, scalars },
      weightDecay: spec.decays ? weightDecay : 0,
    });
  },
};

interface Update {
  /** Names of variables. */
  parameter: string;
  firstMoment: string;
  secondMoment: string;
  gradient: Tensor;
  gradientFactor: Tensor | null;
  beta1: number;
  beta2: number;
  weightDecay: number;
  /** β₁ᵗ and β₂ᵗ of this update, t from 1; ε as TensorFlow takes it. */
  scalars: Readonly<Record<'learningRate' | 'beta1Power' | 'beta2Power' | 'epsilon', Tensor>>;
}

const update = operation({
  /** Everything in one pass over memory, in place. */
  kernel: (variables: Variables, u: Update): void => {
    const attributes = [
      floatAttribute('beta1', u.beta1),
      floatAttribute('beta2', u.beta2),
      floatAttribute('weight_decay', u.weightDecay),
    ];
    const state = [u.parameter, u.firstMoment, u.secondMoment].map((name) => variables.read(name));
    const { learningRate, beta1Power, beta2Power, epsilon } = u.scalars;
    const scalars = [learningRate, beta1Power, beta2Power, epsilon, u.gradientFactor ?? scalar(1)];
    updateByKernel(variables, 'ClmAdamW', u.parameter, [...state, u.gradient, ...scalars], attributes);
  },
  composed: (variables: Variables, u: Update): void => {
    const { learningRate, beta1Power, beta2Power, epsilon } = u.scalars;
    if (u.weightDecay > 0) {
      const decay = mul(variables.read(u.parameter), mul(learningRate, u.weightDecay));
      variables.assignSubtract(u.parameter, decay);
    }
    const gradient = u.gradientFactor === null ? u.gradient : mul(u.gradient, u.gradientFactor);
    variables.update(
      'ResourceApplyAdam',
      [
        typeAttribute('T', dataTypes.float32),
        boolAttribute('use_locking', false),
        boolAttribute('use_nesterov', false),
      ],
      [u.parameter, u.firstMoment, u.secondMoment],
      [beta1Power, beta2Power, learningRate, scalar(u.beta1), scalar(u.beta2), epsilon, gradient],
    );
  },
});
