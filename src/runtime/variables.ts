/**
 * Resource variables, read and updated inside a program. The same operations serve both kinds of session,
 * so that eager and recorded training do the same arithmetic (tfjs's own Adam is another one).
 */
import { add, greater, mul, scalar, where, type Tensor } from '@tensorflow/tfjs-core';
import { boolAttribute, floatAttribute, typeAttribute, type Attribute } from './binding.ts';
import { dataTypes } from './capi.ts';
import { hasFusedOperations } from '../ops/fusedOperations.ts';
import type { TensorFlowBackend } from './tensorflow.ts';
import { readWeights } from './weights.ts';

/** One update by AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101); all scalars are tensors. */
interface AdamWUpdate {
  /** Names of variables. */
  parameter: string;
  firstMoment: string;
  secondMoment: string;
  gradient: Tensor;
  /** What the gradient is multiplied by, as to clip it; null for 1. */
  gradientFactor: Tensor | null;
  /** β₁ᵗ and β₂ᵗ of the update about to be made (t from 1). */
  beta1Power: Tensor;
  beta2Power: Tensor;
  learningRate: Tensor;
  /** TensorFlow adds it to √v before the bias correction: feed ε·√(1−β₂ᵗ) for the paper's (and PyTorch's) ε. */
  epsilon: Tensor;
  beta1: number;
  beta2: number;
  weightDecay: number;
}

export interface Variables {
  read(name: string): Tensor;
  /** As `read`, but for generation: see weights.ts. */
  weights(name: string): Tensor;
  assign(name: string, value: Tensor): void;
  assignAdd(name: string, value: Tensor): void;
  assignSubtract(name: string, value: Tensor): void;
  /**
   * Adds `value` to a sum; where `hasBegun` (a scalar) is 0, the sum begins with it, whatever was there. Nothing else
   * of the program may read the variable.
   */
  accumulate(name: string, value: Tensor, hasBegun: Tensor): void;
  /** Everything that reads the old values must have run, see `computedAfter`. */
  adamW(update: AdamWUpdate): void;
}

const dtype = typeAttribute('dtype', dataTypes.float32);

/**
 * Updates of one variable happen in the order in which they are written.
 *
 * @param handle the id of a variable's handle in the binding of the moment; throws for unknown names
 * @param isHalf whether a variable is stored in bfloat16: it can only be read, by `weights`
 */
export function variableOperations(
  backend: TensorFlowBackend,
  handle: (name: string) => number,
  isHalf: (name: string) => boolean = () => false,
): Variables {
  const update = (operation: string, attributes: Attribute[], names: string[], values: Tensor[]): void => {
    backend.binding.executeOp(operation, attributes, [...names.map(handle), ...backend.getInputTensorIds(values)], 0);
  };
  const read = (name: string): Tensor =>
    backend.createOutputTensor(backend.binding.executeOp('ReadVariableOp', [dtype], [handle(name)], 1)[0]!);
  const assignSubtract = (name: string, value: Tensor): void => update('AssignSubVariableOp', [dtype], [name], [value]);

  const accumulateInOne = (name: string, value: Tensor, hasBegun: Tensor): void =>
    update('ClmAccumulate', [typeAttribute('T', dataTypes.float32)], [name], [read(name), value, hasBegun]);
  /** Where the sum begins nothing may be left of the old one, not even what is not a number. */
  const composedAccumulate = (name: string, value: Tensor, hasBegun: Tensor): void =>
    update('AssignVariableOp', [dtype], [name], [where(greater(hasBegun, 0), add(read(name), value), value)]);

  /** In one pass over memory, in place. */
  const adamWInOne = (u: AdamWUpdate): void => {
    const attributes = [
      typeAttribute('T', dataTypes.float32),
      floatAttribute('beta1', u.beta1),
      floatAttribute('beta2', u.beta2),
      floatAttribute('weight_decay', u.weightDecay),
    ];
    const state = [u.parameter, u.firstMoment, u.secondMoment].map(read);
    const scalars = [u.learningRate, u.beta1Power, u.beta2Power, u.epsilon, u.gradientFactor ?? scalar(1)];
    update('ClmAdamW', attributes, [u.parameter], [...state, u.gradient, ...scalars]);
  };
  /** The same from TensorFlow's operations. */
  const composedAdamW = (u: AdamWUpdate): void => {
    if (u.weightDecay > 0) assignSubtract(u.parameter, mul(read(u.parameter), mul(u.learningRate, u.weightDecay)));
    const gradient = u.gradientFactor === null ? u.gradient : mul(u.gradient, u.gradientFactor);
    update(
      'ResourceApplyAdam',
      [
        typeAttribute('T', dataTypes.float32),
        boolAttribute('use_locking', false),
        boolAttribute('use_nesterov', false),
      ],
      [u.parameter, u.firstMoment, u.secondMoment],
      [u.beta1Power, u.beta2Power, u.learningRate, scalar(u.beta1), scalar(u.beta2), u.epsilon, gradient],
    );
  };
  return {
    read,
    weights: (name) => readWeights(backend, handle(name), isHalf(name)),
    assign: (name, value) => update('AssignVariableOp', [dtype], [name], [value]),
    assignAdd: (name, value) => update('AssignAddVariableOp', [dtype], [name], [value]),
    assignSubtract,
    accumulate: (name, value, hasBegun) =>
      hasFusedOperations() ? accumulateInOne(name, value, hasBegun) : composedAccumulate(name, value, hasBegun),
    adamW: (u) => (hasFusedOperations() ? adamWInOne(u) : composedAdamW(u)),
  };
}
