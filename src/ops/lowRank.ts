/**
 * A linear operation with low-rank adapters (LoRA): x·W + bias, and scaling·(x·A)·B added to some of the columns for
 * each pair of small matrices. One operation with one gradient: what the adapters add goes into the memory of the
 * product, forward and backward.
 *
 * N rows · K inputs · M outputs · r rank
 */
import { add, concat, matMul, mul, slice, zeros, zerosLike, type Tensor } from '../tfjs.ts';
import { floatAttribute, intAttribute } from '../runtime/binding.ts';
import { pick, runKernel, type Forms } from './kernels.ts';
import { biasGradient, isStored, linearProduct, transposedProduct, type Weight } from './linear.ts';
import { withGradient } from './withGradient.ts';

/** The two matrices beside some of the columns. */
export interface LowRankMap {
  /** (K, r) */
  a: Weight;
  /** (r, columns) */
  b: Weight;
  /** The first of its columns of the result. */
  start: number;
  /** (N, K), multiplied into the x of this map (dropout), or null. */
  mask: Tensor | null;
}

interface LowRank {
  /** y (N, M) with scaling·(x·a)·b added, and u = x·a (N, r). */
  forward(y: Tensor, x: Tensor, a: Tensor, b: Tensor, place: Place): { sum: Tensor; u: Tensor };
  /** dx (N, K) with the gradient by x added, and the gradients by a and b. */
  backward(
    dx: Tensor,
    dy: Tensor,
    saved: { x: Tensor; u: Tensor; a: Tensor; b: Tensor },
    place: Place,
  ): readonly [Tensor, Tensor, Tensor];
}

interface Place {
  start: number;
  scaling: number;
}

const attributes = ({ start, scaling }: Place) => [floatAttribute('scaling', scaling), intAttribute('start', start)];

const lowRank: Forms<LowRank> = {
  kernel: {
    forward: (y, x, a, b, place) => {
      const [sum, u] = runKernel('ClmLowRank', [y, x, a, b], attributes(place));
      return { sum, u };
    },
    backward: (dx, dy, { x, u, a, b }, place) => runKernel('ClmLowRankGrad', [dx, dy, x, u, a, b], attributes(place)),
  },
  composed: {
    forward: (y, x, a, b, { start, scaling }) => {
      const u = matMul(x, a);
      return { sum: add(y, padded(matMul(mul(u, scaling), b), start, y.shape[1]!)), u };
    },
    backward: (dx, dy, { x, u, a, b }, { start, scaling }) => {
      const own = mul(slice(dy, [0, start], [dy.shape[0]!, b.shape[1]!]), scaling);
      const du = matMul(own, b, false, true);
      return [add(dx, matMul(du, a, false, true)), matMul(x, du, true, false), matMul(u, own, true, false)];
    },
  },
};

/** Columns of zeros around y (N, columns), so that it begins at `start` of M. */
function padded(y: Tensor, start: number, M: number): Tensor {
  const [N, columns] = y.shape as [number, number];
  const around = [zeros([N, start]), y, zeros([N, M - start - columns])];
  return concat(
    around.filter(({ shape }) => shape[1]! > 0),
    1,
  );
}

/**
 * x (N, K) · w (K, M) + bias, and what the maps add → (N, M). Differentiable by x, by the bias, and by the matrices
 * that are tensors; those of the maps are either all tensors or all stored.
 */
export function adaptedProduct(
  x: Tensor,
  w: Weight,
  bias: Tensor | null,
  maps: readonly LowRankMap[],
  scaling: number,
): Tensor {
  const trained = maps.flatMap(({ a, b, ...map }) => (isStored(a) || isStored(b) ? [] : [{ a, b, ...map }]));
  if (trained.length < maps.length) return withStored(linearProduct(x, w, bias), x, maps, scaling);
  const { forward, backward } = pick(lowRank);
  const own = [...(isStored(w) ? [] : [w]), ...(bias === null ? [] : [bias])];
  return withGradient<readonly Tensor[], readonly Tensor[]>(
    [x, ...own, ...trained.flatMap(({ a, b }) => [a, b])],
    () => {
      let value = linearProduct(x, w, bias);
      const saved = trained.flatMap(({ a, b, start, mask }) => {
        const input = mask === null ? x : mul(x, mask);
        const { sum, u } = forward(value, input, a, b, { start, scaling });
        value = sum;
        return [input, u, a, b, ...(mask === null ? [] : [mask])];
      });
      return { value, saved: [x, ...(isStored(w) ? [] : [w]), ...saved] };
    },
    (dy, [input, ...rest]) => {
      const weight = isStored(w) ? w : rest.shift()!;
      let dx = transposedProduct(dy, weight);
      const byMaps = trained.flatMap(({ start, mask }) => {
        const [own, u, a, b] = rest.splice(0, 4) as [Tensor, Tensor, Tensor, Tensor];
        const saved = { x: own, u, a, b };
        if (mask === null) {
          const [sum, da, db] = backward(dx, dy, saved, { start, scaling });
          dx = sum;
          return [da, db];
        }
        const [dropped, da, db] = backward(zerosLike(own), dy, saved, { start, scaling });
        dx = add(dx, mul(dropped, rest.shift()!));
        return [da, db];
      });
      return [
        dx,
        ...(isStored(w) ? [] : [matMul(input!, dy, true, false)]),
        ...(bias === null ? [] : [biasGradient(dy)]),
        ...byMaps,
      ];
    },
  );
}

/** As `adaptedProduct`, without a gradient by the matrices of the maps: in generation. @param y x·w + bias */
const withStored = (y: Tensor, x: Tensor, maps: readonly LowRankMap[], scaling: number): Tensor =>
  maps.reduce((sum, { a, b, start, mask }) => {
    const input = mask === null ? x : mul(x, mask);
    return add(sum, padded(linearProduct(mul(linearProduct(input, a, null), scaling), b, null), start, y.shape[1]!));
  }, y);
