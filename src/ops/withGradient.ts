/** The typed form of tfjs's `customGrad`: an operation with a gradient of its own. */
import { customGrad, type GradSaveFunc, type Tensor } from '../tfjs.ts';

type Tensors = readonly Tensor[];

/**
 * Computes `forward()`, a function of the inputs, and differentiates it by `backward`.
 *
 * @param forward returns the value, and in `saved` every tensor the gradient needs: tfjs disposes of the others before
 *   the backward pass
 * @param backward returns the gradient by each input in order, from dy (of the value's shape) and `saved`
 */
export function withGradient<const I extends Tensors, const S extends Tensors>(
  inputs: I,
  forward: () => { value: Tensor; saved?: S },
  backward: (dy: Tensor, saved: S) => { [K in keyof I]: Tensor },
): Tensor {
  const compute = customGrad((...args) => {
    const save = args.at(-1) as GradSaveFunc;
    const { value, saved } = forward();
    if (saved) save([...saved]);
    return { value, gradFunc: (dy: Tensor, kept: Tensors) => [...backward(dy, kept as S)] };
  });
  return compute(...inputs);
}
