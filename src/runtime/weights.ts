/**
 * Weights as generation reads them: without gradients, and a few rows at a time. A product of few rows is bound by
 * reading the weights, which clm's own operation does once and in the type they are stored in (native/kernels/fewRows.cc).
 * Everything is computed in float32, whatever that type is.
 *
 * M rows · K inputs · N outputs
 */
import { matMul, scalar, tensor1d, type Tensor } from '@tensorflow/tfjs-core';
import { intAttribute, typeAttribute } from './binding.ts';
import { dataTypes } from './capi.ts';
import { hasFusedOperations } from '../ops/fusedOperations.ts';
import { addBias, gatherRows } from '../ops/operations.ts';
import { computedAfter } from './recording.ts';
import { loadedTensorFlow, type TensorFlowBackend } from './tensorflow.ts';

/** The value of a variable as it is stored: its id in the binding of the moment. */
interface Stored {
  id: number;
  isHalf: boolean;
}

/** Where the tensors that `readWeights` gave have their values from. */
const weights = new WeakMap<Tensor, Stored>();

/** What the own operation does faster than TensorFlow's product: few rows, or little work. */
const isSmall = (rows: number, weightCount: number): boolean => rows <= 16 || rows * weightCount <= 2 ** 22;

/**
 * Reads a variable as weights: a float32 tensor that the functions below know where to take from.
 *
 * @param handleId of the variable @param isHalf whether it is stored in bfloat16
 */
export function readWeights(backend: TensorFlowBackend, handleId: number, isHalf: boolean): Tensor {
  const dtype = typeAttribute('dtype', isHalf ? dataTypes.bfloat16 : dataTypes.float32);
  const handle = backend.binding.executeOp('ReadVariableOp', [dtype], [handleId], 1)[0]!;
  const value = isHalf ? asFloats(backend, handle.id) : backend.createOutputTensor(handle);
  weights.set(value, { id: handle.id, isHalf });
  return value;
}

/** x (M, K) · w (K, N) + bias (N) → (M, N). Not differentiable where w is from `readWeights`. */
export function linearProduct(x: Tensor, w: Tensor, bias: Tensor | null): Tensor {
  if (isForFewRows(x, w)) return fewRows('ClmFewRows', w, [x, w, bias ?? tensor1d([])]);
  const y = matMul(x, whole(w, x));
  return bias === null ? y : addBias(y, bias);
}

/** x (M, K) · wᵀ, w (N, K) → (M, N). Not differentiable where w is from `readWeights`. */
export const transposedProduct = (x: Tensor, w: Tensor): Tensor =>
  isForFewRows(x, w) ? fewRows('ClmFewRowsTransposed', w, [x, w]) : matMul(x, whole(w, x), false, true);

const isForFewRows = (x: Tensor, w: Tensor): boolean =>
  weights.has(w) && isSmall(x.shape[0]!, w.size) && hasFusedOperations();

/** By clm's own operation, whose second input, the weights, is read as it is stored. */
function fewRows(operation: string, w: Tensor, inputs: Tensor[]): Tensor {
  const { backend } = loadedTensorFlow();
  const { id, isHalf } = weights.get(w)!;
  const type = typeAttribute('T', isHalf ? dataTypes.bfloat16 : dataTypes.float32);
  const [xId, , ...rest] = backend.getInputTensorIds(inputs);
  return backend.createOutputTensor(backend.binding.executeOp(operation, [type], [xId!, id, ...rest], 1)[0]!);
}

/**
 * w in float32, cast when it is x's turn: all at once, the weights would take the memory that halves are there to save.
 */
function whole(w: Tensor, x: Tensor): Tensor {
  const stored = weights.get(w);
  return stored?.isHalf ? computedAfter([x], () => asFloats(loadedTensorFlow().backend, stored.id)) : w;
}

/** Rows of `table` (V, C) by `ids` (N) int32 → (N, C); of halves only these are cast. */
export function rowsOf(table: Tensor, ids: Tensor): Tensor {
  const stored = weights.get(table);
  if (!stored?.isHalf) return gatherRows(table, ids);
  const { backend } = loadedTensorFlow();
  const types = [
    typeAttribute('Tparams', dataTypes.bfloat16),
    typeAttribute('Tindices', dataTypes.int32),
    typeAttribute('Taxis', dataTypes.int32),
  ];
  const inputs = [stored.id, ...backend.getInputTensorIds([ids, scalar(0, 'int32')])];
  return asFloats(
    backend,
    backend.binding.executeOp('GatherV2', [intAttribute('batch_dims', 0), ...types], inputs, 1)[0]!.id,
  );
}

function asFloats(backend: TensorFlowBackend, halfId: number): Tensor {
  const types = [typeAttribute('SrcT', dataTypes.bfloat16), typeAttribute('DstT', dataTypes.float32)];
  return backend.createOutputTensor(backend.binding.executeOp('Cast', types, [halfId], 1)[0]!);
}
