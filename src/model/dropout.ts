/**
 * Dropout by stateless random numbers: which elements fall out depends only on (seed, site, branch, counter), so
 * recorded, eager and resumed steps drop the same ones and nothing random is saved.
 */
import { cast, greaterEqual, mul, scalar, stack, type Tensor } from '@tensorflow/tfjs-core';
import { statelessSeed } from '../random.ts';
import { statelessUniform } from '../ops/operations.ts';

export interface Dropout {
  /** Probability that an element is dropped. */
  rate: number;
  seed: number;
  /** Which part of the micro-batch this is: branches drop elements of their own. */
  branch: number;
  /** int32 scalar, different for every micro-batch ever trained on. */
  counter: Tensor;
}

/** 1/(1−rate) where kept, 0 where dropped; null where nothing is dropped (rate 0, or not training). */
export function dropoutMask(dropout: Dropout | null, site: string, shape: readonly number[]): Tensor | null {
  if (dropout === null || dropout.rate === 0) return null;
  const [siteSeed] = statelessSeed(dropout.seed, `dropout ${site}`, dropout.branch);
  const uniform = statelessUniform(shape, stack([scalar(siteSeed, 'int32'), dropout.counter]));
  return mul(cast(greaterEqual(uniform, dropout.rate), 'float32'), 1 / (1 - dropout.rate));
}

export function drop(x: Tensor, dropout: Dropout | null, site: string): Tensor {
  const mask = dropoutMask(dropout, site, x.shape);
  return mask === null ? x : mul(x, mask);
}
