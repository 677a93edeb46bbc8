/** Runs on preference pairs: one reference, a stop changes nothing, and what cannot work is refused. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { importModel } from '../../src/huggingface/importModel.ts';
import { openRunCorpus } from '../../src/data/runCorpus.ts';
import { validationBatches } from '../../src/data/windows/batches.ts';
import { withChatFormat } from '../../src/data/chat/corpusChats.ts';
import { parameterRoles } from '../../src/model/trainedParameters.ts';
import { loadModel } from '../../src/sampling/loadModel.ts';
import { evaluatePreferences, openReference } from '../../src/training/reference.ts';
import { runTraining } from '../../src/training/run.ts';
import type { Fact } from '../../src/training/sinks/facts.ts';
import { prepareRun } from './prepareRun.ts';
import { exchangingSessions } from './processes/exchangingSessions.ts';
import { failureOf, useTemporaryFolder } from '../temporaryFolder.ts';
import { fixture } from '../huggingface/fixtures.ts';

const folder = useTemporaryFolder();
const letters = 'abcdefghijklm';
const pairs = Array.from({ length: 14 }, (_, i) => {
  const letter = (n: number): string => letters[(i * n) % 13]!;
  return { prompt: letter(1) + letter(3), chosen: letter(5).repeat(1 + (i % 3)), rejected: letter(7) + letter(2) };
});
const lines = (rows: object[]): string => rows.map((row) => JSON.stringify(row)).join('\n');

const adapter = 'adapter: { kind: lora, rank: 2, dropout: 0.1 }';

/** A config of 7 steps, of 3 pairs in 2 micro-batches each. */
async function config(text: string): Promise<string> {
  if (text.includes('imported')) throw new Error('names the base already');
  await importModel(fixture('smollm'), join(folder(), 'imported'), { contextLength: null }).catch(() => undefined);
  mkdirSync(join(folder(), 'configs'), { recursive: true });
  writeFileSync(join(folder(), 'configs', 'pairs.jsonl'), lines(pairs));
  writeFileSync(join(folder(), 'configs', 'other.jsonl'), lines(pairs.slice(3, 8)));
  const file = join(folder(), 'configs', 'a.yaml');
  writeFileSync(
    file,
    `corpus:
  sources: [{ path: pairs.jsonl, prompt: prompt, chosen: chosen, rejected: rejected }]
  validation: { path: other.jsonl }
start: { from: ../imported }
training:
  objective: { kind: dpo, beta: 0.5, labelSmoothing: 0.05 }
  microBatchSize: 3
  microBatchesPerStep: 2
  steps: 7
optimizer: { learningRate: 0.01 }
schedule: { warmupSteps: 0, finalLearningRate: 0 }
evaluation: { everySteps: 3 }
checkpoints: { everySteps: 2 }
samples: { everySteps: null, prompt: a }
${text}`,
  );
  return file;
}

async function train(
  configPath: string,
  run: string,
  { resume = false, stop = (_: Fact): boolean => false } = {},
): Promise<Fact[]> {
  const facts: Fact[] = [];
  const controller = new AbortController();
  const prepared = await prepareRun({ config: configPath, runDirectory: join(folder(), run), set: [], resume });
  await runTraining(prepared, {
    mode: 'recorded',
    signal: controller.signal,
    report: (fact) => {
      facts.push(fact);
      if (stop(fact)) controller.abort();
    },
  });
  return facts;
}

const inRun = (run: string, file: string): Buffer => readFileSync(join(folder(), run, file));
const lastWeights = 'checkpoints/step-00000007/model.safetensors';
const scored = (facts: Fact[]): number => facts.filter(({ kind }) => kind === 'reference').length;
const isStep = (step: number) => (fact: Fact) => fact.kind === 'step' && fact.step === step;

describe.each([
  ['an adapter', adapter],
  ['all weights', 'adapter: { kind: null }'],
])('%s', (_, text) => {
  it('starts with no margin, learns the pairs, and resumes to the same bits without another reference', async () => {
    const path = await config(text);
    const facts = await train(path, 'whole');
    const evaluations = facts.filter((fact) => fact.kind === 'evaluation');
    const steps = facts.filter((fact) => fact.kind === 'step');
    expect(scored(facts)).toBe(Math.ceil(14 / 3) + Math.ceil(5 / 3));
    expect(evaluations[0]).toMatchObject({ margin: 0, accuracy: 0, pairs: 5 });
    expect(evaluations[0]!.loss).toBeCloseTo(Math.LN2, 6);
    expect(evaluations.at(-1)!.margin).toBeGreaterThan(0.01);
    expect(evaluations.at(-1)!.loss).toBeLessThan(Math.LN2);
    for (const { margin, rewardChosen, rewardRejected } of steps)
      expect(margin).toBeCloseTo(rewardChosen! - rewardRejected!, 6);
    expect(steps.at(-1)!.margin).toBeGreaterThan(steps[0]!.margin!);

    await train(path, 'stopped', { stop: isStep(3) });
    const resumed = await train(path, 'stopped', { resume: true });
    expect(scored(resumed)).toBe(0);
    expect(resumed.filter(({ kind }) => kind === 'step').length).toBe(4);
    expect(inRun('stopped', lastWeights).equals(inRun('whole', lastWeights))).toBe(true);
    expect(inRun('stopped', 'reference.jsonl').equals(inRun('whole', 'reference.jsonl'))).toBe(true);
  });
});

describe('the reference', () => {
  it('that was stopped is continued, to the same values', async () => {
    const path = await config(adapter);
    await train(path, 'whole', { stop: isStep(1) });
    const facts = await train(path, 'stopped', { stop: (fact) => fact.kind === 'reference' && fact.done === 6 });
    expect(facts.filter(({ kind }) => kind === 'step')).toEqual([]);
    const file = join(folder(), 'stopped', 'reference.jsonl');
    const before = readFileSync(file, 'utf8');
    writeFileSync(file, before.slice(0, -5)); // as a kill would leave it
    await train(path, 'stopped', { resume: true, stop: isStep(1) });
    const values = (run: string) =>
      new Set(
        inRun(run, 'reference.jsonl')
          .toString()
          .split('\n')
          .filter((line) => line.endsWith('}')),
      );
    expect(before.split('\n').length).toBeGreaterThan(8);
    expect(values('stopped')).toEqual(values('whole'));
  });

  it('is shared out among processes, goes on with what rank 0 has, and can be stopped', async () => {
    const path = await config(adapter);
    const runDirectory = join(folder(), 'shared');
    mkdirSync(runDirectory);
    const prepared = await prepareRun({
      config: path,
      runDirectory,
      set: ['training.microBatchSize=1'],
      resume: false,
    });
    const roles = parameterRoles(prepared.config, prepared.tokenizer.vocabularySize);
    const file = join(runDirectory, 'reference.jsonl');
    const completedBy = async (processes: number, told: number[] = [], stops = false) => {
      const scores = (inputs: Int32Array) => [inputs.reduce((sum, id, i) => sum + Math.sin(id * (i + 1)), 0), 0.5];
      const stopping = new AbortController();
      if (stops) stopping.abort();
      return Promise.all(
        exchangingSessions(processes, scores, told).map(async (session, rank) => {
          const own = rank === 0 ? runDirectory : join(folder(), 'nowhere');
          const reference = openReference(session, { ...prepared, runDirectory: own }, roles);
          await reference.complete(rank === 0 ? stopping.signal : new AbortController().signal, () => {});
          if (stops) return [];
          const values: number[] = [];
          for await (const batch of validationBatches(prepared.corpus, prepared.tokenizer, {
            ...{ contextLength: prepared.config.model.contextLength, microBatchSize: 1 },
          }))
            values.push(...reference.of(batch).pairs!.reference);
          return values;
        }),
      );
    };
    const [alone] = await completedBy(1);
    const written = readFileSync(file, 'utf8');
    expect(alone).toHaveLength(2 * 5);
    rmSync(file);
    await completedBy(2, [], true);
    expect(existsSync(join(folder(), 'nowhere'))).toBe(false);
    const kept = readFileSync(file, 'utf8');
    expect(written).toBe(`${kept}{"rows":26}\n`); // what was exchanged before they stopped
    writeFileSync(file, kept.slice(0, kept.length / 2));
    const told: number[] = [];
    expect(await completedBy(2, told)).toEqual([alone, alone]);
    expect(new Set(told)).toEqual(new Set([0, 1]));
    expect(told.length).toBeLessThan(14 + 5);
    expect(readFileSync(file, 'utf8')).toBe(written);
    told.length = 0;
    expect(await completedBy(4, told)).toEqual([alone, alone, alone, alone]);
    expect(told).toEqual([]);
  });

  it('of an adapter is computed again if it is lost; without one that is refused', async () => {
    const path = await config(adapter);
    await train(path, 'lost', { stop: isStep(3) });
    const values = inRun('lost', 'reference.jsonl');
    rmSync(join(folder(), 'lost', 'reference.jsonl'));
    expect(scored(await train(path, 'lost', { resume: true, stop: isStep(4) }))).toBeGreaterThan(0);
    expect(inRun('lost', 'reference.jsonl').equals(values)).toBe(true); // of the base, not of the adapter so far

    const whole = await config('');
    await train(whole, 'weights', { stop: isStep(3) });
    rmSync(join(folder(), 'weights', 'reference.jsonl'));
    const failure = await failureOf(train(whole, 'weights', { resume: true }));
    expect(failure.message).toMatch(/reference\.jsonl is missing or not complete.*Restore it.*or start a new run/);
  });

  it('gives clm evaluate the figures of the last evaluation', async () => {
    const path = await config(adapter);
    const facts = await train(path, 'run');
    const model = await loadModel(join(folder(), 'run'), { checkpoint: 'last' });
    try {
      const { opened } = await openRunCorpus({ config: loadConfig(path), formerConfig: undefined }, null);
      const corpus = withChatFormat(opened, model.tokenizer.chat);
      const evaluated = await evaluatePreferences(model, corpus, join(folder(), 'run'));
      const last = facts.filter((fact) => fact.kind === 'evaluation').at(-1)!;
      for (const key of ['loss', 'margin', 'accuracy', 'rewardChosen', 'perplexity', 'pairs'] as const)
        expect(evaluated[key], key).toBeCloseTo(last[key]!, 5);
      const failure = await failureOf(evaluatePreferences(model, corpus, join(folder(), 'elsewhere')));
      expect(failure.message).toMatch(/does not have what the reference says of these validation pairs/);
    } finally {
      model.close();
    }
  });
});
