import { add, gather, matMul, tensor, tensor1d, type Tensor } from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, it } from 'vitest';
import { cachedAttention } from '../../src/ops/cachedAttention.ts';
import { linearProduct, rowsOf, transposedProduct, valuesOf, type Weight } from '../../src/ops/linear.ts';
import { randomStream } from '../../src/random.ts';
import { rowsAt, writeRows } from '../../src/sampling/cacheLayout.ts';
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
      const x = normals(`x${name}`, 71 * K);
      const bias = tensorOf(normals(`bias${name}`, N));
      const product = (input: Tensor, w: Weight) =>
        transposed ? add(transposedProduct(input, w), bias()) : linearProduct(input, w, bias());
      const rows = (from: number, count: number) => ({
        x: { shape: [count, K], values: x.slice(from * K, (from + count) * K) },
      });
      // 71 rows of the largest are too many for the kernel: in float32 that is TensorFlow's product.
      const all = await compute(session, rows(0, 71), ({ x: input }, weights) => product(input!, weights(name)));
      const plain = await compute(session, rows(0, 71), ({ x: input }, weights) =>
        add(matMul(input!, valuesOf(weights(name)), false, transposed), bias()),
      );
      expectClose(all, plain, 1e-6);
      let alone: Float32Array | undefined;
      for (const count of [64, 16, 7, 1]) {
        const few = await compute(session, rows(0, count), ({ x: input }, weights) => product(input!, weights(name)));
        expectClose(few, plain.slice(0, count * N));
        // A row has the same bits whatever stands beside it.
        alone ??= few.slice(0, N);
        expect(few.slice(0, N)).toEqual(alone);
      }
      if (stored === 'bfloat16')
        expect(plain).not.toEqual(
          await compute(session, rows(0, 71), ({ x: input }) =>
            add(matMul(input!, tensor(normals(name, K * N), shape as [number, number]), false, transposed), bias()),
          ),
        );
    },
  );

  // More rows than a packed panel is used for, more outputs than a thread packs together, no multiple of a panel.
  it.each([false, true])(
    'many rows of bfloat16 weights give the product of all numbers, transposed: %s',
    async (is) => {
      const [M, K, N] = [300, 301, 403];
      const name = `many${is}`;
      await session.addVariables([
        { name, shape: is ? [N, K] : [K, N], values: normals(name, K * N), storedAs: 'bfloat16' },
      ]);
      const x = normals(`x${name}`, M * K);
      const bias = tensorOf(normals(`bias${name}`, N));
      const rows = (from: number) => ({ x: { shape: [M - from, K], values: x.slice(from * K) } });
      const product = (input: Tensor, w: Weight) =>
        is ? add(transposedProduct(input, w), bias()) : linearProduct(input, w, bias());
      const all = await compute(session, rows(0), ({ x: input }, weights) => product(input!, weights(name)));
      const plain = await compute(session, rows(0), ({ x: input }, weights) =>
        add(matMul(input!, valuesOf(weights(name)), false, is), bias()),
      );
      expectClose(all, plain);
      if (mode === 'eager') return; // there weights are float32
      const last = await compute(session, rows(200), ({ x: input }, weights) => product(input!, weights(name)));
      expect(last).toEqual(all.slice(200 * N));
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
    { B: 3, K: 2, G: 1, D: 20, S: 37, isTurned: true, isNormed: true },
    { B: 2, K: 3, G: 4, D: 8, S: 129, isTurned: true, isNormed: false },
    { B: 4, K: 2, G: 2, D: 16, S: 700, isTurned: false, isNormed: true },
    { B: 1, K: 1, G: 3, D: 34, S: 65, isTurned: false, isNormed: false },
  ])(
    'a step of attention keeps its keys and attends to what is filled: $B, $K, $G, $D, $S, $isTurned, $isNormed',
    async ({ B, K, G, D, S, isTurned, isNormed }) => {
      const positions = Int32Array.from({ length: B }, (_, b) => (b === 0 ? 0 : b === 1 ? S - 1 : S >> b));
      const name = (what: string) => `${what}${B}x${K}x${G}x${D}`;
      const part = (what: string, shape: number[]) => ({
        shape,
        values: normals(
          name(what),
          shape.reduce((a, b) => a * b),
        ).map((value) => 3 * value),
      });
      const kept = part('kept', [B * K * S, D]);
      const inputs = {
        rows: part('rows', [B, (G + 2) * K * D]),
        cosines: part('cosines', [B, 1, 1, 1, D]),
        signedSines: part('signedSines', [B, 1, 1, 1, D]),
        queryGain: part('queryGain', [D]),
        keyGain: part('keyGain', [D]),
        positions: { shape: [B], values: positions },
      };
      /** Attention by one form, and then the whole cache. */
      const by = async (form: 'kernel' | 'composed', at = positions) => {
        const [keys, values] = [`${name(form)}keys`, `${name(form)}values`];
        await session.addVariables([keys, values].map((each) => ({ name: each, ...kept })));
        const specs = Object.fromEntries(
          Object.entries(inputs).map(([each, { shape }]) => [
            each,
            { shape, dtype: each === 'positions' ? ('int32' as const) : ('float32' as const) },
          ]),
        );
        const program = session.program(`${name(form)}step${programs++}`, specs, (feeds, variables) => {
          const rows = rowsAt(feeds['positions']!, { slots: B, heads: K, headSize: D, variables: [] }, S);
          const cache = {
            heads: K,
            positions: feeds['positions']!,
            keys: () => variables.read(keys),
            values: () => variables.read(values),
            append: (key: Tensor, value: Tensor) => ({
              keys: writeRows(variables, keys, rows, key),
              values: writeRows(variables, values, rows, value),
            }),
          };
          const placement = {
            norm: isNormed ? { queryGain: feeds['queryGain']!, keyGain: feeds['keyGain']!, epsilon: 1e-3 } : null,
            rotation: isTurned ? { cosines: feeds['cosines']!, signedSines: feeds['signedSines']! } : null,
          };
          return { y: cachedAttention[form](feeds['rows']!, cache, placement) };
        });
        const fed = Object.entries(inputs).map(([each, { values: own }]) => [each, each === 'positions' ? at : own]);
        const { y } = await program.run(Object.fromEntries(fed));
        return [y!, ...(await session.readVariables([keys, values])).map((each) => each.values)] as const;
      };
      const [kernel, composed] = [await by('kernel'), await by('composed')];
      for (const [i, each] of kernel.entries()) expectClose(each as Float32Array, composed[i] as Float32Array, 1e-5);
      const changed = (kernel[1] as Float32Array).filter((value, i) => value !== kept.values[i]);
      expect(changed.length).toBe(B * K * D); // one position of each slot
      await expect(
        by(
          'kernel',
          positions.map(() => S),
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
