import { describe, expect, it } from 'vitest';
import { environmentFailure, wrongInput } from '../../src/errors.ts';
import type { Fact } from '../../src/training/sinks/facts.ts';
import { backgroundSaves } from '../../src/training/saves.ts';
import { noEvaluations } from '../../src/training/progress.ts';

/** Saves whose writes end when the test ends them. */
function controlledSaves() {
  const facts: Fact[] = [];
  const events: string[] = [];
  const ends: ((error?: Error) => void)[] = [];
  const saves = backgroundSaves<number>({
    startStep: 3,
    report: (fact) => void facts.push(fact),
    snapshot: async ({ step }) => {
      events.push(`snapshot ${step}`);
      return step;
    },
    write: (step) => {
      events.push(`write ${step}`);
      return new Promise((resolve, reject) => ends.push((error) => (error ? reject(error) : resolve(`/step-${step}`))));
    },
  });
  return { saves, facts, events, ends };
}

const at = (step: number) => ({ step, cursor: undefined, validation: noEvaluations });

const turn = () => new Promise(setImmediate);

describe('background saves', () => {
  it('continue while training does, never two at once', async () => {
    const { saves, facts, events, ends } = controlledSaves();
    await saves.begin(at(5)); // settles before the write ends
    expect(facts.map(({ kind }) => kind)).toEqual(['saving']);
    const second = saves.begin(at(10));
    await turn();
    expect(events).toEqual(['snapshot 5', 'write 5']);
    ends[0]!();
    await second;
    expect(events).toEqual(['snapshot 5', 'write 5', 'snapshot 10', 'write 10']);
    ends[1]!();
    await saves.finished();
    expect(facts.at(-1)).toEqual({ kind: 'checkpoint', step: 10, path: '/step-10' });
  });

  it('go to where the run directory was moved, and end the run there', async () => {
    const written: (string | undefined)[] = [];
    const saves = backgroundSaves<number>({
      startStep: 3,
      report: () => {},
      permit: () => Promise.resolve('/moved'),
      snapshot: ({ step }) => Promise.resolve(step),
      write: (step, moved) => {
        written.push(moved);
        return Promise.resolve(`${moved}/step-${step}`);
      },
    });
    await expect(saves.begin(at(5))).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringMatching(/moved to \/moved .*after step 5\. To continue: clm train --run \/moved --resume/),
    });
    expect(written).toEqual(['/moved']);
  });

  it('report a refusal of the disk, try again, and fail only if the last one fails', async () => {
    const { saves, facts, ends } = controlledSaves();
    await saves.begin(at(5));
    ends[0]!(environmentFailure('the disk is full'));
    await saves.begin(at(10));
    expect(facts.at(-2)).toEqual({ kind: 'saveFailed', step: 5, message: 'the disk is full' });
    ends[1]!();
    await saves.finished();
    await saves.begin(at(15));
    ends[2]!(environmentFailure('the disk is full'));
    await expect(saves.finished()).rejects.toMatchObject({
      exitCode: 3,
      message: expect.stringContaining('the one before it is kept'),
    });
  });

  it('write nothing if another process has taken over the run, and fail', async () => {
    const events: string[] = [];
    const refuse = async (): Promise<never> => {
      throw wrongInput('it is being written by another');
    };
    const saves = backgroundSaves<number>({
      startStep: 0,
      report: (fact) => void events.push(fact.kind),
      permit: refuse,
      snapshot: async ({ step }) => step,
      write: async () => '/step',
    });
    await expect(saves.begin(at(5))).rejects.toThrow('by another');
    expect(events).toEqual([]);
  });

  it('save before a failure to read the corpus, which then says so; once is enough', async () => {
    const { saves, facts, ends } = controlledSaves();
    const failure = wrongInput('the file is gone');
    await expect(saves.failAfterSaving(failure, at(3))).rejects.toMatchObject({
      exitCode: 2,
      message: 'the file is gone\nThe run was saved after step 3. Once this is fixed, continue it with --resume.',
    });
    expect(facts).toEqual([]);
    const failing = saves.failAfterSaving(failure, at(5));
    await turn();
    ends[0]!();
    await expect(failing).rejects.toThrow('The run was saved after step 5.');
    expect(facts.map(({ kind }) => kind)).toEqual(['saving', 'checkpoint']);
    const failingSave = saves.failAfterSaving(failure, at(6));
    await turn();
    ends[1]!(environmentFailure('the disk is full'));
    await expect(failingSave).rejects.toBe(failure);
  });

  it('hide no bug', async () => {
    const { saves, ends } = controlledSaves();
    await saves.begin(at(5));
    ends[0]!(new Error('a bug'));
    await expect(saves.begin(at(10))).rejects.toThrow('a bug');
  });
});
