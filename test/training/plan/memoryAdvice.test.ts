import { describe, expect, it } from 'vitest';
import { explainedOutOfMemory } from '../../../src/training/plan/memoryAdvice.ts';

describe('explainedOutOfMemory', () => {
  it.each([
    // TensorFlow's messages for a tensor that is too large, on a CPU and on a GPU, and V8's for an array.
    'a recorded program failed: OOM when allocating tensor with shape[1048576,1048576] and type float on ' +
      '/job:localhost/replica:0/task:0/device:CPU:0 by allocator mklcpu',
    'a recorded program failed: RESOURCE_EXHAUSTED: failed to allocate memory',
    'Array buffer allocation failed',
  ])('names the keys to lower: %s', (message) => {
    expect(explainedOutOfMemory(new Error(message))).toMatchObject({
      exitCode: 3,
      message: expect.stringMatching(/training\.microBatchSize .*model\.contextLength, then model\.width/),
    });
  });

  it('leaves any other failure as it is', () => {
    const failure = new Error('Incompatible shapes');
    expect(explainedOutOfMemory(failure)).toBe(failure);
  });
});
