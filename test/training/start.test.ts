import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadCheckpoint } from '../../src/checkpoint/checkpoint.ts';
import { resolveCheckpoint } from '../../src/run/findCheckpoint.ts';
import { loadConfig } from '../../src/config/load.ts';
import { exportModel } from '../../src/huggingface/exportModel.ts';
import { importModel } from '../../src/huggingface/importModel.ts';
import type { Fact } from '../../src/training/sinks/facts.ts';
import { runTraining } from '../../src/training/run.ts';
import { prepareRun } from './prepareRun.ts';
import { failureOf, useTemporaryFolder } from '../temporaryFolder.ts';
import { wrongInputMessage } from '../config/configFolder.ts';
import { fixture } from '../huggingface/fixtures.ts';

const folder = useTemporaryFolder();
const importFixture = (name: string) => importModel(fixture(name), join(folder(), 'imported'), { contextLength: null });

function config(text: string): string {
  mkdirSync(join(folder(), 'configs'), { recursive: true });
  writeFileSync(join(folder(), 'configs', 'text.txt'), 'abcdefghijklm'.repeat(40));
  const file = join(folder(), 'configs', 'a.yaml');
  writeFileSync(
    file,
    `corpus: { sources: [{ path: text.txt }] }
start: { from: ../imported }
training: { microBatchSize: 3, steps: 4 }
schedule: { warmupSteps: 0, finalLearningRate: 0 }
samples: { everySteps: null, prompt: a }
${text}`,
  );
  return file;
}

async function train(configPath: string, run: string, { resume = false, stopAfter = Infinity } = {}): Promise<Fact[]> {
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
  return facts;
}

const lastOf = async (run: string) =>
  loadCheckpoint(await resolveCheckpoint(join(folder(), run), 'last'), { optimizer: true });

describe('start: { from: RUN }', () => {
  it('begins with the weights, the model and the tokenizer of the run', async () => {
    const { checkpoint } = await importFixture('qwen3');
    await train(config('optimizer: { learningRate: 0 }'), 'same');
    const [before, after] = [await loadCheckpoint(checkpoint, { optimizer: false }), await lastOf('same')];
    expect(after.step).toBe(4);
    expect(after.model).toEqual(before.model); // a learning rate of 0 changes no bit
    expect(after.tokenizerText).toBe(before.tokenizerText);
    expect(after.configText).toContain('queryKeyNorm: true');
  });

  it('continues training them, exports, and resumes exactly although the first run is gone', async () => {
    await importFixture('llama');
    const file = config('optimizer: { learningRate: 1e-2 }');
    const facts = await train(file, 'whole');
    const losses = facts.filter((fact) => fact.kind === 'step').map(({ loss }) => loss);
    expect(losses.at(-1)!).toBeLessThan(losses[0]!);
    const { kind } = await exportModel(join(folder(), 'whole'), join(folder(), 'exported'), {
      checkpoint: 'last',
      dtype: 'float32',
    });
    expect(kind).toBe('llama');

    await train(file, 'parts', { stopAfter: 2 });
    rmSync(join(folder(), 'imported'), { recursive: true });
    const resume = (configPath: string | undefined, ...set: string[]) =>
      prepareRun({ config: configPath, runDirectory: join(folder(), 'parts'), set, resume: true });
    const prepared = await resume(undefined);
    expect(prepared.progress.step).toBe(2);
    expect(await resume(undefined, 'training.steps=4')).toMatchObject({
      progress: { step: 2 },
      config: prepared.config,
    });
    expect(await resume(file)).toMatchObject({ progress: { step: 2 }, config: prepared.config });
    expect((await failureOf(resume(file, 'model.dropout=0.1'))).message).toContain(
      'was started with another model.dropout.',
    );
    expect((await failureOf(resume(file, 'start.from=/elsewhere'))).message).toContain(
      'was started with another start.from.',
    );
    const fresh = prepareRun({ config: file, runDirectory: join(folder(), 'fresh'), set: [], resume: true });
    expect((await failureOf(fresh)).message).toContain('start.from is not a run: ');
    const tensors = prepared.takeTensors()!;
    const handedOver = { ...prepared, takeTensors: () => tensors };
    await runTraining(handedOver, { mode: 'recorded', signal: new AbortController().signal, report: () => {} });
    const [whole, parts] = [await lastOf('whole'), await lastOf('parts')];
    expect(parts.model).toEqual(whole.model);
    expect(parts.optimizer).toEqual(whole.optimizer);
    // The values were moved into the session, and no copy of them is left.
    const { model, optimizer } = tensors;
    expect(model.length).toBeGreaterThan(0);
    expect([...model, ...optimizer].every(({ values }) => values.length === 0)).toBe(true);
    expect(() => prepared.takeTensors()).toThrow('have been taken already');
  });

  it('accepts another dropout, and another context length with rotary positions', async () => {
    await importFixture('mistral');
    const { model } = loadConfig(config('model: { dropout: 0.1, contextLength: 5 }'));
    expect(model).toMatchObject({ family: 'llama', keyValueHeads: 2, dropout: 0.1, contextLength: 5 });
  });

  it('refuses keys that differ, by name, line and value', async () => {
    await importFixture('gpt2');
    const message = wrongInputMessage(() =>
      loadConfig(config('model: { layers: 3, width: 15, contextLength: 5 }\ntokenizer: { kind: bytes }')),
    );
    expect(message).toContain('a.yaml:6:18: model.layers is 3, but the run in start.from has 2; remove it');
    expect(message).toContain('model.contextLength is 5, but the run in start.from has 7');
    expect(message).toContain('tokenizer.kind is "bytes"');
    expect(message).not.toContain('model.width');
  });

  it('refuses what is not a run, and resuming an imported one', async () => {
    const file = config('');
    expect(wrongInputMessage(() => loadConfig(file))).toContain('a.yaml:2:16: start.from is not a run: ');
    const other = readFileSync(file, 'utf8').replace('../imported', fixture('gpt2'));
    writeFileSync(file, other);
    expect(wrongInputMessage(() => loadConfig(file))).toMatch(/a\.yaml:2:16: start\.from: .* Hugging Face folder/);
    config('');
    const { runDirectory } = await importFixture('gpt2');
    const text = readFileSync(file, 'utf8').replace('start: { from: ../imported }\n', 'model: { preset: gpt2-124m }\n');
    writeFileSync(file, text);
    const request = { config: undefined, runDirectory, set: [], resume: true };
    expect((await failureOf(prepareRun(request))).message).toContain('was imported: it has no optimizer');
  });
});
