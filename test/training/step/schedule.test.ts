import { describe, expect, it } from 'vitest';
import { learningRateAt, type ScheduleConfig } from '../../../src/training/step/schedule.ts';

/** Warm-up 4, run 12, peak 1, final 0.1. */
const rates = (changes: Partial<ScheduleConfig>, updates: number[]): number[] => {
  const schedule: ScheduleConfig = {
    kind: 'cosine',
    warmupSteps: 4,
    finalLearningRate: 0.1,
    decaySteps: null,
    ...changes,
  };
  return updates.map((update) => learningRateAt(schedule, 1, 12, update));
};
const close = (actual: number[], expected: number[]) =>
  actual.forEach((rate, i) => expect(rate).toBeCloseTo(expected[i]!, 12));

describe('learningRateAt', () => {
  it.each(['cosine', 'linear', 'constant', 'warmup-stable-decay', 'inverse-square-root'] as const)(
    '%s rises in equal steps, never from zero, and stands at the peak after the warm-up',
    (kind) => {
      expect(rates({ kind }, [0, 1, 2, 3, 4])).toEqual([0.2, 0.4, 0.6, 0.8, 1]);
      expect(rates({ kind, warmupSteps: 0 }, [0])).toEqual([1]);
      expect(learningRateAt({ kind, warmupSteps: 5, finalLearningRate: null, decaySteps: null }, 1, 5, 4)).toBeCloseTo(
        5 / 6,
      );
    },
  );

  it('cosine falls to the final rate and stays there', () => {
    close(rates({}, [4, 8, 12, 100]), [1, 0.55, 0.1, 0.1]);
    close(rates({ finalLearningRate: 0 }, [6, 10]), [(1 + Math.SQRT1_2) / 2, (1 - Math.SQRT1_2) / 2]);
  });

  it('linear falls in equal steps', () => {
    close(rates({ kind: 'linear' }, [4, 6, 8, 10, 12, 13]), [1, 0.775, 0.55, 0.325, 0.1, 0.1]);
  });

  it('constant stays', () => {
    expect(rates({ kind: 'constant', finalLearningRate: null }, [5, 11, 12, 1e6])).toEqual([1, 1, 1, 1]);
  });

  it('warmup-stable-decay stays, then falls in its last steps', () => {
    close(rates({ kind: 'warmup-stable-decay', decaySteps: 3 }, [5, 9, 10, 11, 12, 13]), [1, 1, 0.7, 0.4, 0.1, 0.1]);
    // A fifth of 12 steps is 2; more decay than is left after the warm-up begins after it.
    close(rates({ kind: 'warmup-stable-decay' }, [10, 11, 12]), [1, 0.55, 0.1]);
    close(rates({ kind: 'warmup-stable-decay', decaySteps: 100 }, [3, 4, 8, 12]), [0.8, 1, 0.55, 0.1]);
  });

  it('inverse-square-root halves when the updates are four times the warm-up', () => {
    close(rates({ kind: 'inverse-square-root' }, [4, 16, 36, 100]), [1, 0.5, 1 / 3, 0.2]);
  });

  it('takes warm-up and decay as shares of the run, rounded to whole steps', () => {
    const updates = Array.from({ length: 13 }, (_, update) => update);
    for (const kind of ['cosine', 'warmup-stable-decay'] as const) {
      const inSteps = rates({ kind, warmupSteps: 2, decaySteps: 5 }, updates);
      expect(rates({ kind, warmupSteps: '17.5%', decaySteps: '40%' }, updates)).toEqual(inSteps); // 2.1 and 4.8 steps
      expect(rates({ kind, warmupSteps: 3, decaySteps: 5 }, updates)).not.toEqual(inSteps);
    }
    expect(rates({ warmupSteps: '0%' }, [0])).toEqual([1]);
  });

  it('falls to a tenth if no final rate is given', () => {
    close(rates({ kind: 'linear', finalLearningRate: null }, [8, 12]), [0.55, 0.1]);
  });
});
