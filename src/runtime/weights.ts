/**
 * Weights as generation reads them: without gradients, and a few rows at a time. A product of few rows is bound by reading
 * the weights, which clm's own operation does once and in the type they are stored in (kernels/fewRows.cc). Everything is
 * computed in float32, whatever that type is.
 *
 * M rows · K inputs · N outputs
 */
import { matMul, scalar, type Tensor } from '@tensorflow/tfjs-core';
import { intAttribute, typeAttribute } from './binding.ts';
import { dataTypes } from './capi.ts';
import { hasFusedOperations } from './fusedOperations.ts';
import { gatherRows } from './operations.ts';
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
 * Reads a variable as weights: a float32 tensor that `product` and `rowsOf` know where to take from.
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

/** x (M, K) · w (K, N), or · wᵀ where w (N, K) is transposed → (M, N). Not differentiable where w is from `readWeights`. */
export function product(x: Tensor, w: Tensor, transposed = false): Tensor {
  const stored = weights.get(w);
  if (stored === undefined) return matMul(x, w, false, transposed);
  const { backend } = loadedTensorFlow();
  if (isSmall(x.shape[0]!, w.size) && hasFusedOperations()) {
    const type = typeAttribute('T', stored.isHalf ? dataTypes.bfloat16 : dataTypes.float32);
    const ids = [...backend.getInputTensorIds([x]), stored.id];
    return backend.createOutputTensor(backend.binding.executeOp(transposed ? 'ClmFewRowsTransposed' : 'ClmFewRows', [type], ids, 1)[0]!);
  }
  // Cast when it is x's turn: all at once, the weights would take the memory that halves are there to save.
  const whole = stored.isHalf ? computedAfter([x], () => asFloats(backend, stored.id)) : w;
  return matMul(x, whole, false, transposed);
}

/** Rows of `table` (V, C) by `ids` (N) int32 → (N, C); of halves only these are cast. */
export function rowsOf(table: Tensor, ids: Tensor): Tensor {
  const stored = weights.get(table);
  if (!stored?.isHalf) return gatherRows(table, ids);
  const { backend } = loadedTensorFlow();
  const types = [typeAttribute('Tparams', dataTypes.bfloat16), typeAttribute('Tindices', dataTypes.int32), typeAttribute('Taxis', dataTypes.int32)];
  const inputs = [stored.id, ...backend.getInputTensorIds([ids, scalar(0, 'int32')])];
  return asFloats(backend, backend.binding.executeOp('GatherV2', [intAttribute('batch_dims', 0), ...types], inputs, 1)[0]!.id);
}

function asFloats(backend: TensorFlowBackend, halfId: number): Tensor {
  const types = [typeAttribute('SrcT', dataTypes.bfloat16), typeAttribute('DstT', dataTypes.float32)];
  return backend.createOutputTensor(backend.binding.executeOp('Cast', types, [halfId], 1)[0]!);
}
