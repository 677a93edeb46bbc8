/**
 * Resource variables, read and updated inside a program. The same operations serve both kinds of session,
 * so that eager and recorded training do the same arithmetic (tfjs's own Adam is another one).
 */
import type { Tensor } from '@tensorflow/tfjs-core';
import { boolAttribute, typeAttribute, type Attribute } from './binding.ts';
import { dataTypes } from './capi.ts';
import type { TensorFlowBackend } from './tensorflow.ts';

/** Scalars and moments of one update by Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980). */
export interface AdamUpdate {
  parameter: string;
  firstMoment: string;
  secondMoment: string;
  gradient: Tensor;
  /** β₁ᵗ and β₂ᵗ of the update about to be made (t from 1), scalars. */
  beta1Power: Tensor;
  beta2Power: Tensor;
  learningRate: Tensor;
  beta1: Tensor;
  beta2: Tensor;
  /** TensorFlow adds it to √v before the bias correction: feed ε·√(1−β₂ᵗ) for the paper's (and PyTorch's) ε. */
  epsilon: Tensor;
}

export interface Variables {
  read(name: string): Tensor;
  assign(name: string, value: Tensor): void;
  assignAdd(name: string, value: Tensor): void;
  assignSubtract(name: string, value: Tensor): void;
  adam(update: AdamUpdate): void;
}

const dtype = typeAttribute('dtype', dataTypes.float32);

/**
 * Updates of one variable happen in the order in which they are written.
 *
 * @param handle the id of a variable's handle in the binding of the moment; throws for unknown names
 */
export function variableOperations(backend: TensorFlowBackend, handle: (name: string) => number): Variables {
  const update = (operation: string, attributes: Attribute[], names: string[], values: Tensor[]): void => {
    backend.binding.executeOp(operation, attributes, [...names.map(handle), ...backend.getInputTensorIds(values)], 0);
  };
  return {
    read: (name) =>
      backend.createOutputTensor(backend.binding.executeOp('ReadVariableOp', [dtype], [handle(name)], 1)[0]!),
    assign: (name, value) => update('AssignVariableOp', [dtype], [name], [value]),
    assignAdd: (name, value) => update('AssignAddVariableOp', [dtype], [name], [value]),
    assignSubtract: (name, value) => update('AssignSubVariableOp', [dtype], [name], [value]),
    adam: (u) =>
      update(
        'ResourceApplyAdam',
        [typeAttribute('T', dataTypes.float32), boolAttribute('use_locking', false), boolAttribute('use_nesterov', false)],
        [u.parameter, u.firstMoment, u.secondMoment],
        [u.beta1Power, u.beta2Power, u.learningRate, u.beta1, u.beta2, u.epsilon, u.gradient],
      ),
  };
}
