/**
 * Products of rows with weights. Weights that are trained are tensors. In generation, and if they are frozen in
 * training, they are `StoredWeight`s, which have no gradient: a product of a few rows is bound by reading the weights,
 * which clm's kernel (native/kernels/fewRows.cc) does once and in the type they are stored in. One of many rows casts
 * bfloat16 weights piece by piece in the cache (native/kernels/manyRows.cc). Everything is computed in float32, but for
 * products with int8 weights (native/kernels/int8.cc), which are for generation alone, and in precision bfloat16.
 *
 * M rows · K inputs · N outputs
 */
import { matMul, tensor1d, type Tensor } from '../tfjs.ts';
import { float32Type, typeAttribute } from '../runtime/binding.ts';
import { computedAfter, kernelsInUse, precisionInUse } from '../runtime/recording.ts';
import { executeOne } from '../runtime/tensorflow.ts';
import { storedType, type StoredWeight } from '../runtime/variables.ts';
import { operation, runKernel } from './kernels.ts';
import { gatherRows } from './rows.ts';
import { withGradient } from './withGradient.ts';

export type Weight = Tensor | StoredWeight;

export const isStored = (w: Weight): w is StoredWeight => 'storedAs' in w;

/** All of a weight in float32. */
export const valuesOf = (w: Weight): Tensor => (isStored(w) ? w.inFloat32() : w);

/**
 * The same once x is computed: if all bfloat16 weights were cast at the start, they would take the memory that storing
 * them in bfloat16 saves.
 */
export const valuesAfter = (x: Tensor, w: Weight): Tensor =>
  isStored(w) && w.storedAs === 'bfloat16' ? computedAfter([x], () => w.inFloat32()) : valuesOf(w);

/**
 * What the kernel for few rows does faster than TensorFlow's product: few rows, or little work. Its rows do not depend
 * on each other, so that as many completions at the same time are the same as each alone.
 */
const isSmall = (x: Tensor, w: StoredWeight): boolean => {
  const [rows, size] = [x.shape[0]!, w.shape[0]! * w.shape[1]!];
  return rows <= 64 || rows * size <= 2 ** 22;
};

/**
 * Whether the kernel for many rows is used, which saves the copy in float32: not where products are computed on a tile
 * unit, or in bfloat16.
 */
const takesManyRows = ({ storedAs }: StoredWeight): boolean =>
  storedAs === 'bfloat16' && kernelsInUse() === 'vectors' && precisionInUse() === 'float32';

/** x (M, K) · w (K, N) + bias (N) → (M, N). Differentiable by x, by the bias, and by w if that is a tensor. */
export function linearProduct(x: Tensor, w: Weight, bias: Tensor | null): Tensor {
  if (!isStored(w)) return addBias(matMul(x, w), bias);
  return bias === null
    ? withGradient(
        [x],
        () => ({ value: storedProduct(x, w, null) }),
        (dy) => [storedTransposedProduct(dy, w)],
      )
    : withGradient(
        [x, bias],
        () => ({ value: storedProduct(x, w, bias) }),
        (dy) => [storedTransposedProduct(dy, w), biasGradient(dy)],
      );
}

/** x (M, K) · wᵀ, w (N, K) → (M, N). Differentiable by x, and by w if that is a tensor. */
export const transposedProduct = (x: Tensor, w: Weight): Tensor =>
  isStored(w)
    ? withGradient(
        [x],
        () => ({ value: storedTransposedProduct(x, w) }),
        (dy) => [storedProduct(dy, w, null)],
      )
    : matMul(x, w, false, true);

const storedProduct = operation({
  kernel: (x: Tensor, w: StoredWeight, bias: Tensor | null): Tensor => {
    if (w.storedAs === 'int8') return storedProduct.composed(x, w, bias);
    if (isSmall(x, w)) return runKernel('ClmFewRows', [x, w, bias ?? tensor1d([])], [typeOf(w)])[0];
    if (takesManyRows(w)) return runKernel('ClmManyRows', [x, w, bias ?? tensor1d([])])[0];
    return storedProduct.composed(x, w, bias);
  },
  composed: (x: Tensor, w: StoredWeight, bias: Tensor | null): Tensor =>
    w.storedAs === 'int8' ? int8Product(x, w, bias) : addBias(matMul(x, valuesAfter(x, w)), bias),
});

const storedTransposedProduct = operation({
  kernel: (x: Tensor, w: StoredWeight): Tensor => {
    if (w.storedAs === 'int8') return storedTransposedProduct.composed(x, w);
    if (isSmall(x, w)) return runKernel('ClmFewRowsTransposed', [x, w], [typeOf(w)])[0];
    if (takesManyRows(w)) return runKernel('ClmManyRowsTransposed', [x, w])[0];
    return storedTransposedProduct.composed(x, w);
  },
  composed: (x: Tensor, w: StoredWeight): Tensor =>
    w.storedAs === 'int8' ? int8Product(x, w, null) : matMul(x, valuesAfter(x, w), false, true),
});

/** Of any number of rows, with the matrix as it was packed, for x · w or x · wᵀ. There is no other form. */
const int8Product = (x: Tensor, w: StoredWeight, bias: Tensor | null): Tensor =>
  runKernel('ClmInt8Product', [x, w, bias ?? tensor1d([])])[0];

const typeOf = ({ storedAs }: StoredWeight) => typeAttribute('T', storedType(storedAs));

/** Rows of `table` (V, C) by `ids` (N) int32 → (N, C). Of a stored table only these rows are turned into float32. */
export const rowsOf = (table: Weight, ids: Tensor): Tensor =>
  isStored(table) ? table.rowsInFloat32(ids) : gatherRows(table, ids);

/** y (N, C) + bias (C), faster than an Add that has to broadcast; y if the bias is null. */
export function addBias(y: Tensor, bias: Tensor | null): Tensor {
  if (bias === null) return y;
  return withGradient(
    [y, bias],
    () => ({ value: executeOne('BiasAdd', [float32Type], [y, bias]) }),
    (dy) => [dy, biasGradient(dy)],
  );
}

/** Σ of the rows of dy (N, C) → (C), in an order that does not depend on the number of threads. */
export const biasGradient = operation({
  kernel: (dy: Tensor): Tensor => runKernel('ClmColumnSums', [dy])[0],
  composed: (dy: Tensor): Tensor => executeOne('BiasAddGrad', [float32Type], [dy]),
});
