/**
 * Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) for the matrices inside the blocks: momentum
 * that is made nearly orthogonal, so that every direction of a matrix moves alike. Embeddings, the output head and
 * vectors are updated by AdamW. Each update is scaled by 0.2·√(larger side), the size of AdamW's updates (Liu et al.
 * 2025, https://arxiv.org/abs/2502.16982, section 2.2), so that one learning rate and one weight decay serve both.
 */
import { add, concat, div, matMul, maximum, mul, slice, sqrt, transpose, type Tensor } from '@tensorflow/tfjs-core';
import { isBlockMatrix } from '../../model/parameters.ts';
import { halfSquaredNorm } from '../../ops/sums.ts';
import { elementCount } from '../../tensors/tensors.ts';
import { adamW } from './adamw.ts';

/** Jordan's coefficients: steep at zero, so that five iterations are enough; singular values end in 0.7 … 1.2. */
const [a, b, c] = [3.4445, -4.775, 2.0315];
const iterations = 5;
const smallestNorm = 1e-7;
const defaultMomentum = 0.95;

const momentumName = (parameter: string): string => `${parameter}/momentum`;

export const muon: typeof adamW = {
  initialState(spec) {
    if (!isBlockMatrix(spec)) return adamW.initialState(spec);
    return [{ name: momentumName(spec.name), shape: spec.shape, values: new Float32Array(elementCount(spec.shape)) }];
  },

  scalars: adamW.scalars,

  apply(variables, config, update) {
    const { spec, variable, parameter, scalars } = update;
    if (!isBlockMatrix(spec)) return adamW.apply(variables, config, update);
    const gradient = update.gradientFactor === null ? update.gradient : mul(update.gradient, update.gradientFactor);
    const learningRate = scalars.learningRate;
    const decay = config.momentum ?? defaultMomentum;
    // Nesterov's look ahead: the mean as it would be after this gradient once more.
    const mean = add(mul(variables.read(momentumName(spec.name)), decay), mul(gradient, 1 - decay));
    const ahead = add(mul(mean, decay), mul(gradient, 1 - decay));
    // Query, key and value are separate maps that happen to be side by side.
    const directions = columnsOf(ahead, spec.parts).map(orthogonalised);
    const direction = directions.length === 1 ? directions[0]! : concat(directions, 1);
    const step = mul(direction, learningRate);
    variables.assignSubtract(
      variable,
      config.weightDecay > 0 ? add(step, mul(parameter, mul(learningRate, config.weightDecay))) : step,
    );
    variables.assign(momentumName(spec.name), mean);
  },
};

/** The maps of a matrix, given their columns. */
function columnsOf(matrix: Tensor, parts: readonly number[] = [matrix.shape[1]!]): Tensor[] {
  let begin = 0;
  return parts.map((columns) => {
    const part = slice(matrix, [0, begin], [matrix.shape[0]!, columns]);
    begin += columns;
    return part;
  });
}

/**
 * The nearest (semi-)orthogonal matrix, roughly, by Newton–Schulz iterations of the quintic aX + b(XXᵀ)X + c(XXᵀ)²X,
 * times 0.2·√(larger side).
 */
function orthogonalised(matrix: Tensor): Tensor {
  const [rows, columns] = matrix.shape as [number, number];
  const isTall = rows > columns; // the products are of the smaller side
  let x = isTall ? transpose(matrix) : matrix;
  x = div(x, maximum(sqrt(mul(halfSquaredNorm(x), 2)), smallestNorm)); // the largest singular value is at most 1
  for (let i = 0; i < iterations; i++) {
    const gram = matMul(x, x, false, true);
    x = add(mul(x, a), matMul(add(mul(gram, b), mul(matMul(gram, gram), c)), x));
  }
  x = mul(x, 0.2 * Math.sqrt(Math.max(rows, columns)));
  return isTall ? transpose(x) : x;
}
