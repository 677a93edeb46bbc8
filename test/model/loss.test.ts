import { mul, tensor, valueAndGrads, type Tensor } from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { summedLoss } from '../../src/model/loss.ts';
import { chunkRows } from '../../src/model/parameters.ts';
import { randomStream } from '../../src/random.ts';
import { openSession } from '../../src/runtime/openSession.ts';
import type { Mode } from '../../src/runtime/session.ts';

const [N, C, V] = [11, 5, 17];
const stream = randomStream(3, 'loss');
const normals = (count: number) => Float32Array.from({ length: count }, () => stream.normal());
const hidden = normals(N * C);
const head = normals(V * C);
const targets = Int32Array.from({ length: N }, () => stream.below(V));
// padding in two chunks
const weights = Float32Array.from({ length: N }, (_, i) => (i === 4 || i === 10 ? 0 : 0.5 + i));

/** Loss and gradients of half the loss, with so many rows of logits held at a time. */
async function lossOf(mode: Mode, rows: number, precision: 'float32' | 'bfloat16' = 'float32') {
  const session = openSession({ mode, precision, device: 'cpu' });
  const program = session.program('loss', {}, () => {
    const half = (x: Tensor, w: Tensor): Tensor =>
      mul(summedLoss(x, w, tensor(targets), tensor(weights), { isTrained: true, softCap: null, rows }), 0.5);
    const inputs = [tensor(hidden, [N, C]), tensor(head, [V, C])];
    const { value, grads } = valueAndGrads(half)(inputs);
    const scored = summedLoss(inputs[0]!, inputs[1]!, tensor(targets), tensor(weights), {
      isTrained: false,
      softCap: null,
      rows,
    });
    return { value, dHidden: grads[0]!, dHead: grads[1]!, scored };
  });
  const result = await program.run({});
  session.close();
  return result;
}

describe('summedLoss', () => {
  it.each([
    ['recorded', 3],
    ['recorded', 1],
    ['eager', 4],
  ] as const)('gives in chunks of rows what it gives whole: %s, %i rows', async (mode, rows) => {
    expect(N % rows === 0).toBe(rows === 1); // an uneven last chunk, too
    const [whole, chunks] = [await lossOf(mode, N), await lossOf(mode, rows)];
    expect(whole.value[0]).toBeGreaterThan(10);
    for (const name of ['value', 'scored', 'dHidden', 'dHead'] as const) {
      const scale = Math.max(...whole[name].map(Math.abs));
      chunks[name].forEach((value, i) =>
        expect(Math.abs(value - whole[name][i]!) / scale, `${name}[${i}]`).toBeLessThan(1e-6),
      );
    }
    expect(chunks.dHidden.slice(4 * C, 5 * C)).toEqual(new Float32Array(C)); // padding moves nothing
  });

  it('has the gradient of the softmax: probability minus one-hot', async () => {
    const { dHead } = await lossOf('recorded', 3);
    const expected = new Float64Array(V * C);
    for (let n = 0; n < N; n++) {
      const logits = Array.from({ length: V }, (_, v) =>
        Array.from({ length: C }, (_, c) => hidden[n * C + c]! * head[v * C + c]!).reduce((a, b) => a + b),
      );
      const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
      logits.forEach((logit, v) => {
        const dLogit = (Math.exp(logit) / total - (v === targets[n] ? 1 : 0)) * weights[n]! * 0.5;
        for (let c = 0; c < C; c++) expected[v * C + c]! += dLogit * hidden[n * C + c]!;
      });
    }
    dHead!.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 4));
  });

  it('holds all logits of a small vocabulary, about equal chunks of a large one, at least a row', () => {
    expect(chunkRows(768, 65)).toBe(768);
    expect(chunkRows(512, 50_257, 2 ** 24)).toBe(256);
    expect(chunkRows(100, 7, 210)).toBe(25);
    expect(chunkRows(3, 1000, 10)).toBe(1);
  });
});
