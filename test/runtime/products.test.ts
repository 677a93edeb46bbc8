import os from 'node:os';
import { matMul, type Tensor } from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, it } from 'vitest';
import { roundingFeatures } from '../../src/processor.ts';
import { randomStream } from '../../src/random.ts';
import { boolAttribute, dataTypes, typeAttribute, type Binding } from '../../src/runtime/binding.ts';
import { openSession } from '../../src/runtime/openSession.ts';
import { withProducts } from '../../src/runtime/products.ts';
import type { RecordedSession } from '../../src/runtime/recordedSession.ts';
import type { Session } from '../../src/runtime/session.ts';
import { executeOperation, loadTensorFlow } from '../../src/runtime/tensorflow.ts';
import type { Precision } from '../../src/runtime/variables.ts';
import { toBfloat16 } from '../../src/tensors/elementTypes.ts';

const sessions = new Map<string, Session>();
/** One of each kind: to open one takes longer than a product. */
function open(
  precision: Precision,
  branches = 1,
  mode: 'recorded' | 'eager' = 'recorded',
  kernels: 'none' | 'vectors' | 'tiles' = 'tiles',
): Session {
  const kind = `${precision} ${branches} ${mode} ${kernels}`;
  if (!sessions.has(kind)) sessions.set(kind, openSession({ mode, precision, branches, kernels, device: 'cpu' }));
  return sessions.get(kind)!;
}
afterAll(() => sessions.forEach((session) => session.close()));

interface Matrices {
  batch: number[];
  M: number;
  N: number;
  K: number;
  transposed: 'neither' | 'A' | 'B';
}

/** Whether this is a processor on which TensorFlow's products by one thread and by two were found to differ. */
const isKnown = os.availableParallelism() === 2 && roundingFeatures().includes('avx512f');

const normals = (purpose: string, size: number): Float32Array => {
  const stream = randomStream(11, purpose);
  return Float32Array.from({ length: size }, () => stream.normal());
};

let programs = 0;
async function product(
  session: Session,
  { batch, M, N, K, transposed }: Matrices,
  a: Float32Array,
  b: Float32Array,
): Promise<Float32Array> {
  const [transposedA, transposedB] = [transposed === 'A', transposed === 'B'];
  const shapes = {
    a: [...batch, ...(transposedA ? [K, M] : [M, K])],
    b: [...batch, ...(transposedB ? [N, K] : [K, N])],
  };
  const inputs = {
    a: { shape: shapes.a, dtype: 'float32' as const },
    b: { shape: shapes.b, dtype: 'float32' as const },
  };
  const define = (feeds: Record<string, Tensor>): Record<string, Tensor> => ({
    c: matMul(feeds['a']!, feeds['b']!, transposedA, transposedB),
  });
  return (await session.program(`product${programs++}`, inputs, define).run({ a, b }))['c']!;
}

/** Some entries of the product, the last one among them, and what they are in float64. */
function exactEntries(
  { batch, M, N, K, transposed }: Matrices,
  a: Float32Array,
  b: Float32Array,
): { indices: number[]; values: number[] } {
  const size = batch.reduce((n, length) => n * length, 1) * M * N;
  const indices = [...Array.from({ length: 300 }, (_, i) => (i * 7919) % size), size - 1];
  const values = indices.map((index) => {
    const [i, m, n] = [Math.floor(index / (M * N)), Math.floor(index / N) % M, index % N];
    let sum = 0;
    for (let k = 0; k < K; k++)
      sum +=
        a[i * M * K + (transposed === 'A' ? k * M + m : m * K + k)]! *
        b[i * K * N + (transposed === 'B' ? n * K + k : k * N + n)]!;
    return sum;
  });
  return { indices, values };
}

/** Root of the mean square of the differences, relative to that of the numbers. */
function relativeError(actual: Float32Array, { indices, values }: { indices: number[]; values: number[] }): number {
  const squares = (numbers: number[]): number => numbers.reduce((sum, number) => sum + number ** 2, 0);
  return Math.sqrt(squares(values.map((value, i) => actual[indices[i]!]! - value)) / squares(values));
}

/** To the bit; as toEqual, but not entry by entry. */
const expectSame = (actual: Float32Array, expected: Float32Array): void =>
  expect(Buffer.compare(Buffer.from(actual.buffer), Buffer.from(expected.buffer))).toBe(0);

// Where each size ends within a tile, within a pair of tiles, or beyond a block of K (384 and 1,536), of columns (512)
// or of rows (1,024); the last ones are shared by threads, along the rows and along the columns.
const transposed = ['neither', 'A', 'B'] as const;
const sizes = [[], [5], [2, 3]].flatMap((batch) =>
  transposed.map((t): Matrices => ({ batch, M: 37, N: 67, K: 83, transposed: t })),
);
const large: Matrices[] = [
  ...transposed.map((t): Matrices => ({ batch: [], M: 131, N: 19, K: 1571, transposed: t })),
  { batch: [], M: 1061, N: 531, K: 41, transposed: 'neither' },
  { batch: [], M: 3, N: 1, K: 1, transposed: 'B' },
  ...transposed.map((t): Matrices => ({ batch: [], M: 1499, N: 131, K: 389, transposed: t })),
  ...transposed.map((t): Matrices => ({ batch: [], M: 97, N: 1283, K: 401, transposed: t })),
];

/** Products of kernels, with one and two branches, recorded and eager, are the same and as near to the exact ones. */
async function expectNear(matrices: Matrices, kernels: 'vectors' | 'tiles', most: number): Promise<void> {
  const count = matrices.batch.reduce((n, size) => n * size, 1);
  const a = normals('a', count * matrices.M * matrices.K);
  const b = normals('b', count * matrices.K * matrices.N);
  const exact = exactEntries(matrices, a, b);
  const actual = await product(open('float32', 1, 'recorded', kernels), matrices, a, b);
  const stock = await product(open('float32', 1, 'recorded', 'none'), matrices, a, b);
  expect(relativeError(actual, exact)).toBeLessThan(most);
  expect(relativeError(actual, exact)).toBeLessThan(Math.max(1.25 * relativeError(stock, exact), 1.2e-7));
  expectSame(await product(open('float32', 2, 'recorded', kernels), matrices, a, b), actual); // on one thread each
  expectSame(await product(open('float32', 1, 'eager', kernels), matrices, a, b), actual);
}

describe.skipIf(loadTensorFlow('cpu').kernels === 'none')('products on vectors', () => {
  it.each([...sizes, ...large])(
    'are as near to the exact ones as TensorFlow’s: $batch $M × $K × $N, transposed: $transposed',
    (matrices) => expectNear(matrices, 'vectors', Infinity),
  );

  // One thread instead of several: TensorFlow lets several share the inner dimension.
  it.each([
    { batch: [], M: 43, N: 8, K: 60_000, transposed: 'neither' },
    { batch: [], M: 64, N: 64, K: 2048, transposed: 'A' },
  ] satisfies Matrices[])('do not depend on the threads: $M × $K × $N', async (matrices) => {
    const a = normals('a', matrices.M * matrices.K);
    const b = normals('b', matrices.K * matrices.N);
    const byThreads = async (kernels: 'none' | 'vectors' | 'tiles'): Promise<[Float32Array, Float32Array]> => [
      await product(open('float32', 1, 'recorded', kernels), matrices, a, b),
      await product(open('float32', 2, 'recorded', kernels), matrices, a, b),
    ];
    for (const kernels of ['vectors', 'tiles'] as const) expectSame(...(await byThreads(kernels)));
    // The case is real: TensorFlow's product differs, at least on these processors.
    if (isKnown) {
      const [several, one] = await byThreads('none');
      expect(several).not.toEqual(one);
    }
  });

  // TensorFlow's did so in fresh processes, but not always in one that had computed much else, so it is not asserted
  // here: npm run check -- threads shows it.
  it('do not depend on the threads in bfloat16', async () => {
    const matrices: Matrices = { batch: [], M: 572, N: 32, K: 4096, transposed: 'A' };
    const a = normals('a', matrices.M * matrices.K);
    const b = normals('b', matrices.K * matrices.N);
    const by = (branches: number, kernels: 'none' | 'vectors'): Promise<Float32Array> =>
      product(open('bfloat16', branches, 'recorded', kernels), matrices, a, b);
    expectSame(await by(1, 'vectors'), await by(2, 'vectors'));
    const [ours, theirs] = [await by(2, 'vectors'), await by(2, 'none')];
    const largest = Math.max(...theirs.map(Math.abs));
    ours.forEach((value, i) => expect(Math.abs(value - theirs[i]!)).toBeLessThan(largest / 128));
  });
});

interface Case {
  a: number[];
  b: number[];
  form: string;
  precision?: Precision;
  name: string;
}
it.each([
  { a: [512, 3072], b: [3072, 768], form: '', name: 'BatchMatMulV2' },
  { a: [512, 3072], b: [3072, 128], form: '', name: 'ClmVectorProduct' },
  { a: [9, 3072], b: [3072, 3000], form: '', name: 'ClmVectorProduct' },
  { a: [4096, 700], b: [4096, 64], form: 'TransposedA', name: 'ClmVectorProductTransposedA' },
  { a: [4096, 96], b: [4096, 704], form: 'TransposedA', name: 'BatchMatMulV2' },
  { a: [2032, 384], b: [2032, 448], form: 'TransposedA', name: 'BatchMatMulV2' },
  { a: [2048, 384], b: [2048, 448], form: 'TransposedA', name: 'ClmVectorProductTransposedA' },
  { a: [4096, 96], b: [4096, 700], form: 'TransposedA', name: 'ClmVectorProductTransposedA' },
  { a: [512, 50_257], b: [50_257, 768], form: '', name: 'ClmVectorProduct' },
  { a: [700, 4096], b: [64, 4096], form: 'TransposedB', name: 'ClmVectorProductTransposedB' },
  { a: [512, 8], b: [50_257, 8], form: 'TransposedB', name: 'BatchMatMulV2' },
  { a: [-1, 3072], b: [3072, 768], form: '', name: 'ClmVectorProduct' },
  { a: [2048, 384], b: [2048, 448], form: 'TransposedA', precision: 'bfloat16', name: 'Pad Pad BatchMatMulV2' },
  { a: [2064, 384], b: [2064, 448], form: 'TransposedA', precision: 'bfloat16', name: 'BatchMatMulV2' },
  { a: [512, 3072], b: [3072, 128], form: '', precision: 'bfloat16', name: 'BatchMatMulV2' },
] as Case[])(
  'without a tile unit $a × $b, $form $precision: $name',
  ({ a, b, form, name, precision = 'float32' }: Case) => {
    const executed: string[] = [];
    const shapes: number[][] = [];
    const add = (shape: readonly number[]): number => shapes.push([...shape]) - 1;
    const binding: Binding = {
      createTensor: add,
      deleteTensor: () => undefined,
      tensorDataSync: () => new Float32Array(),
      executeOp: (operation, _, [input]) => {
        if (operation !== 'Cast') executed.push(operation);
        const shape = shapes[input!]!;
        return [{ id: add(shape), shape, dtype: dataTypes.float32 }];
      },
    };
    const products = withProducts(binding, { precision, kernels: 'vectors' }, false);
    const ids = [a, b].map((shape) => products.createTensor(shape, dataTypes.float32, new Float32Array()));
    const isTransposed = [
      boolAttribute('adj_x', form === 'TransposedA'),
      boolAttribute('adj_y', form === 'TransposedB'),
    ];
    products.executeOp('BatchMatMulV2', [typeAttribute('T', dataTypes.float32), ...isTransposed], ids, 1);
    expect(executed.join(' ')).toBe(name);
  },
);

// These need the unit.
describe.skipIf(loadTensorFlow('cpu').kernels !== 'tiles')('products on tiles', () => {
  it.each([...sizes, ...large])(
    'are as near to the exact ones as TensorFlow’s: $batch $M × $K × $N, transposed: $transposed',
    (matrices) => expectNear(matrices, 'tiles', 2.5e-7),
  );

  it.each([...sizes, ...large])(
    'in bfloat16 are those of the rounded numbers, rounded: $batch $M × $K × $N, transposed: $transposed',
    async (matrices) => {
      const count = matrices.batch.reduce((n, size) => n * size, 1);
      const rounded = (values: Float32Array): Float32Array =>
        new Float32Array(Uint32Array.from(toBfloat16(values), (bits) => bits << 16).buffer);
      const a = normals('a', count * matrices.M * matrices.K);
      const b = normals('b', count * matrices.K * matrices.N);
      const exact = exactEntries(matrices, rounded(a), rounded(b));
      const actual = await product(open('bfloat16'), matrices, a, b);
      expectSame(rounded(actual), actual);
      exact.values.forEach((value, i) =>
        expect(Math.abs(actual[exact.indices[i]!]! - value)).toBeLessThanOrEqual(Math.abs(value) * 2 ** -8 + 1e-5),
      );
      expectSame(await product(open('bfloat16', 1, 'eager'), matrices, a, b), actual);
    },
  );

  it('are recorded as clm’s kernels, and as TensorFlow’s operation if both matrices are transposed', async () => {
    const session = open('float32') as RecordedSession;
    const inputs = { a: { shape: [5, 7], dtype: 'float32' as const }, b: { shape: [7, 5], dtype: 'float32' as const } };
    const program = session.program('kinds', inputs, ({ a, b }) => ({
      c: matMul(a!, b!),
      d: matMul(a!, b!, true, true),
    }));
    const values = { a: normals('a', 35), b: normals('b', 35) };
    const timings = await session.traced(async () => void (await program.run(values)));
    const operations = timings.map(({ operation }) => operation);
    expect(operations.filter((operation) => operation.startsWith('ClmProduct'))).toEqual(['ClmProduct']);
    expect(operations.filter((operation) => operation.includes('MatMul'))).toHaveLength(1);
  });

  it('of a row do not depend on the other rows', async () => {
    const matrices: Matrices = { batch: [], M: 131, N: 83, K: 401, transposed: 'neither' };
    const [a, b] = [normals('a', 131 * 401), normals('b', 401 * 83)];
    const all = await product(open('float32'), matrices, a, b);
    const few = await product(open('float32'), { ...matrices, M: 3 }, a.slice(64 * 401, 67 * 401), b);
    expect(few).toEqual(all.slice(64 * 83, 67 * 83));
  });

  it('keep float32’s range, and numbers that are not finite', async () => {
    const matrices: Matrices = { batch: [], M: 4, N: 3, K: 2, transposed: 'neither' };
    const a = Float32Array.of(1e30, 3e30, 1e-30, 2e-30, Infinity, 1, NaN, 1);
    const b = Float32Array.of(1e-30, 1e7, 1, 1e-30, 2e7, 1);
    const c = await product(open('float32'), matrices, a, b);
    const expected = [4, 7e37, 4e30, 0, 5e-23, 3e-30];
    expected.forEach((value, i) => expect(c[i]! / (value || 1)).toBeCloseTo(value === 0 ? 0 : 1, 6));
    expect(c.slice(6).every((value) => !Number.isFinite(value))).toBe(true);
    expect(c).toHaveLength(12);
  });

  it.each(['as many', 'fit'] as const)('refuse matrices that are not %s', async (what) => {
    const [a, b] =
      what === 'fit'
        ? [
            [5, 7],
            [11, 3],
          ]
        : [
            [2, 5, 7],
            [3, 7, 3],
          ];
    const inputs = { a: { shape: a!, dtype: 'float32' as const }, b: { shape: b!, dtype: 'float32' as const } };
    const size = (shape: number[]): number => shape.reduce((n, length) => n * length, 1);
    const attempt = async (): Promise<unknown> => {
      const program = open('float32').program(`wrong${programs++}`, inputs, (feeds) => {
        const types = ['A', 'B', 'T'].map((name) => ({ name, type: 4, value: 1 }));
        return { c: executeOperation('ClmProduct', types, [feeds.a, feeds.b], 1)[0]! };
      });
      return program.run({ a: normals('a', size(a!)), b: normals('b', size(b!)) });
    };
    await expect(attempt()).rejects.toThrow(
      what === 'fit' ? 'inner dimensions' : 'batches of a product must be of the same size',
    );
  });
});
