import { describe, expect, it } from 'vitest';
import { dueAt, train, type LoopParts } from '../../src/training/train.ts';

type Intervals = Partial<Record<'evaluation' | 'samples' | 'checkpoints', number | null>>;

/** Names of what is due, with evaluations every 4 steps, samples every 6 and checkpoints every 8, of 18 steps. */
function due(step: number, logged: string[] = [], intervals: Intervals = {}): string {
  const { evaluation, samples, checkpoints } = { evaluation: 4, samples: 6, checkpoints: 8, ...intervals };
  const config = {
    evaluation: { everySteps: evaluation },
    samples: { everySteps: samples },
    checkpoints: { everySteps: checkpoints },
  };
  return Object.entries(dueAt(step, config, 18, new Set(logged)))
    .flatMap(([kind, isDue]) => (isDue ? [kind] : []))
    .join(' ');
}

describe('dueAt', () => {
  it('is what the intervals say', () => {
    expect(Array.from({ length: 12 }, (_, i) => due(i + 1))).toEqual([
      ...['', '', '', 'evaluation', '', 'sample', '', 'evaluation checkpoint', '', '', '', 'evaluation sample'],
    ]);
  });

  it('evaluates before the first update and after the last, whatever the interval', () => {
    for (const evaluation of [4, null])
      expect([due(0, [], { evaluation }), due(18, [], { evaluation })]).toEqual(['evaluation', 'evaluation sample']);
  });

  it('leaves out what is never due, and what a resumed run has in its log already', () => {
    expect(due(8, [], { checkpoints: null })).toBe('evaluation');
    expect(due(8, ['evaluation'])).toBe('checkpoint');
    expect(due(24, ['sample', 'checkpoint'])).toBe('evaluation');
    expect(due(18, ['evaluation', 'sample'])).toBe('');
  });
});

it('a run whose evaluations no longer improve is done, also if it is resumed between two evaluations', async () => {
  const saved: number[] = [];
  const never = { everySteps: null };
  const unused = (): never => expect.fail('nothing else is due');
  const parts: LoopParts = {
    config: { evaluation: { everySteps: 2, patience: 1 }, samples: never, checkpoints: never } as never,
    plan: { steps: 9, stages: [] },
    batches: { next: unused, waitedMs: () => 0, close: async () => undefined },
    programs: { step: unused, evaluate: unused, readState: unused, close: unused } as never,
    sample: unused,
    saves: {
      begin: async ({ step }: { step: number }) => void saved.push(step),
      finished: async () => undefined,
    } as never,
    watch: { add: unused, latest: unused } as never,
    report: unused,
  };
  const validation = { loss: null, bestLoss: 1, bestStep: 2, evaluationsSinceBest: 1 };
  const start = { step: 5, cursor: undefined, validation, logged: new Set<string>() };
  const requests = {
    ...{ signal: new AbortController().signal, takeSave: () => false },
    ...{ stopAt: () => null, pauseReason: () => null },
  };
  const { state, reason, step } = await train(parts, start, requests);
  expect({ state, step, saved }).toEqual({ state: 'done', step: 5, saved: [5] });
  expect(reason).toMatch(/^no better validation loss than 1\.0000 \(step 2\)/);
});
