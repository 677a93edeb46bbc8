/** Random masks by stateless random numbers: the same seed gives the same mask, recorded, eager or resumed. */
import { cast, greaterEqual, mul, tensor1d, type Tensor } from '@tensorflow/tfjs-core';
import { dataTypes, typeAttribute } from '../runtime/binding.ts';
import { executeOne } from '../runtime/tensorflow.ts';

/** 1/(1−rate) with probability 1−rate, otherwise 0. @param seed (2) int32 */
export const randomMask = (shape: readonly number[], rate: number, seed: Tensor): Tensor =>
  mul(cast(greaterEqual(statelessUniform(shape, seed), rate), 'float32'), 1 / (1 - rate));

/** Uniform numbers in [0, 1), a pure function of `seed` (2) int32: tfjs's own would be frozen into a recording. */
export function statelessUniform(shape: readonly number[], seed: Tensor): Tensor {
  const types = [
    typeAttribute('dtype', dataTypes.float32),
    typeAttribute('T', dataTypes.int32),
    typeAttribute('Tseed', dataTypes.int32),
  ];
  return executeOne('StatelessRandomUniform', types, [tensor1d([...shape], 'int32'), seed]);
}
