/**
 * Dropout by stateless random numbers: which elements are dropped depends only on (seed, site, branch, counter), so
 * recorded, eager and resumed steps drop the same ones and nothing random is saved.
 */
import { mul, scalar, stack, type Tensor } from '@tensorflow/tfjs-core';
import { randomMask } from '../ops/dropoutMask.ts';
import { statelessSeed } from '../random.ts';

export interface Dropout {
  /** Probability that an element is dropped. */
  rate: number;
  seed: number;
  /** Which part of the micro-batch this is: each branch drops elements of its own. */
  branch: number;
  /** int32 scalar, different for every micro-batch ever trained on. */
  counter: Tensor;
}

/** 1/(1−rate) for what is kept, 0 for what is dropped; null if nothing is dropped (rate 0, or not training). */
export function dropoutMask(dropout: Dropout | null, site: string, shape: readonly number[]): Tensor | null {
  if (dropout === null || dropout.rate === 0) return null;
  const [siteSeed] = statelessSeed(dropout.seed, `dropout ${site}`, dropout.branch);
  return randomMask(shape, dropout.rate, stack([scalar(siteSeed, 'int32'), dropout.counter]));
}

export function drop(x: Tensor, dropout: Dropout | null, site: string): Tensor {
  const mask = dropoutMask(dropout, site, x.shape);
  return mask === null ? x : mul(x, mask);
}
