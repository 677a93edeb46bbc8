/** The order in which the windows of a block are trained on. Row 7 of the walk. */
import { randomStream } from '../../random.ts';

/**
 * A permutation of 0 … windows − 1 that depends on nothing but its arguments (Fisher–Yates, Durstenfeld's form;
 * Knuth, The Art of Computer Programming, volume 2, algorithm 3.4.2P).
 */
export function windowOrder(seed: number, epoch: number, block: number, windows: number): Uint32Array {
  const order = new Uint32Array(windows);
  for (let window = 0; window < windows; window++) order[window] = window;
  const random = randomStream(seed, 'shuffle', epoch, block);
  for (let last = windows - 1; last > 0; last--) {
    const other = random.below(last + 1);
    const window = order[last]!;
    order[last] = order[other]!;
    order[other] = window;
  }
  return order;
}
