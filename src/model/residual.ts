/** The residual stream: every part of a block adds to it what it computed from it. */
import { add, customGrad, type Tensor } from '@tensorflow/tfjs-core';
import { fusedAdd, hasFusedOperations } from '../ops/fusedOperations.ts';

/** stream + y, both (N, C); the gradient is the same by both. */
export function addTo(stream: Tensor, y: Tensor): Tensor {
  if (!hasFusedOperations()) return add(stream, y);
  const added = customGrad((...args) => {
    const [x, part] = args as unknown as [Tensor, Tensor];
    return { value: fusedAdd(x, part), gradFunc: (dy: Tensor) => [dy, dy] };
  });
  return added(stream, y);
}
