/** The few TensorFlow operations the decoder needs and tfjs does not offer, or offers at a price. */
import { add, cast, customGrad, mul, reshape, scalar, stack, sum, tensor1d, type Tensor } from '@tensorflow/tfjs-core';
import { intAttribute, typeAttribute, type Attribute } from '../runtime/binding.ts';
import { dataTypes } from '../runtime/capi.ts';
import { fusedAdd, fusedAddRows, fusedHalfSquaredNorm, fusedSum, hasFusedOperations } from './fusedOperations.ts';
import { loadedTensorFlow } from '../runtime/tensorflow.ts';

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
    return { value, gradFunc: (dy: Tensor, [taken]: Tensor[]) => [sumOfRows(dy, taken!, rows!)] };
  });
  return gather(table);
}

/** Σ of the rows (N, C) of each id (N) int32 → (V, C), 0 where an id is not among them. */
export function sumOfRows(rows: Tensor, ids: Tensor, V: number): Tensor {
  const types = [float, typeAttribute('Tindices', dataTypes.int32), typeAttribute('Tnumsegments', dataTypes.int32)];
  return execute('UnsortedSegmentSum', types, [rows, ids, scalar(V, 'int32')])[0]!;
}

/** matrix (V, C) with rows (N, C) added to those that ids (N) int32 name. */
export const addRows = (matrix: Tensor, rows: Tensor, ids: Tensor): Tensor =>
  hasFusedOperations() ? fusedAddRows(matrix, rows, ids) : composedAddRows(matrix, rows, ids);

/** The same from TensorFlow's operations. */
export const composedAddRows = (matrix: Tensor, rows: Tensor, ids: Tensor): Tensor =>
  add(matrix, sumOfRows(rows, ids, matrix.shape[0]!));

/**
 * Cross-entropy of `logits` (N, V) against `targets` (N) int32: the losses (N), nats, and their gradient (N, V) by the
 * logits. The kernel gives both at once, so no one-hot (N, V) is ever made.
 */
export function crossEntropyAndGradient(logits: Tensor, targets: Tensor): { losses: Tensor; gradient: Tensor } {
  const types = [float, typeAttribute('Tlabels', dataTypes.int32)];
  const [losses, gradient] = execute('SparseSoftmaxCrossEntropyWithLogits', types, [logits, targets], 2);
  return { losses: losses!, gradient: gradient! };
}

/** The losses of `crossEntropyAndGradient`, differentiable. */
export function sparseCrossEntropy(logits: Tensor, targets: Tensor): Tensor {
  const crossEntropy = customGrad((...args) => {
    const [x, save] = args as unknown as [Tensor, (tensors: Tensor[]) => void];
    const { losses, gradient } = crossEntropyAndGradient(x, targets);
    save([gradient]);
    const gradFunc = (dy: Tensor, [saved]: Tensor[]): Tensor[] => [mul(saved!, reshape(dy, [-1, 1]))];
    return { value: losses, gradFunc };
  });
  return crossEntropy(logits);
}

/** Uniform numbers in [0, 1), a pure function of `seed` (2) int32: tfjs's own would be frozen into a recording. */
export function statelessUniform(shape: readonly number[], seed: Tensor): Tensor {
  const types = [typeAttribute('dtype', 1), typeAttribute('T', 3), typeAttribute('Tseed', 3)];
  return execute('StatelessRandomUniform', types, [tensor1d([...shape], 'int32'), seed])[0]!;
}

/** x (…, D) with the halves of its last axis exchanged, in one pass. */
export function swapHalves(x: Tensor): Tensor {
  const shift = tensor1d([x.shape.at(-1)! / 2], 'int32');
  const types = [float, typeAttribute('Tshift', dataTypes.int32), typeAttribute('Taxis', dataTypes.int32)];
  return execute('Roll', types, [x, shift, tensor1d([x.shape.length - 1], 'int32')])[0]!;
}

/** int32 → float32. */
export const integersAsFloats = (x: Tensor): Tensor => cast(x, 'float32');

/** dy · y · (1 − y) in one pass: the gradient of y = sigmoid(x). */
export const sigmoidGradient = (y: Tensor, dy: Tensor): Tensor => execute('SigmoidGrad', [float], [y, dy])[0]!;

/** ½ Σ x² in one pass. */
export const halfSquaredNorm = (x: Tensor): Tensor =>
  hasFusedOperations() ? fusedHalfSquaredNorm(x) : execute('L2Loss', [float], [x])[0]!;

/** y (N, C) + bias (C), faster than an Add that has to broadcast. */
export function addBias(y: Tensor, bias: Tensor): Tensor {
  const biased = customGrad((...args) => {
    const [rows, b] = args as unknown as [Tensor, Tensor];
    const value = execute('BiasAdd', [float], [rows, b])[0]!;
    return { value, gradFunc: (dy: Tensor) => [dy, execute('BiasAddGrad', [float], [dy])[0]!] };
  });
  return biased(y, bias);
}

/**
 * The sum of scalars, always in the same order. AddN begins with whichever input's memory nobody else holds at the
 * moment, so chance would decide about bits.
 */
export const sumOfScalars = (xs: Tensor[]): Tensor => sum(stack(xs));

/** The sum of what products gave, in the order given: no float32 copy of any is made. */
export function addProducts([first, second, ...rest]: Tensor[]): Tensor {
  if (second === undefined) return first!;
  const addOne = hasFusedOperations() ? fusedAdd : add;
  return rest.reduce((x, y) => addOne(x, y), (hasFusedOperations() ? fusedSum : add)(first!, second));
}

/**
 * x (R, D) with the rows `rows` (n) int32 replaced by `values` (n, D). In place where x is the value of a variable,
 * which must be assigned the result: nothing else of the program may read the old value.
 */
export const replaceRows = (x: Tensor, rows: Tensor, values: Tensor): Tensor =>
  execute('InplaceUpdate', [float], [x, rows, values])[0]!;
