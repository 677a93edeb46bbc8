import { tensor1d, type Tensor } from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, it } from 'vitest';
import { linearProduct, rowsOf, transposedProduct, valuesOf, type Weight } from '../../src/ops/linear.ts';
import { randomStream } from '../../src/random.ts';
import { openSession } from '../../src/runtime/openSession.ts';

const session = openSession({ mode: 'recorded', precision: 'float32', device: 'cpu' });
afterAll(() => session.close());

const normals = (purpose: string, size: number): Float32Array => {
  const stream = randomStream(8, purpose);
  return Float32Array.from({ length: size }, () => stream.normal());
};

let programs = 0;
async function computed(
  inputs: Record<string, { shape: number[]; values: Float32Array | Int32Array }>,
  define: (feeds: Record<string, Tensor>, weight: (name: string) => Weight) => Tensor,
  on = session,
): Promise<Float32Array> {
  const entries = Object.entries(inputs);
  const specs = entries.map(([name, { shape, values }]) => {
    const dtype: 'int32' | 'float32' = values instanceof Int32Array ? 'int32' : 'float32';
    return [name, { shape, dtype }] as const;
  });
  const program = on.program(`test${programs++}`, Object.fromEntries(specs), (feeds, variables) => ({
    y: define(feeds, variables.weight),
  }));
  return (await program.run(Object.fromEntries(entries.map(([name, { values }]) => [name, values])))).y!;
}

const rounded = (value: number): number => {
  const down = Math.floor(value);
  return value - down === 0.5 ? down + (down % 2 === 0 ? 0 : 1) : Math.round(value);
};
const scaleBits = new Uint32Array(1);
const scaleValue = new Float32Array(scaleBits.buffer);
/** The nearest bfloat16 number. */
function bfloat16Of(value: number): number {
  scaleValue[0] = value;
  scaleBits[0] = ((scaleBits[0]! + 0x7fff + ((scaleBits[0]! >>> 16) & 1)) >>> 16) << 16;
  return scaleValue[0]!;
}

/** Each run of 32 numbers of a row of `length`, as `scale` says, rounded to 8 bits. */
function inInt8(values: Float32Array, length: number, scaleOf: (largest: number) => number): Float32Array {
  const result = new Float32Array(values.length);
  for (let start = 0; start < values.length; start += length)
    for (let at = start; at < start + length; at += 32) {
      const block = values.subarray(at, Math.min(at + 32, start + length));
      const scale = scaleOf(Math.fround(block.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127));
      result.set(
        block.map((value) => scale * Math.max(-127, Math.min(127, rounded(value / scale)))),
        at,
      );
    }
  return result;
}

function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  return Float32Array.from({ length: values.length }, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!);
}

/** x (M, K) · w (N, K) transposed. */
function exactProduct(x: Float32Array, w: Float32Array, M: number, N: number, K: number): Float64Array {
  const y = new Float64Array(M * N);
  for (let m = 0; m < M; m++)
    for (let n = 0; n < N; n++) for (let k = 0; k < K; k++) y[m * N + n]! += x[m * K + k]! * w[n * K + k]!;
  return y;
}

/** The largest difference, relative to the root mean square. */
function worst(actual: Float32Array, expected: ArrayLike<number>): number {
  expect(actual.length).toBe(expected.length);
  const square = Array.from(expected).reduce((sum, value) => sum + value * value, 0) / expected.length;
  const largest = actual.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0);
  return largest / Math.sqrt(square);
}

// A last block and a last group that are not full; one group, one block; a product that the threads share.
const sizes = [
  { K: 70, N: 37 },
  { K: 32, N: 16 },
  { K: 523, N: 530 },
];
const rows = 67; // more than are computed at once

describe.each(sizes)('a matrix of $K × $N in int8', ({ K, N }) => {
  const w = normals(`w${K}`, K * N);
  const x = normals(`x${K}`, rows * K);
  const bias = normals(`bias${K}`, N);
  const quantised = exactProduct(
    inInt8(x, K, (scale) => scale),
    inInt8(w, K, bfloat16Of),
    rows,
    N,
    K,
  );
  const names = { plain: `plain${K}`, transposed: `transposed${K}` };
  const added = session.addVariables([
    { name: names.plain, shape: [K, N], values: transposed(w, N, K), storedAs: 'int8' },
    { name: names.transposed, shape: [N, K], values: w, storedAs: 'int8', isTransposed: true },
  ]);
  const first = (count: number) => ({ x: { shape: [count, K], values: x.slice(0, count * K) } });

  it('has the product of its quantised numbers, and nearly that of its own', async () => {
    await added;
    const y = await computed(first(rows), (feeds, weight) => linearProduct(feeds['x']!, weight(names.plain), null));
    // A number half-way between two 8-bit numbers may be rounded either way.
    expect(worst(y, quantised)).toBeLessThan(2e-3);
    const difference = worst(y, exactProduct(x, w, rows, N, K));
    expect(difference).toBeLessThan(0.06);
    expect(difference).toBeGreaterThan(0.005);
  });

  it('has the same product transposed, in each session, and with a bias the sum', async () => {
    await added;
    const product = (feeds: Record<string, Tensor>, weight: (name: string) => Weight): Tensor =>
      transposedProduct(feeds['x']!, weight(names.transposed));
    const y = await computed(first(3), product);
    expect(y).toEqual(
      await computed(first(3), (feeds, weight) => linearProduct(feeds['x']!, weight(names.plain), null)),
    );
    const biased = await computed(first(3), (feeds, weight) =>
      linearProduct(feeds['x']!, weight(names.plain), tensor1d(bias)),
    );
    expect(
      worst(
        biased,
        y.map((value, i) => value + bias[i % N]!),
      ),
    ).toBeLessThan(1e-5);
    const other = openSession({ mode: 'recorded', precision: 'float32', device: 'cpu', kernels: 'none' });
    try {
      await other.addVariables([
        { name: names.transposed, shape: [N, K], values: w, storedAs: 'int8', isTransposed: true },
      ]);
      expect(await computed(first(3), product, other)).toEqual(y);
    } finally {
      other.close();
    }
  });

  it('gives a row the same bits alone and among others', async () => {
    await added;
    const product = (count: number) =>
      computed(first(count), (feeds, weight) => linearProduct(feeds['x']!, weight(names.plain), tensor1d(bias)));
    const all = await product(rows);
    for (const count of [1, 2, 66]) expect(await product(count)).toEqual(all.slice(0, count * N));
  });

  it('has rows that are its numbers, rounded', async () => {
    await added;
    const ids = Int32Array.of(N - 1, 0, N - 1, 5);
    const taken = await computed({ ids: { shape: [4], values: ids } }, (feeds, weight) =>
      rowsOf(weight(names.transposed), feeds['ids']!),
    );
    const expected = inInt8(w, K, bfloat16Of);
    for (const [i, id] of ids.entries())
      expect(worst(taken.slice(i * K, (i + 1) * K), expected.slice(id * K, (id + 1) * K))).toBeLessThan(1e-6);
  });
});

it('int8: zeros stay zero, a number that is not finite spreads, and all of a matrix is not read', async () => {
  const zeros = { name: 'zeros', shape: [40, 3], values: new Float32Array(120), storedAs: 'int8' as const };
  const ones = { name: 'ones', shape: [40, 3], values: new Float32Array(120).fill(1), storedAs: 'int8' as const };
  await session.addVariables([zeros, ones]);
  const product = (name: string, values: Float32Array) =>
    computed({ x: { shape: [2, 40], values } }, (feeds, weight) => linearProduct(feeds['x']!, weight(name), null));
  expect(await product('zeros', new Float32Array(80).fill(3))).toEqual(new Float32Array(6));
  expect(await product('ones', new Float32Array(80))).toEqual(new Float32Array(6));
  const broken = new Float32Array(80).fill(1);
  broken[79] = NaN;
  const y = await product('ones', broken);
  expect(worst(y.slice(0, 3), [40, 40, 40])).toBeLessThan(0.005);
  expect([...y.slice(3)].every(Number.isNaN)).toBe(true);
  await expect(computed({}, (_, weight) => valuesOf(weight('ones')))).rejects.toThrow('ones is stored in int8');
});

it('int8: a row that the table does not have is an error', async () => {
  const table = { name: 'table', shape: [3, 40], values: normals('table', 120), storedAs: 'int8', isTransposed: true };
  await session.addVariables([{ ...table, storedAs: 'int8' }]);
  const ids = { ids: { shape: [1], values: Int32Array.of(3) } };
  await expect(computed(ids, (feeds, weight) => rowsOf(weight('table'), feeds['ids']!))).rejects.toThrow(
    'row 3 is outside the matrix',
  );
});
