import { describe, expect, it } from 'vitest';
import { firstLossWarning, memoryExplained } from '../../src/training/alarms.ts';

describe('alarms', () => {
  it.each([
    // As TensorFlow says it of a tensor that is too large, on a CPU and on a GPU, and V8 of an array.
    'a recorded program failed: OOM when allocating tensor with shape[1048576,1048576] and type float on /job:localhost/replica:0/task:0/device:CPU:0 by allocator mklcpu',
    'a recorded program failed: RESOURCE_EXHAUSTED: failed to allocate memory',
    'Array buffer allocation failed',
  ])('explain by the keys that help: %s', (message) => {
    expect(memoryExplained(new Error(message))).toMatchObject({
      exitCode: 3,
      message: expect.stringMatching(/training\.microBatchSize .*model\.contextLength or model\.width/),
    });
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
