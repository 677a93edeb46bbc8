import { describe, expect, it } from 'vitest';
import { defaultTargets } from '../../../src/config/sections/adapter.ts';
import type { Config } from '../../../src/config/schema.ts';
import { constantOf } from '../../../src/config/sections/stages.ts';
import { mapsOf } from '../../../src/model/adapter.ts';
import { initialParameters } from '../../../src/model/parameters.ts';
import { parameterRoles } from '../../../src/model/trainedParameters.ts';
import { randomStream } from '../../../src/random.ts';
import { openSession } from '../../../src/runtime/openSession.ts';
import type { Mode, Session } from '../../../src/runtime/session.ts';
import type { Precision } from '../../../src/runtime/variables.ts';
import type { NamedTensor } from '../../../src/tensors/tensors.ts';
import { recordEvaluation } from '../../../src/training/step/evaluation.ts';
import { lossAndGradients, lossFeeds, lossInputs } from '../../../src/training/step/gradients.ts';
import { recordTrainingStep } from '../../../src/training/step/step.ts';
import { trainingState } from '../../../src/training/step/trainingState.ts';
import { readFrozen, readTrained } from '../../../src/training/step/update.ts';
import { randomMicroBatch, tinyConfig, vocabularySize } from '../tinyRun.ts';

type Sections = Parameters<typeof tinyConfig>[0] & { adapter?: Partial<Config['adapter']> };

/** B 3, T 5, L 2, C 14; rank 3. */
function adapterConfig({ adapter, ...sections }: Sections = {}): Config {
  const config = tinyConfig(sections);
  const targets = defaultTargets(config.model);
  return { ...config, adapter: { ...config.adapter, kind: 'lora', rank: 3, alpha: 6, targets, ...adapter } };
}

const llama = (sections: Sections = {}): Config =>
  adapterConfig({
    ...sections,
    model: { family: 'llama', heads: 4, keyValueHeads: 2, headSize: 6, ...sections.model },
  });

/** B matrices that are not 0, so that the gradients by the A matrices are not either. */
const nonZero = (tensors: NamedTensor[]): NamedTensor[] =>
  tensors.map((tensor) => {
    const stream = randomStream(3, tensor.name);
    return tensor.name.endsWith('.loraB')
      ? { ...tensor, values: tensor.values.map(() => 0.3 * stream.normal()) }
      : tensor;
  });

async function openSessionOf(config: Config, mode: Mode, weights: Precision = 'float32'): Promise<Session> {
  const session = openSession({ mode, ...config.training, device: 'cpu' });
  const { trained, frozen } = parameterRoles(config, vocabularySize);
  const base = initialParameters(frozen, config.seed);
  await session.addVariables(
    base.map((tensor) => ({ ...tensor, storedAs: tensor.shape.length === 2 ? weights : 'float32' })),
  );
  const own = nonZero(initialParameters(trained, config.seed));
  await session.addVariables([...own, ...trainingState(config, trained, own)]);
  return session;
}

async function gradientsOf(config: Config, session: Session): Promise<Record<string, Float32Array>> {
  const { trained, frozen } = parameterRoles(config, vocabularySize);
  const program = session.program('gradients', lossInputs(session, config), (feeds, variables) => {
    const parameters = { trained: readTrained(config, variables, trained), frozen: readFrozen(variables, frozen) };
    const { loss, gradients } = lossAndGradients(session, config, trained, parameters, feeds);
    return { loss, ...Object.fromEntries(trained.map(({ name }, i) => [name, gradients[i]!])) };
  });
  return program.run(lossFeeds(randomMicroBatch(config, 0), 1 / 15, 5));
}

/** (n, k) · (k, m) */
const product = (a: ArrayLike<number>, b: ArrayLike<number>, k: number): number[] => {
  const [n, m] = [a.length / k, b.length / k];
  const entry = (i: number, j: number): number =>
    Array.from({ length: k }, (_, l) => a[i * k + l]! * b[l * m + j]!).reduce((sum, x) => sum + x, 0);
  return Array.from({ length: n * m }, (_, at) => entry(Math.floor(at / m), at % m));
};

const transposed = (a: ArrayLike<number>, columns: number): number[] =>
  Array.from(
    { length: a.length },
    (_, at) => a[(at % (a.length / columns)) * columns + Math.floor(at / (a.length / columns))]!,
  );

const largest = (a: ArrayLike<number>): number => Math.max(...Array.from(a, Math.abs));

describe('the gradient by an adapter', () => {
  it.each<[string, Config]>([
    ['gpt2', adapterConfig({ model: { biases: true } })],
    ['gpt2, one pair for query, key and value', adapterConfig({ adapter: { targets: ['queryKeyValue', 'up'] } })],
    ['llama, grouped queries', llama()],
    ['llama, value alone, untied', llama({ model: { tiedEmbeddings: false }, adapter: { targets: ['value'] } })],
    ['llama, recompute', llama({ training: { recompute: 'block' } })],
  ])('follows from that by the merged weights: %s', async (_, config) => {
    const { rank, alpha } = config.adapter;
    const session = await openSessionOf(config, 'recorded');
    const roles = parameterRoles(config, vocabularySize);
    const own = await session.readVariables(roles.trained.map(({ name }) => name));
    const gradients = await gradientsOf(config, session);
    session.close();
    const merged = initialParameters(roles.frozen, config.seed);
    const plain: Config = { ...config, adapter: { ...config.adapter, kind: null } };
    const pairs = roles.frozen.flatMap(({ name, shape }) =>
      shape.length === 2 && name.startsWith('blocks.')
        ? mapsOf(name.slice(0, -'.weight'.length), shape[1]!, config.model).map((map) => ({ ...map, weight: name }))
        : [],
    );
    const found = pairs.flatMap((map) => {
      const [a, b] = ['A', 'B'].map((side) => own.find(({ name }) => name === `${map.path}.lora${side}`));
      return a && b ? [{ ...map, a, b }] : [];
    });
    expect(2 * found.length).toBe(own.length); // each matrix belongs to a map
    for (const { weight, start, columns, a, b } of found) {
      const w = merged.find(({ name }) => name === weight)!;
      product(a.values, b.values, rank).forEach((x, at) => {
        const [row, column] = [Math.floor(at / columns), start + (at % columns)];
        w.values[row * w.shape[1]! + column]! += (alpha / rank) * x;
      });
    }
    const whole = openSession({ mode: 'recorded', ...plain.training, device: 'cpu' });
    await whole.addVariables(merged);
    const expected = await gradientsOf(plain, whole);
    whole.close();
    expect(Math.abs(gradients['loss']![0]! - expected['loss']![0]!)).toBeLessThan(1e-5);
    for (const { path, weight, start, columns, a, b } of found) {
      const width = merged.find(({ name }) => name === weight)!.shape[1]!;
      const part = Array.from(expected[weight]!).filter(
        (_x, at) => at % width >= start && at % width < start + columns,
      );
      const dA = product(part, transposed(b.values, columns), columns);
      const dB = product(transposed(a.values, rank), part, a.shape[0]!);
      for (const [name, gradient] of Object.entries({ [`${path}.loraA`]: dA, [`${path}.loraB`]: dB })) {
        const wanted = gradient.map((x) => (alpha / rank) * x);
        expect(largest(wanted), name).toBeGreaterThan(1e-5);
        const difference = wanted.map((x, i) => x - gradients[name]![i]!);
        expect(largest(difference), name).toBeLessThan(1e-6 + 1e-4 * largest(wanted));
      }
    }
  });
});

describe('a training step of an adapter', () => {
  const run = async (config: Config, mode: Mode, weights?: Precision) => {
    const session = await openSessionOf(config, mode, weights);
    try {
      const { trained, frozen } = parameterRoles(config, vocabularySize);
      const step = await recordTrainingStep(session, config, trained, frozen);
      const evaluate = recordEvaluation(session, config, trained, 3, frozen);
      const losses: number[] = [];
      const k = constantOf(config.training.microBatchesPerStep);
      for (let i = 1; i <= 4; i++) {
        const batches = Array.from({ length: k }, (_, j) => randomMicroBatch(config, j));
        losses.push((await step(batches, i, 5e-2)).loss);
      }
      const validation = (async function* () {
        yield randomMicroBatch(config, 1);
      })();
      const { loss } = (await evaluate(validation, {
        byteLengths: new Float64Array(vocabularySize).fill(1),
      } as never))!;
      return { losses: [...losses, loss], trained: await session.readVariables(trained.map(({ name }) => name)) };
    } finally {
      session.close();
    }
  };
  it.each<[string, Config]>([
    ['gpt2, dropout', adapterConfig({ adapter: { dropout: 0.2 } })],
    ['llama', llama()],
    [
      'recompute, two micro-batches, running mean',
      llama({ training: { recompute: 'block', microBatchesPerStep: 2, emaDecay: 0.9 } }),
    ],
    ['muon', llama({ optimizer: { kind: 'muon' } })],
    ['bfloat16', llama({ training: { precision: 'bfloat16' } })],
  ])('recorded equals eager: %s', async (name, config) => {
    const [recorded, eager] = [await run(config, 'recorded'), await run(config, 'eager')];
    const tolerance = name === 'bfloat16' ? 2e-2 : 1e-4;
    for (const [i, loss] of recorded.losses.entries())
      expect(Math.abs(loss - eager.losses[i]!), `loss ${i}`).toBeLessThan(tolerance);
    expect(recorded.losses.at(-2)!).toBeLessThan(recorded.losses[0]! - 0.01); // it did learn
    expect(await run(config, 'recorded')).toEqual(recorded); // to the bit
  });
});
