/** Rotary position embedding (Su et al. 2021, https://arxiv.org/abs/2104.09864): pairs of numbers turned by angles. */
import { add, mul, reshape, tensor1d, type Tensor } from '../tfjs.ts';
import { dataTypes, typeAttribute } from '../runtime/binding.ts';
import { executeOne } from '../runtime/tensorflow.ts';
import { withGradient } from './withGradient.ts';

/** Cosines and sines of the angles by which the rows of a pass are turned. */
export interface Rotation {
  /** (T, D), or (B, 1, 1, T, D) if the rows have position ids. */
  cosines: Tensor;
  /** As `cosines`, the first half of each row negated. */
  signedSines: Tensor;
}

/** x (B, K, G·T, D) → same shape, row t of each head turned by the angles of its position. */
export function rotate(x: Tensor, { cosines, signedSines }: Rotation, T: number): Tensor {
  const [B, K, rows, D] = x.shape as [number, number, number, number];
  const input = reshape(x, [B, K, rows / T, T, D]);
  const turned = withGradient(
    [input],
    () => ({
      value: add(mul(input, cosines), mul(swapHalves(input), signedSines)),
      saved: [cosines, signedSines],
    }),
    // A rotation's transpose is its inverse: the angle with the other sign.
    (dy, [c, s]) => [add(mul(dy, c), mul(swapHalves(dy), mul(s, -1)))],
  );
  return reshape(turned, [B, K, rows, D]);
}

/** x (…, D) with the first and second half of its last axis exchanged, in one pass. */
function swapHalves(x: Tensor): Tensor {
  const shift = tensor1d([x.shape.at(-1)! / 2], 'int32');
  const types = ['T', 'Tshift', 'Taxis'].map((name) =>
    typeAttribute(name, name === 'T' ? dataTypes.float32 : dataTypes.int32),
  );
  return executeOne('Roll', types, [x, shift, tensor1d([x.shape.length - 1], 'int32')]);
}
