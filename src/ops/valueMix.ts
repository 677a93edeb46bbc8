/**
 * Values of attention mixed with values that do not come from the block's input (Zhou et al. 2024,
 * https://arxiv.org/abs/2410.17897).
 *
 * N rows · K key/value heads · G queries of each · D head size
 */
import { add, concat, mul, slice, split, stack, sum, type Tensor } from '../tfjs.ts';
import { withGradient } from './withGradient.ts';

/**
 * The values v become mix₀·v + mix₁·other; queries and keys stay.
 *
 * @param rows (N, (G + 2)·K·D), side by side: queries, keys, values @param other (N, K·D) @param mix (2)
 */
export const mixValues = (rows: Tensor, other: Tensor, mix: Tensor): Tensor =>
  withGradient(
    [rows, other, mix],
    () => {
      const [first, values] = parted(rows, other);
      const mixed = add(mul(values, share(mix, 0)), mul(other, share(mix, 1)));
      return { value: concat([first, mixed], 1), saved: [values, other, mix] };
    },
    (dy, [values, others, shares]) => {
      const [dFirst, dMixed] = parted(dy, others);
      // Rows first: among many threads, the sum of many numbers at once depends on how many there are.
      return [
        concat([dFirst, mul(dMixed, share(shares, 0))], 1),
        mul(dMixed, share(shares, 1)),
        stack([values, others].map((each) => sum(sum(mul(dMixed, each), 1)))),
      ];
    },
  );

/** Queries and keys, and values. */
function parted(rows: Tensor, { shape }: Tensor): [Tensor, Tensor] {
  const width = shape[1]!;
  const [first, values] = split(rows, [rows.shape[1]! - width, width], 1);
  return [first!, values!];
}

const share = (mix: Tensor, index: 0 | 1): Tensor => slice(mix, [index], [1]);
