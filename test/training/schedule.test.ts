import { describe, expect, it } from 'vitest';
import { learningRateAt } from '../../src/training/schedule.ts';

describe('learningRateAt', () => {
  const schedule = { kind: 'cosine', warmupSteps: 4, finalLearningRate: 0.1 } as const;
  const rate = (update: number) => learningRateAt(schedule, 1, 12, update);

  it('rises in equal steps, never from zero', () => {
    expect([0, 1, 2, 3].map(rate)).toEqual([0.2, 0.4, 0.6, 0.8]);
  });

  it('falls by a cosine from the peak to the final rate', () => {
    expect(rate(4)).toBe(1);
    expect(rate(8)).toBeCloseTo(0.55, 12); // half way
    expect(rate(12)).toBe(0.1);
    expect(rate(100)).toBe(0.1);
  });

  it('stands a run that is all warm-up', () => {
    expect(learningRateAt({ ...schedule, warmupSteps: 5 }, 1, 5, 4)).toBeCloseTo(5 / 6);
  });
});
