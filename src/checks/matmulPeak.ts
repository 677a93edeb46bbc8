/** The speed of the machine's matrix products: the peak that a training step can at best come near to. */
import { matMul, slice } from '../tfjs.ts';
import type { Session } from '../runtime/session.ts';
import { median } from '../statistics.ts';

/** Products of a size of which the median is taken. */
const products = 9;

/**
 * Measures products of n×n matrices for two n and takes the faster one. Medians, as for the steps: some machines are
 * fast for a short time only. Only one number of each result is fetched.
 *
 * @param mostMs a slow machine stops after about this time, with fewer products; at least one
 * @returns measures each time it is called: GFLOP/s
 */
export async function matmulMeter(session: Session, mostMs = Infinity): Promise<() => Promise<number>> {
  const meters: ((untilMs: number) => Promise<number>)[] = [];
  for (const n of [768, 1536]) {
    const values = new Float32Array(n * n).map((_, i) => ((i % 17) - 8) / 8);
    await session.addVariables([{ name: `matmulPeak${n}`, shape: [n, n], values }]);
    const program = session.program(`matmulPeak${n}`, {}, (_, variables) => {
      const x = variables.read(`matmulPeak${n}`);
      return { corner: slice(matMul(x, x), [0, 0], [1, 1]) };
    });
    let isWarm = false;
    meters.push(async (untilMs) => {
      if (performance.now() > untilMs) return 0;
      const productMs: number[] = [];
      if (!isWarm) await program.run({});
      isWarm = true;
      do {
        const startMs = performance.now();
        await program.run({});
        productMs.push(performance.now() - startMs);
      } while (productMs.length < products && performance.now() < untilMs);
      return (2 * n ** 3) / median(productMs) / 1e6;
    });
  }
  return async () => {
    const startMs = performance.now();
    let best = 0;
    for (const [i, meter] of meters.entries())
      best = Math.max(best, await meter(startMs + (mostMs * (i + 1)) / meters.length));
    return best;
  };
}
