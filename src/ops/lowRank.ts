/**
 * What a low-rank adapter adds to a linear operation: scaling·(x·A)·B, to some of its columns.
 *
 * N rows · K inputs · M outputs · r rank
 */
import { add, concat, mul, zeros, type Tensor } from '@tensorflow/tfjs-core';
import { linearProduct, type Weight } from './linear.ts';

/** One adapted map of a linear operation. */
export interface LowRankMap {
  /** (N, K) */
  x: Tensor;
  /** (K, r) */
  a: Weight;
  /** (r, columns) */
  b: Weight;
  /** The first of its columns of the result; maps are in ascending order and do not overlap. */
  start: number;
}

/** y (N, M) with the products of the maps added → (N, M). */
export function addLowRank(y: Tensor, maps: readonly LowRankMap[], scaling: number): Tensor {
  const [N, M] = y.shape as [number, number];
  const pieces: Tensor[] = [];
  let end = 0;
  const fillTo = (column: number): void => {
    if (column > end) pieces.push(zeros([N, column - end]));
  };
  for (const { x, a, b, start } of maps) {
    fillTo(start);
    pieces.push(linearProduct(mul(linearProduct(x, a, null), scaling), b, null));
    end = start + b.shape[1]!;
  }
  fillTo(M);
  return add(y, pieces.length === 1 ? pieces[0]! : concat(pieces, 1));
}
