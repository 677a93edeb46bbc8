/** Runs of one and of two processes, by the JavaScript API: `npm run check -- processes` compares many more. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { train } from '../../src/api.ts';
import { allowedCores } from '../../src/runtime/libc.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'clm-processes-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function resultOf(run: string) {
  const checkpoint = path.join(folder, run, 'checkpoints/step-00000006');
  const log = (await readFile(path.join(folder, run, 'metrics.jsonl'), 'utf8')).trim().split('\n');
  return {
    parameters: (await readFile(path.join(checkpoint, 'model.safetensors'))).toString('base64'),
    optimizer: (await readFile(path.join(checkpoint, 'optimizer.safetensors'))).toString('base64'),
    log: log
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ kind }) => kind !== 'checkpoint')
      .map(({ kind, step, loss, gradientNorm }) => [kind, step, loss, gradientNorm]),
  };
}

it('two processes, stopped twice and continued by one, train the same run as one process to the bit', async () => {
  const text = Array.from({ length: 300 }, (_, i) => `${(i * i * 7919) % 10007}`).join(' ');
  await writeFile(path.join(folder, 'text.txt'), text);
  const config = path.join(folder, 'config.yaml');
  await writeFile(
    config,
    `corpus: { sources: [{ path: text.txt }] }
model: { layers: 1, heads: 2, width: 24, contextLength: 12, dropout: 0.1 }
training:
  microBatchSize: 5
  microBatchesPerStep: [{ from: 0, value: 4 }, { from: 3, value: 8 }]
  contextLength: [{ from: 0, value: 6 }, { from: 3, value: 12 }]
  steps: 6
  precision: bfloat16
optimizer: { kind: muon, gradientClip: 0.1 }
evaluation: { everySteps: 2 }
samples: { everySteps: null }
`,
  );
  await train(config, { run: path.join(folder, 'alone') });
  const run = path.join(folder, 'shared');
  expect(await train(config, { run, processes: 2, untilStep: 2 })).toMatchObject({ state: 'stopped', step: 2 });
  expect(JSON.parse(await readFile(path.join(run, 'environment.json'), 'utf8'))).toMatchObject({ processes: 2 });
  const cores = allowedCores();
  expect(await train(config, { run, processes: 2, untilStep: 4, resume: true })).toMatchObject({ step: 4 });
  expect(allowedCores()).toEqual(cores);
  await train(config, { run, resume: true });
  const [one, two] = [await resultOf('alone'), await resultOf('shared')];
  expect(one.log.filter(([kind]) => kind === 'step')).toHaveLength(6);
  expect(two.log).toEqual(one.log);
  expect(two.parameters).toBe(one.parameters);
  expect(two.optimizer).toBe(one.optimizer);
});
