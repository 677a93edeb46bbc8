import { fill, mul, sum } from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { openSession } from '../../src/runtime/openSession.ts';
import { firstLossWarning, memoryExplained } from '../../src/training/alarms.ts';

describe('alarms', () => {
  it('explain by the keys that help what TensorFlow says where it cannot allocate', async () => {
    const session = openSession({ mode: 'recorded', device: 'cpu', precision: 'float32', branches: 1 });
    try {
      const program = session.program('tooLarge', { value: { shape: [], dtype: 'float32' } }, ({ value }) => ({
        sum: sum(mul(fill([1 << 20, 1 << 20], 1), value!)), // 4 TiB
      }));
      const failure = await program.run({ value: Float32Array.of(2) }).then(() => undefined, (error: unknown) => error);
      expect(failure).toBeInstanceOf(Error);
      expect(memoryExplained(failure)).toMatchObject({
        exitCode: 3,
        message: expect.stringMatching(/training\.microBatchSize .*model\.contextLength or model\.width/),
      });
    } finally {
      session.close();
    }
  });

  it('leave any other failure as it is', () => {
    const failure = new Error('Incompatible shapes');
    expect(memoryExplained(failure)).toBe(failure);
  });

  it('find a first loss far from that of a model that knows nothing', () => {
    expect(firstLossWarning(Math.log(50_000), 50_000)).toBeUndefined();
    expect(firstLossWarning(22, 50_000)).toContain('ln 50000 = 10.820'); // embeddings with a deviation of 1
    expect(firstLossWarning(2, 50_000)).toContain('the loss before training is 2.000');
  });
});
