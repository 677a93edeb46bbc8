import { describe, expect, it } from 'vitest';
import { configSchema } from '../../../src/config/schema.ts';
import type { Config } from '../../../src/config/schema.ts';
import { planWarnings, repetitionWarning } from '../../../src/training/plan/planWarnings.ts';

type Sections = { [K in 'schedule' | 'evaluation' | 'checkpoints']?: Partial<Config[K]> };

/** No warm-up, and a cosine from 1e-3 to 1e-4, unless the sections say otherwise. */
const config = (sections: Sections = {}): Config =>
  configSchema.parse({
    name: 'planned',
    corpus: { sources: [{ path: '/nowhere' }] },
    ...sections,
    schedule: { warmupSteps: 0, ...sections.schedule },
  }) as Config;

describe('a warm-up', () => {
  it('as long as the run or longer never reaches the rate of the config', () => {
    const warmup = { schedule: { warmupSteps: 100 } };
    for (const steps of [1, 50, 100])
      expect(planWarnings(config(warmup), steps)).toEqual([
        expect.stringContaining(`schedule.warmupSteps is 100, and the run has ${steps} step`),
      ]);
    expect(planWarnings(config(warmup), 50)[0]).toContain('a learning rate of 4.950e-4');
    expect(planWarnings(config(warmup), 101)).toEqual([]);
  });

  it('that leaves too few steps to a decay of its own length', () => {
    const schedule = { kind: 'warmup-stable-decay', warmupSteps: 60, decaySteps: 50 } as const;
    expect(planWarnings(config({ schedule }), 100)).toEqual([expect.stringContaining('takes only the last 40')]);
    expect(planWarnings(config({ schedule }), 110)).toEqual([]);
  });
});

describe('keepBest', () => {
  const warnings = (evaluations: number | null, saves: number | null, steps: number, keepBest: number | null = 1) =>
    planWarnings(
      config({ evaluation: { everySteps: evaluations }, checkpoints: { everySteps: saves, keepBest } }),
      steps,
    );

  it.each([
    [30, 50, 140, 'no evaluation and no checkpoint are at the same step'],
    [30, 50, 150, 'no evaluation and no checkpoint are at the same step'], // 150 is the last step
    [30, 50, 400, 'before the last step 2 of 7 checkpoints and 13 evaluations'],
    [250, 500, 400, 'no evaluation and no checkpoint are at the same step'],
    [100, null, 400, 'checkpoints.everySteps is null'],
    [null, 100, 400, 'evaluation.everySteps is null. Set it to 100'],
  ])('with evaluations every %s, checkpoints every %s of %s steps', (evaluations, saves, steps, text) => {
    expect(warnings(evaluations, saves, steps)).toEqual([expect.stringContaining(text)]);
    expect(warnings(evaluations, saves, steps, null)).toEqual([]);
  });

  it.each([
    [50, 50, 140],
    [50, 100, 140],
    [100, 50, 140],
    [250, 500, 2000],
    [250, 500, 200], // neither is due before the end
  ])('has nothing to say with %i and %i of %i steps', (evaluations, saves, steps) => {
    expect(warnings(evaluations, saves, steps)).toEqual([]);
  });
});

describe('the learning rate of a run that is resumed', () => {
  const resumed = (former: Config, steps: number, now: Config, newSteps: number, made = steps) =>
    planWarnings(now, newSteps, { config: former, steps, made });

  it('jumps where the schedule is stretched', () => {
    expect(resumed(config(), 100, config(), 200)).toEqual([
      expect.stringContaining('rate rises from 1.002e-4 to 5.500e-4 at step 101'),
    ]);
    expect(resumed(config({ schedule: { kind: 'linear', finalLearningRate: 0 } }), 100, config(), 200)[0]).toContain(
      'rises from 1.000e-5 to 5.500e-4',
    );
  });

  it('falls where another schedule takes over', () => {
    const constant = config({ schedule: { kind: 'constant' } });
    const [warning] = resumed(constant, 200, config(), 200, 150);
    expect(warning).toContain('falls from 1.000e-3 to');
    expect(warning).toContain('the schedule is another one than before');
  });

  it.each(['cosine', 'linear', 'constant', 'warmup-stable-decay', 'inverse-square-root'] as const)(
    'goes on as planned: %s',
    (kind) => {
      const same = config({ schedule: { kind, warmupSteps: 20 } });
      for (const made of [1, 10, 20, 50, 99, 100]) expect(resumed(same, 100, same, 100, made)).toEqual([]);
    },
  );

  it('is left alone by more steps where the schedule does not depend on them', () => {
    for (const kind of ['constant', 'inverse-square-root'] as const)
      expect(resumed(config({ schedule: { kind } }), 100, config({ schedule: { kind } }), 200)).toEqual([]);
  });
});

describe('a text that is read very often', () => {
  it('draws a remark from a hundred epochs on, unless one batch is overfitted on purpose', () => {
    const training = (overfitBatch: boolean) => ({ training: { ...config().training, overfitBatch } });
    expect(repetitionWarning(training(false), 1000.2)).toContain('reads its training text 1,000 times');
    expect(repetitionWarning(training(false), 99)).toBeUndefined();
    expect(repetitionWarning(training(true), 1000)).toBeUndefined();
  });
});
