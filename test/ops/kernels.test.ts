import os from 'node:os';
import { add, matMul, mul, sum, tensor, valueAndGrads, type Tensor } from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, it } from 'vitest';
import { gelu, squaredRelu, swiglu } from '../../src/ops/activations.ts';
import { attend, attendRows, causalMask, joinHeads, splitHeads } from '../../src/ops/attention.ts';
import { weightedCrossEntropy } from '../../src/ops/crossEntropy.ts';
import { runKernel } from '../../src/ops/kernels.ts';
import { addBias, biasGradient } from '../../src/ops/linear.ts';
import { layerNorm, rmsNorm } from '../../src/ops/norm.ts';
import { addRows } from '../../src/ops/rows.ts';
import { sumOfProducts, halfSquaredNorm } from '../../src/ops/sums.ts';
import { randomStream } from '../../src/random.ts';
import { boolAttribute, floatAttribute } from '../../src/runtime/binding.ts';
import { openSession } from '../../src/runtime/openSession.ts';

const sessions = (['recorded', 'eager'] as const).map((mode) =>
  openSession({ mode, precision: 'float32', device: 'cpu' }),
);
afterAll(() => sessions.forEach((session) => session.close()));

const normals = (purpose: string, size: number, spread: number, centre = 0): Float32Array => {
  const stream = randomStream(7, purpose);
  return Float32Array.from({ length: size }, () => centre + spread * stream.normal());
};

/** Relative to the largest entry. */
function expectClose(actual: Float32Array, expected: Float32Array, what: string): void {
  expect(actual.length).toBe(expected.length);
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  expect(largest, what).toBeGreaterThan(0.1);
  const worst = actual.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0);
  expect(worst / largest, what).toBeLessThan(3e-6);
}

type Case = [
  string,
  Record<string, { shape: number[]; values: Float32Array }>,
  (...x: Tensor[]) => Tensor,
  (...x: Tensor[]) => Tensor,
];

// Heads side by side, of more positions than are computed at once; the last mask hides keys at both ends, and all from
// one query.
const [B, K, wideT, wideD] = [2, 3, 150, 9];
const wideDocuments = Float32Array.from({ length: B * wideT * wideT }, (_, i) => {
  const [b, query, key] = [Math.floor(i / (wideT * wideT)), Math.floor(i / wideT) % wideT, i % wideT];
  return key > query || key < query - 40 - 30 * b || (b === 1 && query === 2) ? -1e9 : 0;
});
const rows = { rows: { shape: [B * wideT, 3 * K * wideD], values: normals('rows', B * wideT * 3 * K * wideD, 1.5) } };
const wideSizes = { B, T: wideT, K, G: 1, D: wideD };
const onTiles = (x: Tensor, mask: Tensor): Tensor =>
  attendRows.kernel(x, wideSizes, { starts: null, mask, rotation: null, dropout: null });
const composedRows = (x: Tensor, mask: Tensor): Tensor => {
  const { query, key, value } = splitHeads(x, wideSizes);
  return joinHeads(attend(query, key, value, mask, null), wideSizes);
};

// Sizes that are no multiple of any vector's width, one below it, and one above; values far outside what a decoder
// makes.
const cases: Case[] = [
  ['gelu', { x: { shape: [13, 37], values: normals('x', 13 * 37, 2) } }, gelu, gelu.composed],
  ['squared ReLU', { x: { shape: [13, 37], values: normals('x', 13 * 37, 2) } }, squaredRelu, squaredRelu.composed],
  ['gelu of large values', { x: { shape: [2, 11], values: normals('x', 22, 40) } }, gelu, gelu.composed],
  [
    'swiglu',
    {
      gate: { shape: [7, 29], values: normals('gate', 7 * 29, 3) },
      up: { shape: [7, 29], values: normals('up', 7 * 29, 2) },
    },
    swiglu,
    swiglu.composed,
  ],
  ...(sessions[0]!.settings.kernels === 'tiles'
    ? ([
        ['attention of rows', rows, (x) => onTiles(x!, causalMask(wideT)), (x) => composedRows(x!, causalMask(wideT))],
        [
          'attention of rows within documents',
          rows,
          (x) => onTiles(x!, tensor(wideDocuments, [B, 1, 1, wideT, wideT])),
          (x) => composedRows(x!, tensor(wideDocuments, [B, 1, 1, wideT, wideT])),
        ],
      ] satisfies Case[])
    : []),
  // More rows than one thread takes, and more than one block of the gain's gradient.
  [
    'layerNorm of many rows',
    {
      x: { shape: [311, 131], values: normals('x', 311 * 131, 3, 2) },
      gain: { shape: [131], values: normals('gain', 131, 1) },
    },
    (x, gain) => layerNorm(x!, gain!, null, 1e-5),
    (x, gain) => layerNorm.composed(x!, gain!, null, 1e-5),
  ],
  // More than one block of rows; the bias's gradient is the sum of the columns.
  [
    'a bias',
    {
      x: { shape: [311, 131], values: normals('x', 311 * 131, 3, 2) },
      bias: { shape: [131], values: normals('bias', 131, 1) },
    },
    (x, bias) => addBias(x!, bias!),
    (x, bias) => add(x!, bias!),
  ],
  ['gelu of many', { x: { shape: [149, 251], values: normals('x', 149 * 251, 2) } }, gelu, gelu.composed],
  ...([5, 16, 53] as const).flatMap((C): Case[] => {
    const inputs = {
      x: { shape: [11, C], values: normals('x', 11 * C, 3, 2) },
      gain: { shape: [C], values: normals('gain', C, 1) },
    };
    return [
      [
        `layerNorm of ${C}`,
        inputs,
        (x, gain) => layerNorm(x!, gain!, null, 1e-5),
        (x, gain) => layerNorm.composed(x!, gain!, null, 1e-5),
      ],
      [
        `rmsNorm of ${C}`,
        inputs,
        (x, gain) => rmsNorm(x!, gain!, 1e-6),
        (x, gain) => rmsNorm.composed(x!, gain!, 1e-6),
      ],
    ];
  }),
];

describe('clm’s kernels', () => {
  it('are used on this machine', () => expect(sessions[0]!.settings.kernels).not.toBe('none'));

  it.each(cases)(
    '%s equals its composition, value and gradients, recorded and eager',
    async (name, inputs, byKernel, composed) => {
      const specs = Object.fromEntries(
        Object.entries(inputs).map(([key, { shape }]) => [key, { shape, dtype: 'float32' as const }]),
      );
      const feeds = Object.fromEntries(Object.entries(inputs).map(([key, { values }]) => [key, values]));
      for (const session of sessions) {
        const run = (which: string, f: (...x: Tensor[]) => Tensor) =>
          session
            .program(`${which} ${name}`.replaceAll(' ', '_'), specs, (tensors): Record<string, Tensor> => {
              const arguments_ = Object.keys(inputs).map((key) => tensors[key]!);
              const y = f(...arguments_);
              const direction = tensor(normals('direction', y.size, 1), y.shape);
              const { grads } = valueAndGrads((...x: Tensor[]) => sum(mul(f(...x), direction)))(arguments_);
              return { y, ...Object.fromEntries(grads.map((gradient, i) => [Object.keys(inputs)[i]!, gradient])) };
            })
            .run(feeds);
        const [actual, expected] = [await run('kernel', byKernel), await run('composed', composed)];
        for (const key of Object.keys(expected))
          expectClose(actual[key]!, expected[key]!, `${session.settings.mode} ${name}: ${key}`);
      }
    },
  );

  it.each([null, 7])(
    'compute the cross-entropy of its composition, and refuse a target outside the vocabulary: cap %s',
    async (cap) => {
      const [N, V] = [307, 67]; // more rows than one thread takes
      const specs = {
        logits: { shape: [N, V], dtype: 'float32' },
        targets: { shape: [N], dtype: 'int32' },
        weights: { shape: [N], dtype: 'float32' },
      } as const;
      const logits = normals('logits', N * V, 3);
      logits.fill(-300, 0, 30).fill(300, 31, 33); // exponentials beyond what float32 holds; with the cap, no gradient
      const weights = normals('weights', N, 1).fill(0, 5, 7);
      const targets = Int32Array.from({ length: N }, (_, n) => (n * 29) % V);
      for (const session of sessions) {
        const byKernel = session.program('kernelCrossEntropy', specs, (feeds) => {
          return weightedCrossEntropy.kernel(feeds.logits, feeds.targets, feeds.weights, cap);
        });
        const composed = session.program('composedCrossEntropy', specs, (feeds) =>
          weightedCrossEntropy.composed(feeds.logits, feeds.targets, feeds.weights, cap),
        );
        const [actual, expected] = [
          await byKernel.run({ logits, targets, weights }),
          await composed.run({ logits, targets, weights }),
        ];
        for (const key of ['losses', 'dLogits'] as const)
          expectClose(actual[key]!, expected[key]!, `${session.settings.mode} ${key}`);
        await expect(byKernel.run({ logits, targets: targets.slice().fill(V, 3, 4), weights })).rejects.toThrow(
          'is outside the vocabulary of',
        );
      }
    },
  );

  it('add rows to those that ids name, once for each time, and refuse an id outside the matrix', async () => {
    const [V, N, C] = [41, 601, 37]; // more rows than one thread takes
    const specs = {
      matrix: { shape: [V, C], dtype: 'float32' },
      rows: { shape: [N, C], dtype: 'float32' },
      ids: { shape: [N], dtype: 'int32' },
    } as const;
    const ids = Int32Array.from({ length: N }, (_, n) => (n * n * 7) % (V - 1)); // of 21 rows, and never the last
    expect(new Set(ids).size).toBeLessThan(V / 1.5);
    const feeds = { matrix: normals('matrix', V * C, 3), rows: normals('rows', N * C, 1), ids };
    for (const session of sessions) {
      const byKernel = session.program('addRows', specs, ({ matrix, rows, ids: which }) => ({
        sum: addRows(matrix!, rows!, which!),
      }));
      const composed = session.program('composedAddRows', specs, ({ matrix, rows, ids: which }) => ({
        sum: addRows.composed(matrix!, rows!, which!),
      }));
      const [actual, expected] = [await byKernel.run(feeds), await composed.run(feeds)];
      expectClose(actual['sum']!, expected['sum']!, `${session.settings.mode} rows added`);
      expect(actual['sum']!.slice((V - 1) * C)).toEqual(feeds.matrix.slice((V - 1) * C));
      for (const wrong of [-1, V])
        await expect(byKernel.run({ ...feeds, ids: ids.slice().fill(wrong, 9, 10) })).rejects.toThrow(
          'is outside the matrix',
        );
    }
  });

  it('add up columns alike with any number of threads, which TensorFlow’s operation does not', async () => {
    const dy = normals('dy', 2048 * 64, 1);
    const [several, one] = [1, 2].map((branches) => {
      const session = openSession({ mode: 'recorded', precision: 'float32', device: 'cpu', branches });
      const program = session.program('columns', { dy: { shape: [2048, 64], dtype: 'float32' } }, (feeds) => ({
        byKernel: biasGradient.kernel(feeds.dy),
        composed: biasGradient.composed(feeds.dy),
      }));
      return program.run({ dy }).finally(() => session.close());
    });
    const [bySeveral, byOne] = [await several!, await one!];
    expect(bySeveral.byKernel).toEqual(byOne.byKernel);
    if (os.availableParallelism() === 2) expect(bySeveral.composed).not.toEqual(byOne.composed); // the case is real
  });

  it('add bfloat16 products in float32', async () => {
    const session = openSession({ mode: 'recorded', precision: 'bfloat16', device: 'cpu' });
    const program = session.program('sum', {}, () => {
      const ones = tensor(new Float32Array(5).fill(1), [5, 1]);
      const product = (value: number): Tensor => matMul(ones, tensor(new Float32Array(23).fill(value), [1, 23]));
      const rows = tensor(new Float32Array(4 * 23).fill(2 ** -9), [4, 23]);
      const ids = tensor([3, 3, 3, 3], [4], 'int32');
      return {
        three: sumOfProducts([product(1), product(2 ** -8), product(2 ** -12)]),
        added: addRows(product(1), rows, ids),
      };
    });
    const { three, added } = await program.run({});
    session.close();
    expect(three).toEqual(new Float32Array(5 * 23).fill(1 + 2 ** -8 + 2 ** -12)); // bfloat16 has no such number
    // Above 1 bfloat16 has steps of 2⁻⁷: each of four rows would be lost by itself.
    expect(added).toEqual(new Float32Array(5 * 23).fill(1).fill(1 + 2 ** -7, 3 * 23, 4 * 23));
  });

  it('keep every number in ½ Σ x² of many', async () => {
    const values = normals('x', 99_991, 1);
    const exact = values.reduce((total, x) => total + (x * x) / 2, 0);
    for (const session of sessions) {
      const program = session.program('norm', { x: { shape: [values.length], dtype: 'float32' } }, ({ x }) => ({
        norm: halfSquaredNorm(x!),
      }));
      expect((await program.run({ x: values }))['norm']![0]! / exact).toBeCloseTo(1, 6);
    }
  });

  it('refuse inputs of different shapes instead of reading beyond them', async () => {
    const specs = { x: { shape: [3, 5], dtype: 'float32' }, other: { shape: [3], dtype: 'float32' } } as const;
    const feeds = { x: normals('x', 15, 1), other: normals('other', 3, 1) };
    for (const session of sessions) {
      const gradient = session.program('wrongGelu', specs, ({ x, other }) => ({
        dx: runKernel('ClmGeluGrad', [x, other])[0],
      }));
      await expect(gradient.run(feeds)).rejects.toThrow('input 1 of shape (3) must have 15 elements');
      const norm = session.program('wrongNorm', specs, ({ x, other }) => ({
        y: runKernel('ClmNorm', [x, other], [floatAttribute('epsilon', 1e-5), boolAttribute('centred', true)])[0],
      }));
      await expect(norm.run(feeds)).rejects.toThrow('input 1 of shape (3) must have 5 elements');
    }
  });
});
