import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { compareToLoss } from '../../../src/experiments/comparison/toLoss.ts';
import { readRunHistory } from '../../../src/experiments/runHistory.ts';
import { useTemporaryFolder } from '../../temporaryFolder.ts';
import { writeRun } from '../runFolders.ts';

const folder = useTemporaryFolder();

/** A run of 8 steps with 10 tokens, 60 FLOPs per token and 100 ms a step. */
function history(rate: number, seed: number, evaluations: [number, number][], texts = ['text']) {
  const directory = path.join(folder(), `r${rate}s${seed}${texts.join('')}`);
  const config = `seed: ${seed}\noptimizer: { learningRate: ${rate} }\n`;
  return readRunHistory(writeRun(directory, { losses: Array(8).fill(3), evaluations, config, texts }));
}

describe('what runs need to come to a loss', () => {
  it('is interpolated between two evaluations, in each unit', () => {
    const [group] = compareToLoss(
      [
        history(1, 1, [
          [0, 4],
          [4, 3],
          [8, 2],
        ]),
      ],
      2.5,
      'time',
    ).groups;
    const { reached } = group!.runs[0]!;
    expect(reached).toEqual({ steps: 6, tokens: 60, flops: 360, time: 600 });
  });

  it('counts the first time only, and is nothing for a run that starts there', () => {
    const passing = history(1, 1, [
      [0, 4],
      [2, 2],
      [4, 3],
      [8, 1],
    ]);
    expect(compareToLoss([passing], 3, 'steps').groups[0]!.runs[0]!.reached!.steps).toBe(1);
    const low = history(2, 1, [
      [0, 1.5],
      [8, 1],
    ]);
    expect(compareToLoss([low], 3, 'steps').groups[0]!.runs[0]!.reached!.steps).toBe(0);
  });

  it('is tested by pairs of seeds against the setting that needs least', () => {
    const runs = [
      history(1, 1, [
        [0, 4],
        [8, 0],
      ]), // 3 at step 2
      history(1, 2, [
        [0, 5],
        [8, 1],
      ]), // 3 at step 4
      history(2, 1, [
        [0, 4],
        [4, 2],
        [8, 1],
      ]), // 3 at step 2, and so on: 1 and 1.5 steps fewer
      history(2, 2, [
        [0, 5],
        [2, 3],
        [8, 1],
      ]),
    ];
    const { groups, differences } = compareToLoss(runs, 2, 'steps');
    expect(groups.map(({ values, amounts }) => [values['optimizer.learningRate'], amounts.steps!.mean])).toEqual([
      [2, 4.5],
      [1, 5],
    ]);
    expect(groups.map(({ runs: own }) => own.map(({ reached }) => reached!.steps))).toEqual([
      [4, 5],
      [4, 6],
    ]);
    const [difference] = differences;
    expect(difference).toMatchObject({ method: 'paired', n: [2, 2], difference: 0.5 });
    // Of the differences 0 and 1: t is 1 with one degree of freedom, and P(|T| > 1) is a half.
    expect(difference!.p).toBeCloseTo(0.5, 10);
  });

  it('ranks a setting last, untested, of which a seed does not come to the loss', () => {
    const runs = [
      history(1, 1, [
        [0, 4],
        [2, 1],
      ]),
      history(1, 2, [
        [0, 4],
        [8, 3],
      ]),
      history(2, 1, [
        [0, 4],
        [8, 1],
      ]),
      history(2, 2, [
        [0, 4],
        [8, 1.5],
      ]),
    ];
    const { groups, differences } = compareToLoss(runs, 2, 'time');
    expect(groups.map(({ values, reached }) => [values['optimizer.learningRate'], reached])).toEqual([
      [2, 2],
      [1, 1],
    ]);
    expect(differences).toEqual([null]);
  });

  it('is not ranked if the validation texts differ', () => {
    const runs = [
      history(1, 1, [
        [0, 4],
        [8, 1],
      ]),
      history(
        2,
        1,
        [
          [0, 4],
          [4, 1],
        ],
        ['other'],
      ),
    ];
    const { isComparable, groups } = compareToLoss(runs, 2, 'time');
    expect(isComparable).toBe(false);
    expect(groups[0]!.values['optimizer.learningRate']).toBe(1);
  });
});
