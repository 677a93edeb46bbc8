/**
 * Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) for the matrices inside the blocks: momentum
 * that is made nearly orthogonal, so that every direction of a matrix moves alike. Embeddings, the output head and
 * vectors are updated by AdamW. Each update is scaled by 0.2·√(larger side), the size of AdamW's updates (Liu et al.
 * 2025, https://arxiv.org/abs/2502.16982, section 2.2), so that one learning rate and one weight decay serve both.
 */
import { add, concat, div, matMul, maximum, mul, scalar, slice, sqrt, tensor2d, transpose } from '../../tfjs.ts';
import type { Tensor } from '../../tfjs.ts';
import { isBlockMatrix, type ParameterSpec } from '../../model/parameters.ts';
import { operation, updateByKernel } from '../../ops/kernels.ts';
import { halfSquaredNorm } from '../../ops/sums.ts';
import { boolAttribute, floatAttribute, intAttribute } from '../../runtime/binding.ts';
import { kernelsInUse } from '../../runtime/recording.ts';
import { elementCount } from '../../tensors/tensors.ts';
import { adamW } from './adamw.ts';

/**
 * Coefficients of aX + b(XXᵀ)X + c(XXᵀ)²X for each iteration, by the method of Polar Express (Amsel et al. 2025,
 * https://arxiv.org/abs/2505.16932, algorithm 1): each the best there is for singular values from 0.01 on, given those
 * before; they end in 0.99 … 1.02. scripts/fixtures/optimizers.py computes them.
 */
const coefficients = [
  [7.910285, -22.079017, 15.869282],
  [3.607343, -2.646667, 0.51104],
  [2.644816, -1.926926, 0.431511],
  [1.958892, -1.340357, 0.384144],
];
const smallestBound = 1e-14;
const defaultMomentum = 0.95;

const momentumName = (parameter: string): string => `${parameter}/momentum`;

/** The size of AdamW's updates. */
const scaleOf = (rows: number, columns: number): number => 0.2 * Math.sqrt(Math.max(rows, columns));

/** Query, key and value are separate maps that happen to be side by side: first column and columns of each map. */
function mapsOf({ shape, parts = [shape[1]!] }: ParameterSpec): { first: number; columns: number }[] {
  let first = 0;
  return parts.map((columns) => ({ first: (first += columns) - columns, columns }));
}

type Muon = typeof adamW;

/** Each map by one kernel, in place. */
const applyByKernel: Muon['apply'] = (
  variables,
  config,
  { spec, variable, gradient, gradientFactor, scalars: { learningRate } },
) => {
  const momentum = scalar(config.momentum ?? defaultMomentum);
  for (const { first, columns } of mapsOf(spec)) {
    const attributes = [
      intAttribute('first', first),
      intAttribute('columns', columns),
      floatAttribute('scale', scaleOf(spec.shape[0]!, columns)),
      floatAttribute('weight_decay', config.weightDecay),
      boolAttribute('on_tiles', kernelsInUse() === 'tiles'),
    ];
    const state = [variables.read(variable), variables.read(momentumName(spec.name))];
    const scalars = [learningRate, momentum, gradientFactor ?? scalar(1)];
    const inputs = [...state, gradient, ...scalars, tensor2d(coefficients)];
    updateByKernel(variables, 'ClmMuon', variable, inputs, attributes);
  }
};

const applyComposed: Muon['apply'] = (variables, config, update) => {
  const { spec, variable, parameter, scalars } = update;
  const gradient = update.gradientFactor === null ? update.gradient : mul(update.gradient, update.gradientFactor);
  const learningRate = scalars.learningRate;
  const decay = config.momentum ?? defaultMomentum;
  // Nesterov's look ahead: the mean as it would be after this gradient once more.
  const mean = add(mul(variables.read(momentumName(spec.name)), decay), mul(gradient, 1 - decay));
  const ahead = add(mul(mean, decay), mul(gradient, 1 - decay));
  const rows = spec.shape[0]!;
  const directions = mapsOf(spec).map(({ first, columns }) =>
    mul(orthogonalised(slice(ahead, [0, first], [rows, columns])), scaleOf(rows, columns)),
  );
  const direction = directions.length === 1 ? directions[0]! : concat(directions, 1);
  const step = mul(direction, learningRate);
  variables.assignSubtract(
    variable,
    config.weightDecay > 0 ? add(step, mul(parameter, mul(learningRate, config.weightDecay))) : step,
  );
  variables.assign(momentumName(spec.name), mean);
};

/** The nearest (semi-)orthogonal matrix, roughly, by iterations of a quintic. */
function orthogonalised(matrix: Tensor): Tensor {
  const [rows, columns] = matrix.shape as [number, number];
  const isTall = rows > columns; // the products are of the smaller side
  let x = isTall ? transpose(matrix) : matrix;
  // The largest singular value of XXᵀ is at most its Frobenius norm, a closer bound than that of X.
  const bound = mul(halfSquaredNorm(matMul(x, x, false, true)), 2); // of the largest singular value, to the power of 4
  x = div(x, sqrt(maximum(sqrt(bound), smallestBound)));
  for (const [a, b, c] of coefficients as [number, number, number][]) {
    const gram = matMul(x, x, false, true);
    x = add(mul(x, a), matMul(add(mul(gram, b), mul(matMul(gram, gram), c)), x));
  }
  return isTall ? transpose(x) : x;
}

/** The update of a matrix of a block. */
export const updateMatrix = operation({ kernel: applyByKernel, composed: applyComposed });

export const muon: Muon = {
  initialState(spec) {
    if (!isBlockMatrix(spec)) return adamW.initialState(spec);
    return [{ name: momentumName(spec.name), shape: spec.shape, values: new Float32Array(elementCount(spec.shape)) }];
  },

  scalars: adamW.scalars,

  apply: (variables, config, update) =>
    (isBlockMatrix(update.spec) ? updateMatrix : adamW.apply)(variables, config, update),
};
