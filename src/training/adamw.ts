/**
 * AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101): Adam with weight decay apart from
 * the gradient, on matrices only. State by parameter path, so nothing depends on an order.
 */
import { mul, scalar, type Tensor } from '@tensorflow/tfjs-core';
import type { NamedTensor } from '../checkpoint/tensors.ts';
import type { Config } from '../config/schema.ts';
import { elementCount, type ParameterSpec } from '../model/parameters.ts';
import type { Variables } from '../runtime/variables.ts';

export type AdamWConfig = Config['optimizer'];

/** Names of the two moments of a parameter. */
const momentNames = (parameter: string): [string, string] => [`${parameter}/firstMoment`, `${parameter}/secondMoment`];

/** The optimizer's state before the first update: zeros, two per parameter. */
export function initialMoments(table: readonly ParameterSpec[]): NamedTensor[] {
  return table.flatMap(({ name, shape }) =>
    momentNames(name).map((moment) => ({ name: moment, shape, values: new Float32Array(elementCount(shape)) })),
  );
}

/** The scalars of update t (from 1) that change from update to update; fed to the recorded step. */
export function adamWScalars(optimizer: AdamWConfig, t: number): Record<'beta1Power' | 'beta2Power' | 'epsilon', number> {
  const [beta1, beta2] = optimizer.betas;
  const beta2Power = beta2 ** t;
  // TensorFlow adds ε to √v before the bias correction, the paper (and PyTorch) after it.
  return { beta1Power: beta1 ** t, beta2Power, epsilon: optimizer.epsilon * Math.sqrt(1 - beta2Power) };
}

/** Records the update of one parameter. `learningRate` and the others are scalars. */
export function applyAdamW(
  variables: Variables,
  spec: ParameterSpec,
  optimizer: AdamWConfig,
  { parameter, gradient, learningRate, beta1Power, beta2Power, epsilon }: Record<
    'parameter' | 'gradient' | 'learningRate' | 'beta1Power' | 'beta2Power' | 'epsilon',
    Tensor
  >,
): void {
  const [firstMoment, secondMoment] = momentNames(spec.name);
  if (spec.decays && optimizer.weightDecay > 0) {
    variables.assignSubtract(spec.name, mul(parameter, mul(learningRate, optimizer.weightDecay)));
  }
  const [beta1, beta2] = optimizer.betas;
  variables.adam({
    parameter: spec.name,
    firstMoment,
    secondMoment,
    gradient,
    beta1Power,
    beta2Power,
    learningRate,
    beta1: scalar(beta1),
    beta2: scalar(beta2),
    epsilon,
  });
}
