import { describe, expect, it } from 'vitest';
import { environmentFailure, wrongInput } from '../../src/errors.ts';
import type { Fact } from '../../src/training/sinks/facts.ts';
import { backgroundSaves } from '../../src/training/saves.ts';
import { afterEvaluation, isExhausted, noEvaluations } from '../../src/training/validationHistory.ts';

/** Saves whose writes end when they are told to. */
function controlledSaves() {
  const facts: Fact[] = [];
  const events: string[] = [];
  const ends: ((error?: Error) => void)[] = [];
  const saves = backgroundSaves<number>(
    async (step) => {
      events.push(`snapshot ${step}`);
      return step;
    },
    (step) => {
      events.push(`write ${step}`);
      return new Promise((resolve, reject) => ends.push((error) => (error ? reject(error) : resolve(`/step-${step}`))));
    },
  );
  return { saves, facts, events, ends, report: (fact: Fact) => void facts.push(fact) };
}

const turn = () => new Promise(setImmediate);

describe('background saves', () => {
  it('go on while training does, and never two at once', async () => {
    const { saves, facts, events, ends, report } = controlledSaves();
    await saves.begin(5, report); // settles before the write ends
    expect(facts.map(({ kind }) => kind)).toEqual(['saving']);
    const second = saves.begin(10, report);
    await turn();
    expect(events).toEqual(['snapshot 5', 'write 5']);
    ends[0]!();
    await second;
    expect(events).toEqual(['snapshot 5', 'write 5', 'snapshot 10', 'write 10']);
    ends[1]!();
    await saves.finished();
    expect(facts.at(-1)).toEqual({ kind: 'checkpoint', step: 10, path: '/step-10' });
  });

  it('report what the disk refuses, try again, and fail only where the last one fails', async () => {
    const { saves, facts, ends, report } = controlledSaves();
    await saves.begin(5, report);
    ends[0]!(environmentFailure('the disk is full'));
    await saves.begin(10, report);
    expect(facts.at(-2)).toEqual({ kind: 'saveFailed', step: 5, message: 'the disk is full' });
    ends[1]!();
    await saves.finished();
    await saves.begin(15, report);
    ends[2]!(environmentFailure('the disk is full'));
    await expect(saves.finished()).rejects.toMatchObject({
      exitCode: 3,
      message: expect.stringContaining('the one before it stays'),
    });
  });

  it('touch nothing where another process has taken the run over, and end it', async () => {
    const events: string[] = [];
    const refuse = async (): Promise<never> => {
      throw wrongInput('it is being written by another');
    };
    const saves = backgroundSaves<number>(
      async (step) => step,
      async () => '/step',
      refuse,
    );
    await expect(saves.begin(5, (fact) => void events.push(fact.kind))).rejects.toThrow('by another');
    expect(events).toEqual([]);
  });

  it('hide no bug', async () => {
    const { saves, ends, report } = controlledSaves();
    await saves.begin(5, report);
    ends[0]!(new Error('a bug'));
    await expect(saves.begin(10, report)).rejects.toThrow('a bug');
  });
});

it('patience counts evaluations since the best; an equal loss is no better', () => {
  let history = noEvaluations;
  for (const [step, loss] of [
    [0, 4],
    [5, 3],
    [10, 3],
    [15, 3.5],
  ] as const)
    history = afterEvaluation(history, step, loss);
  expect(history).toEqual({ loss: 3.5, bestLoss: 3, bestStep: 5, evaluationsSinceBest: 2 });
  expect([isExhausted(history, 2), isExhausted(history, 3), isExhausted(history, null)]).toEqual([true, false, false]);
});
