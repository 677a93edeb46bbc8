/** The few TensorFlow operations the decoder needs and tfjs does not offer, or offers at a price. */
import { customGrad, mul, reshape, scalar, tensor1d, type Tensor } from '@tensorflow/tfjs-core';
import { intAttribute, typeAttribute, type Attribute } from './binding.ts';
import { dataTypes } from './capi.ts';
import { loadedTensorFlow } from './tensorflow.ts';

const execute = (name: string, attributes: Attribute[], inputs: Tensor[], outputs = 1): Tensor[] =>
  loadedTensorFlow().backend.executeMultipleOutputs(name, attributes, inputs, outputs);

const float = typeAttribute('T', dataTypes.float32);

/**
 * Rows of `table` (V, C) by `ids` (N) int32 → (N, C). tf.gather reads its indices back to the host at
 * every call, and its gradient is a scatter through the host too.
 */
export function gatherRows(table: Tensor, ids: Tensor): Tensor {
  const [rows] = table.shape;
  const gather = customGrad((...args) => {
    const [t, save] = args as unknown as [Tensor, (tensors: Tensor[]) => void];
    save([ids]);
    const types = [typeAttribute('Tparams', 1), typeAttribute('Tindices', 3), typeAttribute('Taxis', 3)];
    const value = execute('GatherV2', [intAttribute('batch_dims', 0), ...types], [t, ids, scalar(0, 'int32')])[0]!;
    const gradFunc = (dy: Tensor, [taken]: Tensor[]): Tensor[] => {
      const segments = [float, typeAttribute('Tindices', 3), typeAttribute('Tnumsegments', 3)];
      return [execute('UnsortedSegmentSum', segments, [dy, taken!, scalar(rows!, 'int32')])[0]!];
    };
    return { value, gradFunc };
  });
  return gather(table);
}

/**
 * Cross-entropy of `logits` (N, V) against `targets` (N) int32 → (N), nats. The kernel gives loss and
 * gradient at once, so no one-hot (N, V) is ever made.
 */
export function sparseCrossEntropy(logits: Tensor, targets: Tensor): Tensor {
  const crossEntropy = customGrad((...args) => {
    const [x, save] = args as unknown as [Tensor, (tensors: Tensor[]) => void];
    const types = [float, typeAttribute('Tlabels', dataTypes.int32)];
    const [value, gradient] = execute('SparseSoftmaxCrossEntropyWithLogits', types, [x, targets], 2);
    save([gradient!]);
    const gradFunc = (dy: Tensor, [saved]: Tensor[]): Tensor[] => [mul(saved!, reshape(dy, [-1, 1]))];
    return { value: value!, gradFunc };
  });
  return crossEntropy(logits);
}

/** Uniform numbers in [0, 1), a pure function of `seed` (2) int32: tfjs's own would be frozen into a recording. */
export function statelessUniform(shape: readonly number[], seed: Tensor): Tensor {
  const types = [typeAttribute('dtype', 1), typeAttribute('T', 3), typeAttribute('Tseed', 3)];
  return execute('StatelessRandomUniform', types, [tensor1d([...shape], 'int32'), seed])[0]!;
}

/** The tensors along the first axis, without that axis: (n, …) → n tensors; no copy where memory is aligned. */
export function unpack(x: Tensor): Tensor[] {
  const n = x.shape[0]!;
  return execute('Unpack', [float, intAttribute('num', n), intAttribute('axis', 0)], [x], n);
}

/** n tensors of one shape → (n, …). */
export function pack(xs: Tensor[]): Tensor {
  return execute('Pack', [float, intAttribute('N', xs.length), intAttribute('axis', 0)], xs)[0]!;
}

/** dy · y · (1 − y) in one pass: the gradient of y = sigmoid(x). */
export const sigmoidGradient = (y: Tensor, dy: Tensor): Tensor => execute('SigmoidGrad', [float], [y, dy])[0]!;

/** ½ Σ x² in one pass. */
export const halfSquaredNorm = (x: Tensor): Tensor => execute('L2Loss', [float], [x])[0]!;

/** The sum of tensors of one shape, in the order given. */
export const addAll = (xs: Tensor[]): Tensor =>
  xs.length === 1 ? xs[0]! : execute('AddN', [float, intAttribute('N', xs.length)], xs)[0]!;

