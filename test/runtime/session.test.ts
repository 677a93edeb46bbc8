import { add, matMul, mul, reshape, scalar, sum, tensor, tensor1d } from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, it } from 'vitest';
import { configSchema } from '../../src/config/schema.ts';
import { statelessUniform } from '../../src/ops/dropout.ts';
import { gatherRows } from '../../src/ops/rows.ts';
import { accumulate } from '../../src/ops/sums.ts';
import type { RecordedSession } from '../../src/runtime/recordedSession.ts';
import { scope } from '../../src/runtime/recording.ts';
import { openSession } from '../../src/runtime/openSession.ts';
import type { Mode, Session } from '../../src/runtime/session.ts';
import { loadTensorFlow } from '../../src/runtime/tensorflow.ts';
import { adamW } from '../../src/training/optimizers/adamw.ts';

const sessions: Session[] = [];
const open = (mode: Mode, precision: 'float32' | 'bfloat16' = 'float32'): Session => {
  const session = openSession({ mode, precision, device: 'cpu' });
  sessions.push(session);
  return session;
};
afterAll(() => sessions.forEach((session) => session.close()));

describe.each(['recorded', 'eager'] as const)('a %s session', (mode) => {
  it('keeps variables between runs and programs', async () => {
    const session = open(mode);
    await session.addVariables([{ name: 'total', shape: [3], values: Float32Array.of(1, 2, 3) }]);
    const increase = session.program('increase', { by: { shape: [], dtype: 'float32' } }, ({ by }, variables) => {
      const before = variables.read('total');
      variables.assignAdd('total', mul(before, by!));
      return { sum: sum(before) };
    });
    expect(await increase.run({ by: Float32Array.of(2) })).toEqual({ sum: Float32Array.of(6) });
    const look = session.program('look', {}, (_, variables) => ({ total: variables.read('total') }));
    expect(await look.run({})).toEqual({ total: Float32Array.of(3, 6, 9) });
    expect(await session.readVariables(['total'])).toEqual([
      { name: 'total', shape: [3], values: Float32Array.of(3, 6, 9) },
    ]);
  });

  it('gives no results before a check has ended, and none if it fails', async () => {
    const session = open(mode);
    const program = session.program('one', {}, () => ({ one: scalar(1) }));
    let end = (): void => {};
    session.resultsAfter(new Promise((resolve) => (end = resolve)));
    let hasEnded = false;
    const result = program.run({}).then((values) => ({ values, hasEnded }));
    await new Promise((resolve) => setTimeout(resolve, 30));
    hasEnded = true;
    end();
    expect(await result).toEqual({ values: { one: Float32Array.of(1) }, hasEnded: true });
    const failed = Promise.reject(new Error('the file is damaged'));
    failed.catch(() => {});
    session.resultsAfter(failed);
    await expect(program.run({})).rejects.toThrow('the file is damaged');
  });

  it('keeps variables of one name in two sessions apart', async () => {
    const [one, two] = [open(mode), open(mode)];
    await one.addVariables([{ name: 'x', shape: [1], values: Float32Array.of(1) }]);
    await two.addVariables([{ name: 'x', shape: [1], values: Float32Array.of(2) }]);
    expect((await one.readVariables(['x']))[0]!.values[0]).toBe(1);
    expect((await two.readVariables(['x']))[0]!.values[0]).toBe(2);
  });

  it('updates by Adam as the paper, with its ε', async () => {
    const session = open(mode);
    const zeros = (name: string) => ({ name, shape: [2], values: new Float32Array(2) });
    await session.addVariables([
      { name: 'p', shape: [2], values: Float32Array.of(1, -1) },
      zeros('p/firstMoment'),
      zeros('p/secondMoment'),
    ]);
    const beta1 = 0.9;
    const beta2 = 0.99;
    const epsilon = 1e-2; // large enough to matter
    const rate = 0.1;
    const inputs = {
      gradient: { shape: [2], dtype: 'float32' },
      beta1Power: { shape: [], dtype: 'float32' },
      beta2Power: { shape: [], dtype: 'float32' },
      epsilon: { shape: [], dtype: 'float32' },
    } as const;
    const program = session.program('adam', inputs, (feeds, variables) => {
      adamW.apply(variables, configSchema.shape.optimizer.parse({ betas: [beta1, beta2], weightDecay: 0 }), {
        spec: { name: 'p', shape: [2], initial: { kind: 'constant', value: 1 }, decays: false, multiplies: false },
        ...{ variable: 'p', parameter: variables.read('p'), gradient: feeds.gradient, gradientFactor: null },
        scalars: { ...feeds, learningRate: scalar(rate) },
      });
      return { one: scalar(1) };
    });
    const expected = { p: [1, -1], m: [0, 0], v: [0, 0] };
    for (const [t, gradient] of [
      [1, [0.5, -0.25]],
      [2, [-0.125, 2]],
    ] as [number, number[]][]) {
      await program.run({
        gradient: Float32Array.from(gradient),
        beta1Power: Float32Array.of(beta1 ** t),
        beta2Power: Float32Array.of(beta2 ** t),
        epsilon: Float32Array.of(epsilon * Math.sqrt(1 - beta2 ** t)),
      });
      gradient.forEach((g, i) => {
        expected.m[i] = beta1 * expected.m[i]! + (1 - beta1) * g;
        expected.v[i] = beta2 * expected.v[i]! + (1 - beta2) * g * g;
        const mean = expected.m[i]! / (1 - beta1 ** t);
        const spread = Math.sqrt(expected.v[i]! / (1 - beta2 ** t));
        expected.p[i]! -= (rate * mean) / (spread + epsilon);
      });
    }
    const [p] = await session.readVariables(['p']);
    p!.values.forEach((value, i) => expect(value).toBeCloseTo(expected.p[i]!, 5));
  });

  it.each(['none', 'vectors'] as const)('adds up in several sums (kernels: %s)', async (kernels) => {
    const session = openSession({ mode, precision: 'float32', device: 'cpu', kernels });
    expect(session.settings.kernels).toBe(kernels);
    const names = ['first', 'second', 'third'];
    await session.addVariables(names.map((name) => ({ name, shape: [3], values: Float32Array.of(NaN, Infinity, 5) })));
    const scalar = { shape: [], dtype: 'float32' } as const;
    const inputs = { value: { shape: [3], dtype: 'float32' }, adds: scalar, into: scalar } as const;
    const program = session.program('add', inputs, ({ value, adds, into }, variables) => {
      accumulate(variables, names, value, adds, into);
      return { value };
    });
    const add = async (value: number, adds: number, into: number) => {
      const run = { value: Float32Array.of(value, 2 * value, -value) };
      await program.run({ ...run, adds: Float32Array.of(adds), into: Float32Array.of(into) });
      return (await session.readVariables(names)).map(({ values }) => values[1]!);
    };
    expect(await add(1, 0, 0)).toEqual([2, Infinity, Infinity]); // what was there is dropped
    expect(await add(10, 0, 1)).toEqual([2, 20, Infinity]);
    expect(await add(100, 2, 0)).toEqual([222, 20, Infinity]);
    expect(await add(1000, 0, 1)).toEqual([222, 2000, Infinity]);
    expect(await add(1, 0, 2)).toEqual([222, 2000, 2]);
    expect((await add(5, 3, 0))[0]).toBe(2234);
    session.close();
  });

  it('refuses inputs of another length or type before they reach native code', async () => {
    const session = open(mode);
    const program = session.program('double', { x: { shape: [2], dtype: 'float32' } }, ({ x }) => ({ y: add(x!, x!) }));
    await expect(program.run({ x: new Float32Array(3) })).rejects.toThrow('input x must be 2 float32 values');
    await expect(program.run({ x: new Int32Array(2) })).rejects.toThrow('input x must be 2 float32 values');
    // @ts-expect-error: an input is missing
    await expect(program.run({})).rejects.toThrow('input x must be 2 float32 values');
  });

  it('draws the same stateless numbers for the same seed only', async () => {
    const session = open(mode);
    const program = session.program('random', { seed: { shape: [2], dtype: 'int32' } }, ({ seed }) => ({
      x: statelessUniform([5, 7], seed!),
    }));
    const draw = async (...seed: number[]) => (await program.run({ seed: Int32Array.from(seed) }))['x']!;
    expect(await draw(3, 5)).toEqual(await draw(3, 5));
    expect(await draw(3, 5)).not.toEqual(await draw(3, 6));
    expect((await draw(1, 2)).every((value) => value >= 0 && value < 1)).toBe(true);
  });

  it('multiplies in bfloat16 when asked, and only products', async () => {
    const values = Float32Array.of(1.001, 2.003); // not representable with 8 bits of mantissa
    const run = async (precision: 'float32' | 'bfloat16') => {
      const session = open(mode, precision);
      const program = session.program('product', { x: { shape: [1, 2], dtype: 'float32' } }, ({ x }) => ({
        product: matMul(x!, tensor([1, 1], [2, 1])),
        sum: add(x!, 0),
      }));
      return program.run({ x: values });
    };
    const full = await run('float32');
    const bfloat16 = await run('bfloat16');
    expect(bfloat16['sum']).toEqual(full['sum']);
    expect(bfloat16['product']).not.toEqual(full['product']);
    expect(bfloat16['product']![0]).toBeCloseTo(3.004, 1);
  });
});

describe('recording', () => {
  it('refuses a tensor made outside the program, and leaves the eager binding in place', () => {
    loadTensorFlow('cpu');
    const session = open('recorded');
    const outside = add(tensor1d([1, 2]), 1); // computed, so it lives in the eager binding
    expect(() => session.program('leak', {}, () => ({ y: scope('part', () => add(outside, 1)) }))).toThrow(
      /recording leak\/part\/Add: a tensor made outside the program is used in it/,
    );
    expect(Array.from(outside.dataSync())).toEqual([2, 3]);
    outside.dispose();
  });

  it('records uniform tensors without embedding them', () => {
    const session = open('recorded') as RecordedSession;
    session.program('ones', {}, () => ({ y: sum(tensor(new Float32Array(31 * 37).fill(1), [31, 37])) }));
    expect(session.recordedSize.constantBytes).toBeLessThan(200);
    session.program('varied', {}, () => ({
      y: sum(
        tensor(
          new Float32Array(31 * 37).map((_, i) => i),
          [31, 37],
        ),
      ),
    }));
    expect(session.recordedSize.constantBytes).toBeGreaterThanOrEqual(4 * 31 * 37);
  });

  it('names the node in an error of a run', async () => {
    const session = open('recorded');
    const program = session.program('broken', { table: { shape: [3], dtype: 'float32' } }, ({ table }) =>
      // A row beyond the end: found out only by the kernel.
      scope('blocks.7', () => ({ y: gatherRows(reshape(table!, [3, 1]), tensor1d([3], 'int32')) })),
    );
    await expect(program.run({ table: new Float32Array(3) })).rejects.toThrow(/broken\/blocks\.7\/GatherV2/);
  });
});
