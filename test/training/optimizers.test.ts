import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { ParameterSpec } from '../../src/model/parameters.ts';
import { openSession } from '../../src/runtime/openSession.ts';
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
  initial: { kind: 'zeros' },
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
