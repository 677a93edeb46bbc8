import { mul, reshape, split, sum, tensor, valueAndGrads, type Tensor } from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, it } from 'vitest';
import { rotationOf } from '../../src/model/positions.ts';
import { attendHeads, attendRows, joinHeads, maskFrom, splitHeads, type Attention } from '../../src/ops/attention.ts';
import { randomStream } from '../../src/random.ts';
import { openSession } from '../../src/runtime/openSession.ts';
import type { Inputs, InputSpec } from '../../src/runtime/session.ts';
import { tinyConfig } from '../training/tinyRun.ts';

const sessions = (['recorded', 'eager'] as const).map((mode) =>
  openSession({ mode, precision: 'float32', device: 'cpu' }),
);
const [session] = sessions as [(typeof sessions)[0]];
/** Its programs run on one thread: each of as many branches would have one. */
const onOneThread = openSession({ mode: 'recorded', precision: 'float32', device: 'cpu', branches: 1000 });
const inBfloat16 = openSession({ mode: 'recorded', precision: 'bfloat16', device: 'cpu' });
afterAll(() => [...sessions, onOneThread, inBfloat16].forEach((each) => each.close()));

const normals = (purpose: string, size: number): Float32Array => {
  const stream = randomStream(7, purpose);
  return Float32Array.from({ length: size }, () => 1.5 * stream.normal());
};

interface Sizes {
  B: number;
  T: number;
  K: number;
  G: number;
  D: number;
}
interface Extras {
  /** Lengths of the documents of a window; the last one goes on. */
  documents?: number[];
  isRotated?: boolean;
  rate?: number;
}

/** The first position of the document of each of T positions; other windows begin with a longer document. */
const startsOf = (documents: number[], { B, T }: Sizes): Int32Array =>
  Int32Array.from({ length: B * T }, (_, i) => {
    const t = i % T;
    let start = 0;
    for (const length of [documents[0]! + Math.floor(i / T), ...documents.slice(1)])
      if (start + length <= t) start += length;
      else break;
    return start;
  });

function attentionOf(sizes: Sizes, { documents, isRotated, rate }: Extras): Attention {
  const { B, T, D } = sizes;
  const starts = documents ? tensor(startsOf(documents, sizes), [B, T], 'int32') : null;
  const { model } = tinyConfig({ model: { family: 'llama', width: 2 * D, headSize: D, ropeTheta: 7 } });
  return {
    starts,
    mask: maskFrom(starts, T),
    rotation: isRotated ? rotationOf({ model, batchSize: B, length: T, dropout: null }) : null,
    dropout: rate ? { rate, seed: tensor([-7, 12], [2], 'int32') } : null,
  };
}

type Compute = (rows: Tensor, sizes: Sizes, attention: Attention) => Tensor;
const forms: Record<'kernel' | 'composed' | 'heads', Compute> = {
  kernel: (rows, sizes, attention) => attendRows.kernel(rows, sizes, { ...attention, mask: null }),
  composed: attendRows.composed,
  heads: (rows, sizes, attention) => {
    const { query, key, value } = splitHeads(rows, sizes);
    return joinHeads(attendHeads.kernel(query, key, value, { ...attention, mask: null }), sizes);
  },
};

let programs = 0;
/** Value, and gradient of a weighted sum of it by the rows. */
function run(
  form: keyof typeof forms,
  sizes: Sizes,
  extras: Extras,
  values: Float32Array,
  on = session,
): Promise<Record<string, Float32Array>> {
  const { B, T, K, G, D } = sizes;
  const specs = { rows: { shape: [B * T, (G + 2) * K * D], dtype: 'float32' } } as const;
  const define = ({ rows }: Inputs<Record<'rows', InputSpec>>): Record<string, Tensor> => {
    const attention = attentionOf(sizes, extras);
    const direction = tensor(normals('direction', B * T * K * G * D), [B * T, K * G * D]);
    const value = forms[form](rows, sizes, attention);
    const { grads } = valueAndGrads((x: Tensor) => sum(mul(forms[form](x, sizes, attention), direction)))([rows]);
    const [query, keyValue] = split(grads[0]!, [K * G * D, 2 * K * D], 1);
    return { value, query: query!, keyValue: reshape(keyValue!, [-1]) };
  };
  return on.program(`attention${programs++}`, specs, define).run({ rows: values });
}

/** The greatest error, of the largest number if that is above 1. */
function errorOf(actual: Float32Array, expected: Float32Array): number {
  expect(actual.length).toBe(expected.length);
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const worst = actual.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0);
  return worst / Math.max(1, largest);
}

const rowsOf = ({ B, T, K, G, D }: Sizes): Float32Array => normals('rows', B * T * (G + 2) * K * D);

describe('attention in blocks', () => {
  // Sizes below, at and above those of blocks, panels and vectors.
  const cases: [string, Sizes, Extras][] = [
    ['one position', { B: 2, T: 1, K: 2, G: 1, D: 8 }, {}],
    ['few positions', { B: 2, T: 17, K: 2, G: 1, D: 12 }, {}],
    ['a block and one', { B: 1, T: 65, K: 1, G: 2, D: 64 }, {}],
    ['several blocks', { B: 2, T: 150, K: 2, G: 1, D: 80 }, {}],
    ['grouped and turned', { B: 2, T: 70, K: 1, G: 4, D: 12 }, { isRotated: true }],
    ['many groups in parts', { B: 1, T: 257, K: 1, G: 3, D: 8 }, { isRotated: true }],
    ['dropped', { B: 2, T: 68, K: 2, G: 2, D: 8 }, { rate: 0.3 }],
    ['dropped, rows of an odd length', { B: 2, T: 67, K: 2, G: 1, D: 12 }, { rate: 0.1 }],
    ['documents', { B: 2, T: 150, K: 2, G: 1, D: 8 }, { documents: [5, 1, 40, 30] }],
    ['everything', { B: 2, T: 131, K: 2, G: 3, D: 24 }, { documents: [70, 3, 4], isRotated: true, rate: 0.25 }],
  ];
  it.each(cases)('of %s equals the composition, values and gradients', async (name, sizes, extras) => {
    const rows = rowsOf(sizes);
    const expected = await run('composed', sizes, extras, rows);
    expect(expected['value']!.some((x) => Math.abs(x) > 0.1)).toBe(true);
    for (const on of name === 'everything' ? sessions : [session])
      for (const form of ['kernel', 'heads'] as const) {
        const actual = await run(form, sizes, extras, rows, on);
        for (const key of Object.keys(expected))
          expect(errorOf(actual[key]!, expected[key]!), `${form} ${key}`).toBeLessThan(4e-6);
      }
  });

  it('in bfloat16 differs from float32 by the rounding of what it reads and writes', async () => {
    const [, sizes, extras] = cases.at(-1)!;
    const rows = rowsOf(sizes);
    const bits = new Uint32Array(rows.buffer);
    bits.forEach((each, i) => (bits[i] = each & 0xffff0000)); // numbers that bfloat16 has
    const expected = await run('composed', sizes, extras, rows);
    const composed = await run('composed', sizes, extras, rows, inBfloat16);
    for (const form of ['kernel', 'heads'] as const) {
      const actual = await run(form, sizes, extras, rows, inBfloat16);
      expect(new Uint32Array(actual['value']!.buffer).every((each) => (each & 0xffff) === 0)).toBe(true);
      for (const key of Object.keys(expected)) {
        const error = errorOf(actual[key]!, expected[key]!);
        expect(error, `${form} ${key}`).toBeGreaterThan(4e-6);
        expect(error, `${form} ${key}`).toBeLessThan(2 ** -8);
        expect(error, `${form} ${key}`).toBeLessThan(errorOf(composed[key]!, expected[key]!));
      }
    }
  });

  it('drops the weights of the composition: none or all of a row of values shows it', async () => {
    const sizes = { B: 1, T: 33, K: 1, G: 1, D: 8 };
    const [kept, all] = [
      await run('kernel', sizes, { rate: 0.5 }, rowsOf(sizes)),
      await run('kernel', sizes, {}, rowsOf(sizes)),
    ];
    expect(kept['value']).not.toEqual(all['value']);
    expect([...kept['value']!.slice(0, 8)].every((x, i) => x === 0 || Math.abs(x - 2 * all['value']![i]!) < 1e-6)).toBe(
      true,
    );
  });

  it.each([
    { B: 2, T: 97, K: 2, G: 2, D: 16 },
    { B: 2, T: 260, K: 1, G: 1, D: 12 },
  ])('has the same bits on one and several threads, and for a window alone ($T positions)', async (sizes) => {
    const extras = { isRotated: true };
    const rows = rowsOf(sizes);
    const several = await run('kernel', sizes, extras, rows);
    const one = await run('kernel', sizes, extras, rows, onOneThread);
    expect(one).toEqual(several);
    const perWindow = rows.length / sizes.B;
    const alone = await run('kernel', { ...sizes, B: 1 }, extras, rows.slice(0, perWindow));
    for (const key of Object.keys(alone)) expect(alone[key]).toEqual(several[key]!.slice(0, alone[key]!.length));
  });

  it('sees neither the future nor other documents', async () => {
    const sizes = { B: 1, T: 140, K: 1, G: 1, D: 8 };
    const extras = { documents: [66, 50] };
    const rows = rowsOf(sizes);
    const before = await run('kernel', sizes, extras, rows);
    rows.fill(9, 0, 66 * 24);
    rows.fill(-9, 100 * 24);
    const after = await run('kernel', sizes, extras, rows);
    expect(after['value']!.slice(66 * 8, 100 * 8)).toEqual(before['value']!.slice(66 * 8, 100 * 8));
    expect(after['value']!.slice(0, 8)).not.toEqual(before['value']!.slice(0, 8));
  });

  it('refuses a query that does not see itself', async () => {
    const specs = { rows: { shape: [3, 12], dtype: 'float32' } } as const;
    const program = session.program('refused', specs, ({ rows }) => {
      const starts = tensor([0, 2, 2], [1, 3], 'int32');
      const attention = { starts, mask: null, rotation: null, dropout: null };
      return { y: attendRows.kernel(rows, { B: 1, T: 3, K: 1, G: 1, D: 4 }, attention) };
    });
    await expect(program.run({ rows: normals('rows', 36) })).rejects.toThrow('query 1 does not see itself');
  });
});
