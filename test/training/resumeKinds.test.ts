import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadCheckpoint, type Checkpoint } from '../../src/checkpoint/checkpoint.ts';
import { checkpointPath } from '../../src/run/findCheckpoint.ts';
import { verifyResume } from '../../src/checks/verifyResume.ts';

let folder: string;
let configPath: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'clm-resume-kinds-'));
  configPath = path.join(folder, 'tiny.yaml');
  await writeFile(path.join(folder, 'text.txt'), 'one whale, two whales; a sea of whales. '.repeat(30));
  await writeFile(
    configPath,
    `corpus: { sources: [{ path: text.txt }] }
model: { layers: 1, heads: 1, width: 6, contextLength: 7 }
training: { microBatchSize: 2 }
optimizer: { learningRate: 1e-2 }
schedule: { warmupSteps: 2 }
evaluation: { everySteps: null }
checkpoints: { everySteps: null, keepLast: 9 }
samples: { everySteps: null, prompt: a }
`,
  );
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const muon = 'optimizer.kind=muon';
const mean = 'training.emaDecay=0.9';
// A window of 10 and this limit: some of the updates after the window are skipped.
const watched = [
  'training.guard={ outlierDeviations: 0.7, windowSteps: 10, maxSkips: 99 }',
  'optimizer.learningRate=0.03',
];

/**
 * Every schedule and optimizer but cosine and AdamW, which resume.test.ts has; and the state that the case is about.
 */
const kinds: [string, string[], RegExp[]][] = [
  [
    'AdamW, linear, running mean',
    [mean, 'schedule.kind=linear', 'schedule.finalLearningRate=0'],
    [/\/firstMoment$/, /\/secondMoment$/, /\/trained$/],
  ],
  [
    'AdamW, constant, outliers watched, stages of batch size and context',
    [
      ...watched,
      'schedule.kind=constant',
      'training.microBatchesPerStep=[{ from: 0, value: 1 }, { from: 12, value: 2 }]', // where it is stopped
      'training.contextLength=[{ from: 0, value: 1 }, { from: 75%, value: 7 }]',
    ],
    [/^guard\/updates$/, /^guard\/loss\/variance$/],
  ],
  ['Muon, warm-up–stable–decay', [muon, 'schedule.kind=warmup-stable-decay', 'schedule.decaySteps=9'], [/\/momentum$/]],
  [
    'Muon, inverse square root, running mean, outliers watched, two micro-batches, bfloat16',
    [
      muon,
      mean,
      ...watched,
      'schedule.kind=inverse-square-root',
      'training.microBatchesPerStep=2',
      'training.precision=bfloat16',
    ],
    [/\/momentum$/, /\/trained$/, /^guard\/gradientNorm\/mean$/],
  ],
];

describe('stopping changes no bit', () => {
  it.each(kinds)('%s', async (name, set, states) => {
    const runs = path.join(folder, name.replaceAll(/\W+/g, '-'));
    const [steps, stops] = [19, [12]];
    const request = {
      configPath,
      set,
      steps,
      stops,
      folder: runs,
      mode: 'recorded',
      signal: new AbortController().signal,
    } as const;
    expect(await verifyResume(request)).toEqual({ steps, stops, equal: true, difference: null });

    // The state that the case is about was there, and moved on after the stop.
    const checkpoint = (step: number) =>
      loadCheckpoint(checkpointPath(path.join(runs, 'stopped'), step), { optimizer: true });
    const [before, after] = [await checkpoint(12), await checkpoint(19)];
    for (const state of states) {
      const of = ({ optimizer }: Checkpoint) => optimizer.find((tensor) => state.test(tensor.name))!;
      expect(
        of(after).values.some((value) => value !== 0),
        String(state),
      ).toBe(true);
      expect(of(after).values, String(state)).not.toEqual(of(before).values);
    }
    if (set.includes(mean)) {
      const trained = after.optimizer.find((tensor) => tensor.name.endsWith('/trained'))!;
      expect(after.model.find((tensor) => trained.name === `${tensor.name}/trained`)!.values).not.toEqual(
        trained.values,
      );
    }
    if (set.includes(watched[0]!)) {
      const updates = after.optimizer.find((tensor) => tensor.name === 'guard/updates')!.values[0]!;
      expect(updates).toBeGreaterThan(10);
      expect(updates).toBeLessThan(19); // some were skipped
    }
  });
});
