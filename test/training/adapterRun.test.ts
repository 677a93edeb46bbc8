import { mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadCheckpoint } from '../../src/checkpoint/checkpoint.ts';
import { importModel } from '../../src/huggingface/importModel.ts';
import { checkpointPath, resolveCheckpoint } from '../../src/run/findCheckpoint.ts';
import { readEnvironment } from '../../src/run/environment.ts';
import { runTraining } from '../../src/training/run.ts';
import type { Fact } from '../../src/training/sinks/facts.ts';
import { fixture } from '../huggingface/fixtures.ts';
import { failureOf, useTemporaryFolder } from '../temporaryFolder.ts';
import { prepareRun } from './prepareRun.ts';

const folder = useTemporaryFolder();

function config(text: string, start = '{ from: ../base, weights: bfloat16 }'): string {
  mkdirSync(join(folder(), 'configs'), { recursive: true });
  writeFileSync(join(folder(), 'configs', 'text.txt'), 'abcdefghijklm'.repeat(40));
  const file = join(folder(), 'configs', 'a.yaml');
  writeFileSync(
    file,
    `corpus: { sources: [{ path: text.txt }] }
start: ${start}
optimizer: { learningRate: 1e-2 }
schedule: { warmupSteps: 0, finalLearningRate: 0 }
samples: { everySteps: 2, prompt: a, maxTokens: 3 }
${text}`,
  );
  return file;
}

async function train(configPath: string | undefined, run: string, { resume = false, stopAfter = Infinity } = {}) {
  const facts: Fact[] = [];
  const controller = new AbortController();
  const prepared = await prepareRun({ config: configPath, runDirectory: join(folder(), run), set: [], resume });
  await runTraining(prepared, {
    mode: 'recorded',
    signal: controller.signal,
    report: (fact) => {
      facts.push(fact);
      if (fact.kind === 'step' && fact.step === stopAfter) controller.abort();
    },
  });
  return { facts, prepared };
}

const lastOf = async (run: string) =>
  loadCheckpoint(await resolveCheckpoint(join(folder(), run), 'last'), { optimizer: true });
const base = () => importModel(fixture('llama'), join(folder(), 'base'), { contextLength: null });
const adapter = 'adapter: { kind: lora, rank: 2, dropout: 0.2 }\ntraining: { microBatchSize: 3, steps: 4 }';

describe('a run with an adapter', () => {
  it('starts at the loss of its base, saves the adapter alone, and resumes to the bit', async () => {
    const { checkpoint } = await base();
    const { facts, prepared } = await train(config(adapter), 'whole');
    const losses = facts.flatMap((fact) => (fact.kind === 'evaluation' ? [fact.loss] : []));
    expect(losses.at(-1)!).toBeLessThan(losses[0]!);
    expect(facts.some(({ kind }) => kind === 'sample')).toBe(true);
    const whole = await lastOf('whole');
    expect(whole.model.every(({ name }) => /\.lora[AB]$/.test(name))).toBe(true);
    expect(whole.model.reduce((sum, { values }) => sum + values.length, 0)).toBe(prepared.plan.trainedParameters);
    const { parameters, trainedParameters } = prepared.plan;
    const { plan } = readEnvironment(join(folder(), 'whole'))!;
    expect(plan).toMatchObject({ parameters, trainedParameters });
    expect(trainedParameters).toBeLessThan(parameters);
    expect(whole.state['base']).toEqual({ step: 0, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) });
    const bytes = ['model', 'optimizer'].map((name) => statSync(join(whole.path, `${name}.safetensors`)).size);
    expect(Math.abs(bytes[0]! + bytes[1]! - prepared.plan.checkpointBytes)).toBeLessThan(20_000); // their headers
    await train(config(adapter), 'stopped', { stopAfter: 2 });
    await train(config(adapter), 'stopped', { resume: true });
    const stopped = await lastOf('stopped');
    expect([stopped.model, stopped.optimizer]).toEqual([whole.model, whole.optimizer]);
    expect(checkpoint).toContain('base');
    await expect(lastOf('base')).resolves.toMatchObject({ step: 0 });
  });

  it('says that its base is gone, has other weights, or lacks the step', async () => {
    await base();
    await train(config(adapter), 'run', { stopAfter: 2 });
    const resume = () => failureOf(train(undefined, 'run', { resume: true }));
    renameSync(join(folder(), 'base'), join(folder(), 'moved'));
    expect((await resume()).message).toMatch(/needs step 0 of its base, .*base, which does not exist/);
    await importModel(fixture('qwen3'), join(folder(), 'base'), { contextLength: null });
    expect((await resume()).message).toMatch(/the weights in .* are others/);
    rmSync(join(folder(), 'base'), { recursive: true });
    renameSync(join(folder(), 'moved'), join(folder(), 'base'));
    renameSync(checkpointPath(join(folder(), 'base'), 0), checkpointPath(join(folder(), 'base'), 7));
    expect((await resume()).message).toMatch(/has only step 7: it was deleted/);
  });

  it('is no base itself', async () => {
    await base();
    await train(config(adapter), 'run');
    for (const text of [adapter, 'training: { microBatchSize: 3, steps: 4 }']) {
      const failure = await failureOf(train(config(text, '{ from: ../run }'), 'other'));
      expect(failure.message).toMatch(/is a run with an adapter.*--merge/);
    }
  });

  it.each([
    ['adapter: { kind: lora }', '{ from: null }', /adapter needs start.from/],
    ['adapter: { rank: 4 }', '{ from: ../base }', /adapter.rank has no effect with adapter.kind: null; set it to 8/],
    ['', '{ from: ../base, weights: bfloat16 }', /start.weights has no effect with adapter.kind: null/],
    ['adapter: { kind: lora, targets: [query, query] }', '{ from: ../base }', /names query twice/],
    ['adapter: { kind: lora, targets: [value, queryKeyValue] }', '{ from: ../base }', /queryKeyValue contains value/],
    ['adapter: { kind: lora, targets: [head] }', '{ from: ../base }', /adapter.targets/],
    ['adapter: { kind: lora }\ntraining: { freeze: [embedding.*] }', '{ from: ../base }', /freeze has no effect/],
  ])('is refused: %s, start: %s', async (text, start, message) => {
    await base();
    const file = config(text, start);
    expect(
      await failureOf(prepareRun({ config: file, runDirectory: undefined, set: [], resume: false })),
    ).toMatchObject({
      message: expect.stringMatching(message),
    });
  });
});

describe('training.freeze', () => {
  const frozen = (patterns: string) => `training: { microBatchSize: 3, steps: 3, freeze: ${patterns} }`;

  it('leaves what it matches as it is, trains the rest, and saves all', async () => {
    await base();
    const { prepared } = await train(
      config(frozen('["embedding.*", "blocks.{0..0}.{attention,feedForward}*"]'), '{ from: ../base }'),
      'run',
    );
    const [before, after] = [await lastOf('base'), await lastOf('run')];
    const isFrozen = (name: string): boolean => /^embedding|^blocks\.0\.(attention|feedForward)/.test(name);
    for (const [i, { name, values }] of after.model.entries())
      expect([name, JSON.stringify(values) === JSON.stringify(before.model[i]!.values)]).toEqual([
        name,
        isFrozen(name),
      ]);
    expect(after.optimizer.some(({ name }) => isFrozen(name))).toBe(false);
    expect(prepared.plan.frozen.map(({ tensors }) => tensors)).toEqual([
      after.model.filter(({ name }) => name.startsWith('embedding')).length,
      after.model.filter(({ name }) => isFrozen(name) && name.startsWith('blocks')).length,
    ]);
  });

  it('is refused if a pattern matches nothing, or everything', async () => {
    await base();
    const refusal = (patterns: string) => wrongInput(config(frozen(patterns), '{ from: ../base }'));
    expect(await refusal('["blocks.{0..1"]')).toContain('"blocks.{0..1" has a { that is not closed');
    expect(await refusal('[embeddings.*]')).toMatch(/"embeddings\.\*" matches no parameter.*embedding\.tokens/);
    expect(await refusal('["*"]')).toMatch(/nothing is left to train/);
  });
});

async function wrongInput(file: string): Promise<string> {
  const { message } = await failureOf(prepareRun({ config: file, runDirectory: undefined, set: [], resume: false }));
  return message;
}
