/** Sums whose order, memory or precision matters: of the residual stream, of gradients, of squares. */
import { add, equal, greaterEqual, less, logicalAnd, stack, sum, where, type Tensor } from '../tfjs.ts';
import { float32Type, intAttribute } from '../runtime/binding.ts';
import { updatesIf } from '../runtime/recording.ts';
import { executeOne } from '../runtime/tensorflow.ts';
import type { Variables } from '../runtime/variables.ts';
import { operation, runKernel, updateByKernel } from './kernels.ts';
import { withGradient } from './withGradient.ts';

/** stream + y, both (N, C): the residual stream and what a block adds to it; the gradient is the same by both. */
export const addTo = operation({
  kernel: (stream: Tensor, y: Tensor): Tensor =>
    withGradient(
      [stream, y],
      () => ({ value: runKernel('ClmAdd', [stream, y])[0] }),
      (dy) => [dy, dy],
    ),
  composed: (stream: Tensor, y: Tensor): Tensor => add(stream, y),
});

/** Two results of products, added in float32; not differentiable. Of bfloat16 ones, no float32 copy is made. */
const addProducts = operation({
  kernel: (x: Tensor, y: Tensor): Tensor => runKernel('ClmSum', [x, y])[0],
  composed: (x: Tensor, y: Tensor): Tensor => add(x, y),
});

/** A result of products added to a sum of others, in float32; not differentiable. */
export const addProduct = operation({
  kernel: (total: Tensor, product: Tensor): Tensor => runKernel('ClmAdd', [total, product])[0],
  composed: (total: Tensor, product: Tensor): Tensor => add(total, product),
});

/**
 * The sum of results of products, in float32, not differentiable: halves are summed by themselves as long as they are
 * equal, the rest in order. So a half can be summed by another process.
 */
export function sumOfProducts(products: readonly Tensor[]): Tensor {
  const [first, second, ...rest] = products as [Tensor, Tensor?, ...Tensor[]];
  if (second === undefined) return first;
  if (products.length === 2) return addProducts(first, second);
  if (products.length % 2 === 1)
    return rest.reduce((total, each) => addProduct(total, each), addProducts(first, second));
  const middle = products.length / 2;
  return addProducts(sumOfProducts(products.slice(0, middle)), sumOfProducts(products.slice(middle)));
}

/**
 * The sum of scalars, always in the same order. AddN begins with whichever input's memory nobody else holds at the
 * moment, so chance would decide about bits.
 */
export const sumOfScalars = (xs: Tensor[]): Tensor => sum(stack(xs));

/** ½ Σ x² in one pass; a scalar. */
export const halfSquaredNorm = operation({
  kernel: (x: Tensor): Tensor => runKernel('ClmHalfSquaredNorm', [x])[0],
  composed: (x: Tensor): Tensor => executeOne('L2Loss', [float32Type], [x]),
});

/**
 * Adds `adds` of the variables `names`, the last of them first, to `value` and assigns the result to the first of them,
 * which has the index `into`; without one, `value` becomes that variable. Both are scalars. The other variables do not
 * matter, even if they are not numbers; those after the first have no values once all are added. Nothing else of the
 * program may read the variables.
 */
export const accumulate = operation({
  kernel: (variables: Variables, names: readonly string[], value: Tensor, adds: Tensor, into: Tensor): void => {
    const sums = names.map((name) => variables.read(name));
    updateByKernel(
      variables,
      'ClmAccumulate',
      names[0]!,
      [value, adds, into, ...sums],
      [intAttribute('N', sums.length)],
    );
  },
  composed: (variables: Variables, names: readonly string[], value: Tensor, adds: Tensor, into: Tensor): void => {
    const isAdded = (i: number): Tensor => logicalAnd(greaterEqual(i, into), less(i, add(into, adds)));
    const total = names.reduceRight((sum, name, i) => where(isAdded(i), add(sum, variables.read(name)), sum), value);
    names.forEach((name, i) => updatesIf(equal(into, i), () => variables.assign(name, total)));
  },
});
