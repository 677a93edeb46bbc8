import { add, gather, matMul, tensor, tensor1d, type Tensor } from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, it } from 'vitest';
import { cachedAttention } from '../../src/ops/cachedAttention.ts';
import { linearProduct, rowsOf, transposedProduct, valuesOf, type Weight } from '../../src/ops/linear.ts';
import { randomStream } from '../../src/random.ts';
import { openSession } from '../../src/runtime/openSession.ts';
import type { Session } from '../../src/runtime/session.ts';

const modes = ['recorded', 'eager'] as const;
const sessions = Object.fromEntries(
  modes.map((mode) => [mode, openSession({ mode, precision: 'float32', device: 'cpu' })]),
) as Record<(typeof modes)[number], Session>;
afterAll(() => Object.values(sessions).forEach((session) => session.close()));

const normals = (purpose: string, size: number): Float32Array => {
  const stream = randomStream(7, purpose);
  return Float32Array.from({ length: size }, () => stream.normal());
};
/** Made inside of a program, for what is made outside cannot be recorded. */
const tensorOf = (values: Float32Array) => () => tensor1d(values);
let programs = 0;
const compute = async (
  session: Session,
  inputs: Record<string, { shape: number[]; values: Float32Array | Int32Array }>,
  define: (feeds: Record<string, Tensor>, weights: (name: string) => Weight) => Tensor,
) => {
  const specs = Object.fromEntries(
    Object.entries(inputs).map(([name, { shape, values }]) => [
      name,
      { shape, dtype: values instanceof Int32Array ? ('int32' as const) : ('float32' as const) },
    ]),
  );
  const program = session.program(
    `test${programs++}`,
    specs,
    (feeds, variables) => ({ y: define(feeds, variables.weight) }),
    { onOneThread: true },
  );
  return (await program.run(Object.fromEntries(Object.entries(inputs).map(([name, { values }]) => [name, values])))).y!;
};

/** Relative to the largest entry. */
function expectClose(actual: Float32Array, expected: Float32Array, bound = 3e-6): void {
  expect(actual.length).toBe(expected.length);
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  expect(largest).toBeGreaterThan(0.1);
  expect(actual.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0) / largest).toBeLessThan(
    bound,
  );
}

// No multiple of a vector, one above it, and one that the threads share (2 · 2¹⁷ weights).
const sizes = [
  [37, 53],
  [64, 17],
  [517, 523],
] as const;

describe.each(modes)('weights, %s', (mode) => {
  const session = sessions[mode];
  it.each(
    sizes.flatMap(([K, N]) =>
      (['float32', 'bfloat16'] as const).flatMap((stored) =>
        [false, true].map((transposed) => ({ K, N, stored, transposed })),
      ),
    ),
  )(
    'few rows give the product of all numbers: $K × $N, $stored, transposed: $transposed',
    async ({ K, N, stored, transposed }) => {
      const shape = transposed ? [N, K] : [K, N];
      const name = `w${K}x${N}${stored}${transposed}`;
      await session.addVariables([{ name, shape, values: normals(name, K * N), storedAs: stored }]);
      const x = normals(`x${name}`, 23 * K);
      const bias = tensorOf(normals(`bias${name}`, N));
      const product = (input: Tensor, w: Weight) =>
        transposed ? add(transposedProduct(input, w), bias()) : linearProduct(input, w, bias());
      const rows = (from: number, count: number) => ({
        x: { shape: [count, K], values: x.slice(from * K, (from + count) * K) },
      });
      // 23 rows of the largest are too much work for the kernel: that is TensorFlow's product.
      const all = await compute(session, rows(0, 23), ({ x: input }, weights) => product(input!, weights(name)));
      const plain = await compute(session, rows(0, 23), ({ x: input }, weights) =>
        add(matMul(input!, valuesOf(weights(name)), false, transposed), bias()),
      );
      expectClose(all, plain, 1e-6);
      let alone: Float32Array | undefined;
      for (const count of [16, 7, 1]) {
        const few = await compute(session, rows(0, count), ({ x: input }, weights) => product(input!, weights(name)));
        expectClose(few, plain.slice(0, count * N));
        // A row has the same bits whatever stands beside it.
        alone ??= few.slice(0, N);
        expect(few.slice(0, N)).toEqual(alone);
      }
      if (stored === 'bfloat16')
        expect(plain).not.toEqual(
          await compute(session, rows(0, 23), ({ x: input }) =>
            add(matMul(input!, tensor(normals(name, K * N), shape as [number, number]), false, transposed), bias()),
          ),
        );
    },
  );

  it.each(['float32', 'bfloat16'] as const)('rows of a table are those of its numbers, %s', async (stored) => {
    const values = normals('table', 11 * 5);
    await session.addVariables([{ name: `table${stored}`, shape: [11, 5], values, storedAs: stored }]);
    const ids = { ids: { shape: [3], values: Int32Array.of(10, 0, 4) } };
    const taken = await compute(session, ids, ({ ids: which }, weights) => rowsOf(weights(`table${stored}`), which!));
    expectClose(
      taken,
      await compute(session, {}, () => gather(tensor(values, [11, 5]), [10, 0, 4])),
      stored === 'float32' ? 1e-9 : 2 ** -8,
    );
    if (stored === 'bfloat16') expect(new Uint32Array(taken.buffer).every((bits) => (bits & 0xffff) === 0)).toBe(true);
  });

  it('rows that do not fit the weights are refused', async () => {
    const x = { x: { shape: [2, 5], values: normals('x', 10) } };
    await session.addVariables([{ name: 'narrow', shape: [4, 3], values: normals('narrow', 12) }]);
    await expect(
      compute(session, x, ({ x: input }, weights) => linearProduct(input!, weights('narrow'), null)),
    ).rejects.toThrow('do not fit the rows');
  });

  it.each([
    [3, 2, 1, 20, 37],
    [2, 3, 4, 8, 129],
    [4, 2, 2, 16, 700],
  ])(
    'attention to what is filled equals that to all with the rest hidden: B %d, K %d, G %d, D %d, S %d',
    async (B, K, G, D, S) => {
      const positions = Int32Array.from({ length: B }, (_, b) => (b === 0 ? 0 : b === 1 ? S - 1 : S >> b));
      const part = (name: string, shape: number[]) => ({
        shape,
        values: normals(
          name,
          shape.reduce((a, b) => a * b),
        ).map((value) => 3 * value),
      });
      const inputs = {
        query: part('query', [B, K, G, D]),
        keys: part('keys', [B * K * S, D]),
        values: part('values', [B * K * S, D]),
        positions: { shape: [B], values: positions },
      };
      const by = (attend: typeof cachedAttention.composed) =>
        compute(session, inputs, (feeds) =>
          attend(feeds['query']!, feeds['keys']!, feeds['values']!, feeds['positions']!),
        );
      expectClose(await by(cachedAttention.kernel), await by(cachedAttention.composed), 1e-5);
      const outside = { ...inputs, positions: { shape: [B], values: positions.map(() => S) } };
      await expect(
        compute(session, outside, (feeds) =>
          cachedAttention.kernel(feeds['query']!, feeds['keys']!, feeds['values']!, feeds['positions']!),
        ),
      ).rejects.toThrow('outside the cache');
    },
  );
});

describe('variables in bfloat16', () => {
  it('cannot be read back', async () => {
    await sessions.recorded.addVariables([
      { name: 'stored', shape: [2, 2], values: normals('stored', 4), storedAs: 'bfloat16' },
    ]);
    await expect(sessions.recorded.readVariables(['stored'])).rejects.toThrow('stored is stored in bfloat16');
  });
});
