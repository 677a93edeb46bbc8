import { scalar } from '@tensorflow/tfjs-core';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { ParameterSpec } from '../../src/model/parameters.ts';
import { openSession } from '../../src/runtime/openSession.ts';
import { randomStream } from '../../src/random.ts';
import { updateMatrix } from '../../src/training/optimizers/muon.ts';
import { optimizerOf } from '../../src/training/optimizers/kinds.ts';
import { tinyConfig } from './tinyRun.ts';

interface Updates {
  start: Record<string, number[]>;
  gradients: Record<string, number[]>[];
  after: Record<string, number[]>[];
}

/** Made by scripts/fixtures/optimizers.py. */
const fixture = JSON.parse(readFileSync(new URL('../fixtures/optimizers.json', import.meta.url), 'utf8')) as {
  learningRates: number[];
  settings: { weightDecay: number; betas: [number, number]; epsilon: number; momentum: number };
  parameters: Record<string, { shape: number[]; parts?: number[] }>;
  adamw: Updates;
  muon: Updates;
};

const table: ParameterSpec[] = Object.entries(fixture.parameters).map(([name, { shape, parts }]) => ({
  name,
  shape,
  initial: { kind: 'constant', value: 0 },
  decays: shape.length === 2,
  multiplies: true,
  ...(parts && { parts }),
}));

describe('three updates equal those of PyTorch', () => {
  it.each([
    ['adamw', 'recorded'],
    ['adamw', 'eager'],
    ['muon', 'recorded'],
    ['muon', 'eager'],
  ] as const)('%s, %s', async (kind, mode) => {
    const { momentum, ...settings } = fixture.settings;
    const { optimizer: config } = tinyConfig({
      optimizer: { ...settings, kind, momentum: kind === 'muon' ? momentum : null },
    });
    const optimizer = optimizerOf(config);
    const { start, gradients, after } = fixture[kind];
    const session = openSession({ mode, precision: 'float32', device: 'cpu' });
    const state = table.flatMap((spec) => optimizer.initialState(spec));
    await session.addVariables([
      ...table.map(({ name, shape }) => ({ name, shape, values: Float32Array.from(start[name]!) })),
      ...state,
    ]);
    const scalarNames = ['learningRate', ...Object.keys(optimizer.scalars(config, 1))];
    const inputs = {
      ...Object.fromEntries(scalarNames.map((name) => [name, { shape: [], dtype: 'float32' as const }])),
      ...Object.fromEntries(table.map(({ name, shape }) => [`${name}/gradient`, { shape, dtype: 'float32' as const }])),
    };
    const program = session.program('update', inputs, (feeds, variables) => {
      for (const spec of table) {
        const parameter = variables.read(spec.name);
        const gradient = feeds[`${spec.name}/gradient`]!;
        optimizer.apply(variables, config, {
          spec,
          variable: spec.name,
          parameter,
          gradient,
          gradientFactor: null,
          scalars: feeds,
        });
      }
      return {};
    });
    let farthest = 0;
    for (const [i, learningRate] of fixture.learningRates.entries()) {
      const scalars = { learningRate, ...optimizer.scalars(config, i + 1) };
      await program.run({
        ...Object.fromEntries(Object.entries(scalars).map(([name, value]) => [name, Float32Array.of(value)])),
        ...Object.fromEntries(table.map(({ name }) => [`${name}/gradient`, Float32Array.from(gradients[i]![name]!)])),
      });
      for (const { name, values } of await session.readVariables(table.map(({ name }) => name))) {
        values.forEach((value, j) => {
          farthest = Math.max(farthest, Math.abs(after[i]![name]![j]! - start[name]![j]!));
          expect(Math.abs(value - after[i]![name]![j]!), `${name}[${j}] after update ${i + 1}`).toBeLessThan(2e-6);
        });
      }
    }
    session.close();
    expect(farthest).toBeGreaterThan(0.02); // it did move
    expect(state.some(({ name }) => name.endsWith('/momentum'))).toBe(kind === 'muon');
  });
});

/**
 * A parameter and its momentum before an update by Muon, and after it by each form.
 *
 * @param isFlat momentum and gradient have few large singular values, as gradients do, and many of a thousandth of them
 */
async function updatesOf(rows: number, columns: number, parts?: readonly number[], isFlat = false) {
  const name = 'blocks.0.weight';
  const shape = [rows, columns];
  const session = openSession({ mode: 'recorded', precision: 'float32', device: 'cpu' });
  const random = randomStream(3, name);
  const normals = (): Float32Array => Float32Array.from({ length: rows * columns }, () => random.normal());
  const { optimizer: config } = tinyConfig({ optimizer: { kind: 'muon', weightDecay: isFlat ? 0 : 0.3 } });
  const initial = { kind: 'constant', value: 0 } as const;
  const spec: ParameterSpec = { name, shape, initial, decays: true, multiplies: true };
  const names = [name, `${name}/momentum`];
  const flat = (): Float32Array => {
    const [left, right, noise] = [normals(), normals(), normals()];
    return noise.map((value, i) => {
      const [row, column] = [Math.floor(i / columns), i % columns];
      return value / 1000 + left[row]! * right[column]! + left[rows + row]! * right[columns + column]!;
    });
  };
  const moving = isFlat ? flat : normals;
  const start = [normals(), moving()].map((values, i) => ({ name: names[i]!, shape, values }));
  const gradient = moving();
  const updated = async (form: 'kernel' | 'composed'): Promise<Float32Array[]> => {
    await session.addVariables(start);
    const inputs = { gradient: { shape, dtype: 'float32' }, learningRate: { shape: [], dtype: 'float32' } } as const;
    const program = session.program(form, inputs, (feeds, variables) => {
      const scalars = { learningRate: feeds.learningRate } as Parameters<typeof updateMatrix>[2]['scalars'];
      const parameter = variables.read(name);
      updateMatrix[form](variables, config, {
        spec: { ...spec, ...(parts && { parts: [...parts] }) },
        ...{ variable: name, parameter, gradient: feeds.gradient, gradientFactor: scalar(0.7), scalars },
      });
      return {};
    });
    await program.run({ gradient, learningRate: Float32Array.of(0.1) });
    return (await session.readVariables(names)).map(({ values }) => Float32Array.from(values));
  };
  const [byKernel, composed] = [await updated('kernel'), await updated('composed')];
  const { kernels } = session.settings;
  session.close();
  return { start: start.map(({ values }) => values), byKernel, composed, kernels };
}

const rootMeanSquare = (x: Float32Array, y: Float32Array): number =>
  Math.sqrt(x.reduce((sum, value, i) => sum + (value - y[i]!) ** 2, 0) / x.length);
const distance = (a: Float32Array, b: Float32Array): number => Math.max(...a.map((x, i) => Math.abs(x - b[i]!)));

describe('Muon by the kernel equals Muon by TensorFlow', () => {
  it.each([
    ['wide, of more rows than a vector of columns', [45, 301], undefined],
    ['tall, of more rows than are added up at once', [301, 45], undefined],
    ['three maps side by side', [70, 104], [70, 17, 17]],
  ] as const)('%s', async (_, [rows, columns], parts) => {
    const { start, byKernel, composed } = await updatesOf(rows, columns, parts);
    expect(distance(composed[0]!, start[0]!)).toBeGreaterThan(0.1); // it did move
    expect(distance(composed[1]!, start[1]!)).toBeGreaterThan(0.1);
    expect(distance(byKernel[0]!, composed[0]!)).toBeLessThan(2e-5);
    expect(distance(byKernel[1]!, composed[1]!)).toBeLessThan(1e-6);
  });

  it.each([
    ['wide', [202, 330]],
    ['tall', [330, 202]],
  ] as const)('a large matrix, %s: rounded to bfloat16 where there is a tile unit', async (_, [rows, columns]) => {
    const { start, byKernel, composed, kernels } = await updatesOf(rows, columns);
    const error = rootMeanSquare(byKernel[0]!, composed[0]!) / rootMeanSquare(composed[0]!, start[0]!);
    expect(error).toBeLessThan(kernels === 'tiles' ? 0.02 : 1e-5);
    if (kernels === 'tiles') expect(error).toBeGreaterThan(1e-4); // it was rounded
    expect(distance(byKernel[1]!, composed[1]!)).toBeLessThan(1e-6);
  });

  it.each([
    ['wide', [202, 330]],
    ['tall', [330, 202]],
  ] as const)('nothing grows out of rounding if most singular values are small: %s', async (_, [rows, columns]) => {
    const { start, byKernel, composed } = await updatesOf(rows, columns, undefined, true);
    const ratio = rootMeanSquare(byKernel[0]!, start[0]!) / rootMeanSquare(composed[0]!, start[0]!);
    expect(Math.abs(ratio - 1)).toBeLessThan(0.05);
    expect(rootMeanSquare(byKernel[0]!, composed[0]!)).toBeLessThan(0.2 * rootMeanSquare(composed[0]!, start[0]!));
  });
});
