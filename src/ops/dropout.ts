/**
 * Dropout by stateless random numbers: which elements are dropped depends only on (seed, site, branch, counter), so
 * recorded, eager and resumed steps drop the same ones and nothing random is saved.
 */
import { cast, greaterEqual, mul, scalar, stack, tensor1d, type Tensor } from '../tfjs.ts';
import { statelessSeed } from '../random.ts';
import { dataTypes, typeAttribute } from '../runtime/binding.ts';
import { executeOne } from '../runtime/tensorflow.ts';

export interface Dropout {
  /** Probability that an element is dropped. */
  rate: number;
  seed: number;
  /** Which part of the micro-batch this is: each branch drops elements of its own. */
  branch: number;
  /** int32 scalar, different for every micro-batch ever trained on. */
  counter: Tensor;
}

/** The dropout of one place in the model. */
export interface DropoutSite {
  rate: number;
  /** (2) int32, of `statelessUniform`: an element is dropped if its number is below the rate. */
  seed: Tensor;
}

/** null if nothing is dropped (rate 0, or not training). */
export function dropoutSite(dropout: Dropout | null, site: string): DropoutSite | null {
  if (dropout === null || dropout.rate === 0) return null;
  const [siteSeed] = statelessSeed(dropout.seed, `dropout ${site}`, dropout.branch);
  return { rate: dropout.rate, seed: stack([scalar(siteSeed, 'int32'), dropout.counter]) };
}

/** 1/(1−rate) for what is kept, 0 for what is dropped. */
export const dropoutMask = ({ rate, seed }: DropoutSite, shape: readonly number[]): Tensor =>
  mul(cast(greaterEqual(statelessUniform(shape, seed), rate), 'float32'), 1 / (1 - rate));

export function drop(x: Tensor, dropout: Dropout | null, site: string): Tensor {
  const dropped = dropoutSite(dropout, site);
  return dropped === null ? x : mul(x, dropoutMask(dropped, x.shape));
}

/** Uniform numbers in [0, 1), a pure function of `seed` (2) int32: tfjs's own would be frozen into a recording. */
export function statelessUniform(shape: readonly number[], seed: Tensor): Tensor {
  const types = [
    typeAttribute('dtype', dataTypes.float32),
    typeAttribute('T', dataTypes.int32),
    typeAttribute('Tseed', dataTypes.int32),
  ];
  return executeOne('StatelessRandomUniform', types, [tensor1d([...shape], 'int32'), seed]);
}
