import { appendFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { decide, isBeforeEnd, pauseOf, shareTrained, stepAt } from '../../src/experiments/sweep/halving.ts';
import { halvingText } from '../../src/experiments/sweep/halvingTexts.ts';
import type { Halving } from '../../src/experiments/sweep/sweepFile.ts';
import { useTemporaryFolder } from '../temporaryFolder.ts';
import { writeRun } from './runFolders.ts';

const folder = useTemporaryFolder();
const directoryOf = (name: string): string => path.join(folder(), name);
const halving: Halving = { factor: 3, unit: 'steps', from: 4 };

/** A run of 40 steps, 7 tokens each, with validation losses by step. */
function run(setting: string, seed: number, evaluations: [number, number][], steps = 40) {
  const name = `${setting}${seed}`;
  writeRun(directoryOf(name), { evaluations, losses: [3] });
  return { name, setting, plan: { steps, tokensPerStep: 7 } };
}

describe('a decision of halving', () => {
  const rung = { unit: 'steps', amount: 4 } as const;

  it('keeps the settings with the lowest mean loss of their seeds at the rung, not later', () => {
    const runs = [
      run('a', 1, [[4, 2]]), // mean 2.5, although a1 alone is best
      run('a', 2, [[4, 3]]),
      run('b', 1, [[4, 2.4]]),
      run('b', 2, [[4, 2.2]]),
      run('c', 1, [
        [4, 2.6],
        [12, 1], // after the rung
      ]),
      run('c', 2, [[4, 2.6]]),
    ];
    const { event, isNew } = decide(rung, halving, runs, folder(), directoryOf);
    expect(isNew).toBe(true);
    expect(event.kept).toEqual(['b1', 'b2']);
    expect(event.dropped).toEqual(['a1', 'a2', 'c1', 'c2']);
    expect(event.losses).toEqual({ a1: 2, a2: 3, b1: 2.4, b2: 2.2, c1: 2.6, c2: 2.6 });
  });

  it('puts a setting last that has no loss for one seed, and the first of equal ones first', () => {
    const runs = [run('x', 1, [[4, 1]]), run('x', 2, []), run('y', 1, [[4, 2]]), run('z', 1, [[4, 2]])];
    const { event } = decide(rung, halving, runs, folder(), directoryOf);
    expect(event.kept).toEqual(['y1']);
    expect(event.losses['x2']).toBeNull();
  });

  it('stays as it was logged for the same runs, and is made again for others', () => {
    const runs = [run('p', 1, [[4, 2]]), run('q', 1, [[4, 1]])];
    const logged = { kind: 'halving', unit: 'steps', amount: 4, kept: ['p1'], dropped: ['q1'], losses: {} };
    appendFileSync(path.join(folder(), 'sweep.jsonl'), `${JSON.stringify(logged)}\n`);
    const again = decide(rung, halving, runs, folder(), directoryOf);
    expect([again.isNew, again.event.kept]).toEqual([false, ['p1']]);
    const more = decide(rung, halving, [...runs, run('r', 1, [[4, 3]])], folder(), directoryOf);
    expect([more.isNew, more.event.kept]).toEqual([true, ['q1']]);
    expect(decide({ ...rung, amount: 12 }, halving, runs, folder(), directoryOf).isNew).toBe(true);
  });
});

describe('the rungs of halving', () => {
  const runs = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((setting) => ({
    ...{ name: setting, setting },
    plan: { steps: 40, tokensPerStep: 7 },
  }));

  it('are as far apart as the factor says, and share out the steps accordingly', () => {
    expect(halvingText(halving, runs)).toBe('7 settings to 4 steps, 3 to 12 steps, 1 to the end');
    expect(shareTrained(halving, runs)).toBeCloseTo((7 * 4 + 3 * 8 + 1 * 28) / (7 * 40), 12);
  });

  it('of tokens are the step that has them, and none is at or beyond the end', () => {
    const [first] = runs;
    expect(stepAt({ unit: 'tokens', amount: 30 }, first!.plan)).toBe(5);
    expect(pauseOf({ unit: 'tokens', amount: 30 }, first!)).toEqual({ text: '5' });
    expect(pauseOf({ unit: 'steps', amount: 40 }, first!)).toBeUndefined();
    expect(isBeforeEnd({ unit: 'tokens', amount: 280 }, runs)).toBe(false);
    expect(pauseOf({ unit: 'time', amount: 1500 }, first!)).toEqual({ text: '1.5s' });
  });
});
