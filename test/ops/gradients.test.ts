import { concat, mul, reshape, sum, tensor, valueAndGrads, type Tensor } from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, it } from 'vitest';
import { rotationOf } from '../../src/model/positions.ts';
import { gelu, squaredRelu, swiglu } from '../../src/ops/activations.ts';
import { attend, attendRows, causalMask, splitHeads } from '../../src/ops/attention.ts';
import { sparseCrossEntropy } from '../../src/ops/crossEntropy.ts';
import { layerNorm, rmsNorm } from '../../src/ops/norm.ts';
import { rotate } from '../../src/ops/rotation.ts';
import { gatherRows } from '../../src/ops/rows.ts';
import { mixValues } from '../../src/ops/valueMix.ts';
import { randomStream } from '../../src/random.ts';
import { openSession } from '../../src/runtime/openSession.ts';
import { tinyConfig } from '../training/tinyRun.ts';

const session = openSession({ mode: 'eager', precision: 'float32', device: 'cpu' });
afterAll(() => session.close());

/** Relative to the largest entry of the gradient; float32 differences of O(1) values with this step allow no less. */
const tolerance = 5e-3;
const difference = 1e-2;

type Arguments = { shape: number[]; values: Float32Array }[];

/** Compares the gradient of Σ direction·f(arguments) with central differences, argument by argument. */
async function check(name: string, args: Arguments, f: (...tensors: Tensor[]) => Tensor): Promise<void> {
  const inputs = Object.fromEntries(args.map(({ shape }, i) => [`x${i}`, { shape, dtype: 'float32' as const }]));
  const program = session.program(name, inputs, (feeds): Record<string, Tensor> => {
    const tensors = args.map((_, i) => feeds[`x${i}`]!);
    // A weight that differs from place to place: a plain sum would hide gradients that only sum up right.
    const objective = (...xs: Tensor[]): Tensor => {
      const y = f(...xs);
      return sum(mul(y, direction(y.shape)));
    };
    const { value, grads } = valueAndGrads(objective)(tensors);
    return { value, ...Object.fromEntries(grads.map((gradient, i) => [`g${i}`, gradient])) };
  });
  const run = (values: Float32Array[]) => program.run(Object.fromEntries(values.map((value, i) => [`x${i}`, value])));
  const values = args.map((arg) => arg.values);
  const analytic = await run(values);
  for (const [i, { values: own }] of args.entries()) {
    const gradient = analytic[`g${i}`]!;
    const largest = Math.max(...gradient.map(Math.abs));
    expect(largest).toBeGreaterThan(0.01); // the argument matters
    for (let j = 0; j < own.length; j++) {
      const at = async (offset: number) => {
        const moved = values.map((value) => value.slice());
        moved[i]![j]! += offset;
        return (await run(moved))['value']![0]!;
      };
      const numeric = ((await at(difference)) - (await at(-difference))) / (2 * difference);
      expect(Math.abs(numeric - gradient[j]!), `${name} argument ${i} element ${j}`).toBeLessThan(
        tolerance * largest + 2e-3,
      );
    }
  }
}

const direction = (shape: number[]): Tensor => {
  const size = shape.reduce((product, n) => product * n, 1);
  const stream = randomStream(5, 'direction', size);
  return tensorOf(
    Float32Array.from({ length: size }, () => stream.normal()),
    shape,
  );
};
const random = (purpose: string, shape: number[]) => {
  const stream = randomStream(11, purpose);
  return { shape, values: Float32Array.from({ length: shape.reduce((p, n) => p * n, 1) }, () => stream.normal()) };
};

describe('custom gradients against finite differences', () => {
  it('layerNorm', () =>
    check('layerNorm', [random('x', [3, 7]), random('gain', [7]), random('bias', [7])], (x, gain, bias) =>
      layerNorm(x!, gain!, bias!, 1e-5),
    ));

  it('squared ReLU', () => check('squaredRelu', [random('x', [3, 5])], (x) => squaredRelu(x!)));

  it('mixed values', () =>
    check('mixValues', [random('x', [3, 10]), random('other', [3, 2]), random('mix', [2])], (x, other, mix) =>
      mixValues(x!, other!, mix!),
    ));

  it('gelu', () => check('gelu', [random('x', [3, 5])], (x) => gelu(x!)));

  it('rmsNorm', () =>
    check('rmsNorm', [random('x', [3, 7]), random('gain', [7])], (x, gain) => rmsNorm(x!, gain!, 1e-5)));

  it('swiglu', () => check('swiglu', [random('gate', [3, 5]), random('up', [3, 5])], (gate, up) => swiglu(gate!, up!)));

  it('rotate, the queries of a key head stacked', () => {
    const [B, K, G, T, D] = [1, 2, 3, 5, 4];
    const { model } = tinyConfig({ model: { family: 'llama', width: 8, headSize: D, ropeTheta: 7 } });
    return check('rotate', [random('x', [B, K, G * T, D])], (x) =>
      rotate(x!, rotationOf({ model, batchSize: B, length: T, dropout: null })!, T),
    );
  });

  it.each([
    ['multi-head', { B: 2, T: 3, K: 3, G: 1, D: 2 }],
    ['grouped', { B: 2, T: 3, K: 2, G: 3, D: 2 }],
  ])('splitHeads, %s', (name, sizes) => {
    const columns = (sizes.G + 2) * sizes.K * sizes.D;
    return check(`split ${name.replace(/\W/g, '')}`, [random('qkv', [sizes.B * sizes.T, columns])], (x) => {
      const { query, key, value } = splitHeads(x!, sizes);
      return concat([query, key, value].map((part) => reshape(part, [-1])));
    });
  });

  it.each([
    ['multi-head', 1],
    ['grouped', 3],
  ])('attention, %s', (_, G) => {
    const [B, K, T, D] = [2, 2, 3, 2];
    const args = [random('q', [B, K, G * T, D]), random('k', [B, K, T, D]), random('v', [B, K, T, D])];
    return check(`attend${G}`, args, (q, k, v) => attend(q!, k!, v!, causalMask(T), null));
  });

  it('attention with dropped weights', () => {
    const [B, K, T, D] = [2, 2, 3, 5];
    const stream = randomStream(3, 'kept');
    const kept = Float32Array.from({ length: B * K * T * T }, () => (stream.uniform() < 0.3 ? 0 : 1 / 0.7));
    expect(kept).toContain(0);
    const args = [random('q', [B, K, T, D]), random('k', [B, K, T, D]), random('v', [B, K, T, D])];
    return check('dropped', args, (q, k, v) => attend(q!, k!, v!, causalMask(T), tensorOf(kept, [B, K, T, T])));
  });

  it('attention in blocks, grouped, turned and dropped', () => {
    const [B, T, K, G, D] = [2, 5, 1, 2, 4];
    const { model } = tinyConfig({ model: { family: 'llama', width: 8, headSize: D, ropeTheta: 7 } });
    return check('blocks', [random('rows', [B * T, (G + 2) * K * D])], (rows) => {
      const rotation = rotationOf({ model, batchSize: B, length: T, dropout: null });
      const dropout = { rate: 0.3, seed: tensorOf(Int32Array.of(3, 4), [2]) };
      return attendRows.kernel(rows!, { B, T, K, G, D }, { starts: null, mask: null, rotation, dropout });
    });
  });

  it('gatherRows sums the gradients of a row taken twice', () => {
    const ids = Int32Array.of(4, 1, 4, 0);
    return check('gather', [random('table', [5, 3])], (table) => gatherRows(table!, tensorOf(ids, [4])));
  });

  it('sparseCrossEntropy', () => {
    const targets = Int32Array.of(6, 0, 3);
    return check('loss', [random('logits', [3, 7])], (logits) => sparseCrossEntropy(logits!, tensorOf(targets, [3])));
  });
});

function tensorOf(values: Float32Array | Int32Array, shape: number[]): Tensor {
  return tensor(values, shape, values instanceof Int32Array ? 'int32' : 'float32');
}
