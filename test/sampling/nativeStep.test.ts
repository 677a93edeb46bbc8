import { expect, it } from 'vitest';
import { initialParameters, parameterTable } from '../../src/model/parameters.ts';
import { openSession } from '../../src/runtime/openSession.ts';
import { openDecoding } from '../../src/sampling/decoding.ts';
import { storageOf } from '../../src/sampling/weightStorage.ts';
import { tinyConfig, vocabularySize as V } from '../training/tinyRun.ts';

const model = { width: 48, heads: 6, keyValueHeads: 2, contextLength: 100, biases: true } as const;
const config = tinyConfig({ model });
const table = parameterTable(config.model, V);
const prompt = Array.from({ length: 20 }, (_, i) => (i * i) % V);

/** Logits after the prompt and each of a few more tokens; with a third slot that gets none. */
async function logitsOf(weights: 'float32' | 'bfloat16' | 'int8', isTraining: boolean): Promise<Float32Array[]> {
  const session = openSession({ mode: 'recorded', precision: 'float32', device: 'cpu' });
  const values = initialParameters(table, 3);
  await session.addVariables(values.map((each) => ({ ...each, ...storageOf(each, weights) })));
  const decoding = openDecoding(session, config.model, table, 3, { isTraining });
  expect(decoding.takeTimes() === null).toBe(isTraining);
  await decoding.prefill(0, prompt.slice(0, 7));
  const rows = [await decoding.prefill(2, prompt)];
  // The cache grows from 64 positions to 100.
  for (let i = 0; i < 60; i++)
    rows.push(
      (
        await decoding.step(
          new Map([
            [0, 1],
            [2, (i * 7) % V],
          ]),
        )
      ).get(2)!,
    );
  await decoding.copy(2, 1, 70);
  rows.push((await decoding.step(new Map([[1, 5]]))).get(1)!);
  if (!isTraining) expect(decoding.takeTimes()!.find(({ part }) => part === 'attention')!.count).toBe(2 * 61);
  session.close();
  return rows;
}

// Rounding differs: sums of attention; and with int8, rows that are rounded to other blocks.
it.each([
  ['float32', 1e-5],
  ['bfloat16', 1e-5],
  ['int8', 1e-2],
] as const)('a step of clm has the logits of one of TensorFlow, weights %s', async (weights, tolerance) => {
  const [own, recorded] = [await logitsOf(weights, false), await logitsOf(weights, true)];
  expect(own.length).toBe(recorded.length);
  for (const [i, row] of own.entries()) {
    const scale = Math.max(...recorded[i]!.map(Math.abs));
    expect(Math.max(...row.map((logit, n) => Math.abs(logit - recorded[i]![n]!)))).toBeLessThan(tolerance * scale);
    expect(Math.max(...row)).not.toBe(Math.min(...row));
  }
  expect(own[1]).not.toEqual(own[2]);
});
