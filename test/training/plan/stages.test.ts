/** Stages of the batch size and the context length: where they begin, how much is trained on, what is refused. */
import { describe, expect, it } from 'vitest';
import type { Config } from '../../../src/config/schema.ts';
import { trainedAmount } from '../../../src/run/environment.ts';
import { planRun } from '../../../src/training/plan/plan.ts';
import { planWarnings } from '../../../src/training/plan/planWarnings.ts';
import { refuseMovedStages, runStages, stepsForTokens } from '../../../src/training/plan/stages.ts';
import { useConfigFolder } from '../../config/configFolder.ts';
import { tinyConfig } from '../tinyRun.ts';

const growing: Partial<Config['training']> = {
  microBatchesPerStep: [
    { from: 0, value: 1 },
    { from: '50%', value: 4 },
  ],
  contextLength: [
    { from: 0, value: 2 },
    { from: 6, value: 4 },
    { from: 15, value: 8 },
  ],
};
const config = tinyConfig({ model: { contextLength: 8 }, training: { ...growing, microBatchSize: 3, steps: 20 } });
const size = { vocabularySize: 13, trainingTokens: 5000 };

describe('the stages of a run', () => {
  it('begin at steps and at shares of the run', () => {
    const facts = runStages(config, 20).map((stage) => Object.values(stage));
    expect(facts).toEqual([
      [0, 1, 2],
      [6, 1, 4],
      [10, 4, 4],
      [15, 4, 8],
    ]);
    expect(runStages(config, 12).map(({ fromStep }) => fromStep)).toEqual([0, 6]); // both borders at step 6
  });

  it('count tokens, epochs and FLOPs by stage', () => {
    const plan = planRun(config, size);
    const tokens = 10 * 24 + 10 * 96; // a micro-batch has 3 windows of 8 tokens, whatever the context
    expect(plan).toMatchObject({ steps: 20, tokens, tokensPerStep: tokens / 20, epochs: tokens / 8 / 624 });
    const attention = (T: number): number => 12 * 2 * 14 * T;
    const perToken = plan.stages.map(({ flopsPerToken }) => flopsPerToken);
    expect(perToken.map((each) => each - perToken[0]!)).toEqual([2, 4, 4, 8].map((T) => attention(T) - attention(2)));
    const flops = 6 * 24 * perToken[0]! + 4 * 24 * perToken[1]! + 5 * 96 * perToken[2]! + 5 * 96 * perToken[3]!;
    expect(plan.flopsPerToken * plan.tokens).toBeCloseTo(flops, 3);
    expect(trainedAmount(plan, 12, 'tokens')).toBe(10 * 24 + 2 * 96);
    expect(trainedAmount(plan, 20, 'flops')).toBeCloseTo(flops, 3);
  });

  it('give a run of tokens the fewest steps that are enough', () => {
    for (const tokens of [1, 24, 25, 1000, 4321]) {
      const steps = stepsForTokens(config, tokens);
      const trained = (length: number) =>
        planRun({ ...config, training: { ...config.training, steps: length } } as Config, size).tokens;
      expect(trained(steps)).toBeGreaterThanOrEqual(tokens);
      if (steps > 1) expect(trained(steps - 1)).toBeLessThan(tokens);
    }
  });

  it('are warned of if they have no step, or leave learned positions untrained', () => {
    expect(planWarnings(config, 14).join('\n')).toMatch(
      /contextLength is never 8: the stage from 15 has no step .* 14/,
    );
    expect(planWarnings(config, 20).join('\n')).toMatch(/a context of 8 are not trained before step 16/);
    expect(planWarnings(tinyConfig(), 20)).toEqual([]);
  });

  it('must not move below steps that have been made', () => {
    refuseMovedStages({ config, steps: 20, made: 10 }, config, 30);
    expect(() => refuseMovedStages({ config, steps: 20, made: 11 }, config, 30)).toThrow('--set training.steps=20');
  });
});

describe('stages that no run can have', () => {
  const folder = useConfigFolder();
  it.each([
    ['microBatchesPerStep: [{ from: 5, value: 1 }]', 'training.microBatchesPerStep[0].from must be 0'],
    [
      'microBatchesPerStep: [{ from: 0, value: 1 }, { from: 50%, value: 2 }, { from: 90, value: 4 }]',
      'begin at steps or at shares of the run, not at both',
    ],
    [
      'microBatchesPerStep: [{ from: 0, value: 1 }, { from: 9, value: 2 }, { from: 9, value: 4 }]',
      'must be in ascending order',
    ],
    ['microBatchesPerStep: 0', 'training.microBatchesPerStep must be at least 1'],
    ['microBatchesPerStep: many', 'must be a whole number of at least 1, or stages such as [{ from: 0, value: 1 }, '],
    ['contextLength: [{ from: 0, value: 24 }, { from: 9, value: 64 }]', '(24) must divide model.contextLength (64)'],
    ['contextLength: [{ from: 0, value: 16 }]', '(16), the last, must be model.contextLength (64)'],
  ])('%s', (line, message) => {
    expect(folder.refusal(`corpus: { sources: [{ path: a.txt }] }\ntraining: { ${line} }\n`)).toContain(message);
  });
});
