import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { stepsWithin } from '../../../../src/cli/commands/train/timeBudget.ts';
import { loadConfig, setsLength } from '../../../../src/config/load.ts';
import { learningRateAt } from '../../../../src/training/step/schedule.ts';
import { clm } from '../../clm.ts';

let folder: string;
const at = (name: string) => path.join(folder, name);
const configOf = (run: string) => parse(readFileSync(at(`${run}/config.yaml`), 'utf8'));
const updatesOf = (run: string) =>
  readFileSync(at(`${run}/metrics.jsonl`), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { kind: string; step: number; loss: number; learningRate: number })
    .filter(({ kind }) => kind === 'step');

beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'clm-time-'));
  writeFileSync(at('text.txt'), 'The cat sat on the mat. '.repeat(60));
  writeFileSync(
    at('a.yaml'),
    `corpus: { sources: [{ path: text.txt }] }
tokenizer: { kind: bytes }
model: { layers: 1, heads: 2, width: 16, contextLength: 8 }
training: { microBatchSize: 3 }
optimizer: { learningRate: 1e-9 }
schedule: { warmupSteps: 2 }
evaluation: { everySteps: 4 }
samples: { everySteps: null }
`,
  );
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('--max-time', () => {
  it('plans for the start, steps, evaluations and samples', () => {
    const planned = (set: string[], leftMs: number): number =>
      stepsWithin(
        leftMs,
        {
          config: loadConfig(at('a.yaml'), { set: ['checkpoints.everySteps=null', ...set] }),
          plan: { tokensPerStep: 100, flopsPerToken: 6e6, parameters: 1e6 },
          validationTokens: 2000, // 7.6 steps
        },
        { msPerStep: 10, prepareMs: 400 },
      );
    const none = ['evaluation.everySteps=null'];
    // 95 % of 100 s, less 2.615 s of start, two evaluations of 76 ms, and 90 ms for the last checkpoint.
    expect(planned(none, 100_000)).toBe(9214);
    expect(planned(['evaluation.everySteps=6'], 100_000)).toBe(4068); // 7.6 steps for every 6
    expect(planned([...none, 'samples.everySteps=10', 'samples.maxTokens=100'], 100_000)).toBeLessThan(5800);
    expect(planned(none, 2000)).toBe(0);
  });

  it('sets the length only if the config and the flags do not', () => {
    expect(setsLength(at('a.yaml'), [])).toBe(false);
    expect(setsLength(at('a.yaml'), ['training.epochs=2'])).toBe(true);
    expect(setsLength({ keys: { training: { tokens: 100 } } }, [])).toBe(true);
    expect(setsLength({ keys: { training: { tokens: 100 } } }, ['training.tokens=null'])).toBe(false);
  });

  // With a learning rate of nearly 0, patience ends the runs long before the hour.
  it('sets the steps and with them the schedule; a resume keeps them and equals a run with that length', async () => {
    const args = ['train', at('a.yaml'), '--quiet', '--max-time', '1h', '--set', 'evaluation.patience=1'];
    const first = await clm([...args, '--run', at('timed')]);
    expect(first).toMatchObject({ code: 0 });
    const { steps, tokens, epochs } = configOf('timed').training;
    expect({ tokens, epochs }).toEqual({ tokens: null, epochs: null });
    expect(steps).toBeGreaterThan(100);
    const { optimizer, schedule } = configOf('timed');
    for (const { step, learningRate } of updatesOf('timed'))
      expect(learningRate).toBe(learningRateAt(schedule, optimizer.learningRate, steps, step - 1));

    const resumed = await clm([...args, '--run', at('timed'), '--resume', '--set', 'evaluation.patience=3', '--json']);
    expect(resumed.code).toBe(0);
    expect(configOf('timed').training.steps).toBe(steps);
    const straight = ['train', at('a.yaml'), '--quiet', '--run', at('straight')];
    const set = ['--set', 'evaluation.patience=3', '--set', `training.steps=${steps}`];
    expect((await clm([...straight, ...set])).code).toBe(0);
    const made = updatesOf('timed').map(({ step, loss, learningRate }) => [step, loss, learningRate]);
    expect(made).toEqual(updatesOf('straight').map(({ step, loss, learningRate }) => [step, loss, learningRate]));
    const result = JSON.parse(resumed.stdout.trimEnd().split('\n').at(-1)!);
    expect(result).toMatchObject({ state: 'done', step: made.length, startStep: expect.any(Number) });
    expect(result.startStep).toBeGreaterThan(0);
    expect(result.startStep).toBeLessThan(result.step);
    expect(result.trainedMs).toBeGreaterThan(result.elapsedMs);
  });
});
