/** Sums whose order, memory or precision matters: of the residual stream, of gradients, of squares. */
import { add, greater, stack, sum, where, type Tensor } from '@tensorflow/tfjs-core';
import { float32Type } from '../runtime/binding.ts';
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

/** The sum of results of products, in the given order and in float32; not differentiable. */
export const addProducts = operation({
  // Bfloat16 products are added without a float32 copy of any.
  kernel: ([first, second, ...rest]: Tensor[]): Tensor =>
    second === undefined
      ? first!
      : rest.reduce((x, y) => runKernel('ClmAdd', [x, y])[0], runKernel('ClmSum', [first!, second])[0]),
  composed: (products: Tensor[]): Tensor => products.reduce((x, y) => add(x, y)),
});

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
 * Adds `value` to the variable `name`; if `hasBegun` (a scalar) is 0, the sum begins with it and the old value is
 * dropped, even if it is not a number. Nothing else of the program may read the variable.
 */
export const accumulate = operation({
  kernel: (variables: Variables, name: string, value: Tensor, hasBegun: Tensor): void =>
    updateByKernel(variables, 'ClmAccumulate', name, [variables.read(name), value, hasBegun]),
  composed: (variables: Variables, name: string, value: Tensor, hasBegun: Tensor): void =>
    variables.assign(name, where(greater(hasBegun, 0), add(variables.read(name), value), value)),
});
