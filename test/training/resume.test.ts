import { existsSync, rmSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readRunStatus, writeRunStatus } from '../../src/run/status.ts';
import type { Fact } from '../../src/training/sinks/facts.ts';
import { runTraining } from '../../src/training/run.ts';
import { prepareRun } from './prepareRun.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'clm-resume-'));
  const words = ['whale', 'sea', 'ship', 'Ahab', 'deep', 'harpoon', 'white'];
  const text = Array.from({ length: 230 }, (_, i) => words[(i * i + 3 * i) % words.length]).join(' ');
  await writeFile(path.join(folder, 'text.txt'), text);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function writeConfig(name: string, extra = ''): Promise<string> {
  const file = path.join(folder, `${name}.yaml`);
  await writeFile(
    file,
    `corpus: { sources: [{ path: text.txt }] }
model: { layers: 2, heads: 2, width: 14, contextLength: 11, dropout: 0.2 }
training: { microBatchSize: 3, microBatchesPerStep: 2, steps: 20 }
optimizer: { learningRate: 1e-2 }
schedule: { warmupSteps: 3, finalLearningRate: 1e-3 }
evaluation: { everySteps: 4 }
checkpoints: { everySteps: 10, keepLast: null }
samples: { everySteps: 5, prompt: whale, maxTokens: 3 }
${extra}`,
  );
  return file;
}

/** Trains until the end, or stops as Ctrl-C would after the step `stopAfter`. */
async function run(
  configPath: string,
  run: string,
  options: { resume?: boolean; stopAfter?: number; set?: string[] } = {},
) {
  const prepared = await prepareRun({
    config: configPath,
    runDirectory: path.join(folder, run),
    set: options.set ?? [],
    resume: options.resume ?? false,
  });
  const controller = new AbortController();
  const facts: Fact[] = [];
  const { outcome } = await runTraining(prepared, {
    mode: 'recorded',
    signal: controller.signal,
    report: (fact) => {
      facts.push(fact);
      if (fact.kind === 'step' && fact.step === options.stopAfter) controller.abort();
    },
  });
  return { prepared, outcome, facts };
}

const checkpointFile = (run: string, step: number, file: string) =>
  readFile(path.join(folder, run, 'checkpoints', `step-${String(step).padStart(8, '0')}`, file));

/** The log without times and paths. */
async function log(run: string): Promise<Record<string, unknown>[]> {
  const lines = (await readFile(path.join(folder, run, 'metrics.jsonl'), 'utf8')).trimEnd().split('\n');
  const records = lines.map((line) => {
    const { elapsedMs: _, tokensPerSecond: __, path: ___, ...rest } = JSON.parse(line) as Record<string, unknown>;
    return rest;
  });
  // A checkpoint is logged once it is complete, which may be some steps later.
  return records.sort(
    (a, b) =>
      Number(a['step']) - Number(b['step']) || Number(a['kind'] === 'checkpoint') - Number(b['kind'] === 'checkpoint'),
  );
}

describe('resuming', () => {
  it('twice equals never having stopped, bit for bit, across the end of an epoch', async () => {
    const config = await writeConfig('straight');
    const { prepared } = await run(config, 'straight');
    expect(prepared.plan.epochs).toBeGreaterThan(1); // so the end of an epoch is included

    const first = await run(config, 'stopped', { stopAfter: 7 });
    expect(first.outcome).toMatchObject({ step: 7, state: 'stopped' });
    const second = await run(config, 'stopped', { resume: true, stopAfter: 13 });
    expect(second.outcome).toMatchObject({ step: 13, state: 'stopped' });
    expect(second.facts[0]).toMatchObject({ kind: 'device', device: 'cpu' });
    expect(second.facts[1]).toMatchObject({ kind: 'step', step: 8 });
    const third = await run(config, 'stopped', { resume: true });
    expect(third.outcome).toMatchObject({ step: 20, state: 'done' });

    for (const file of ['model.safetensors', 'optimizer.safetensors', 'state.json']) {
      expect(await checkpointFile('stopped', 20, file), file).toEqual(await checkpointFile('straight', 20, file));
    }
    expect(await log('stopped')).toEqual(await log('straight'));
  });

  it('saves again after an evaluation that a stop had skipped, so that the checkpoint has its loss', async () => {
    const config = await writeConfig('unevaluated');
    const set = ['checkpoints.everySteps=4', 'evaluation.everySteps=8', 'samples.everySteps=null'];
    await run(config, 'evaluated', { set });
    await run(config, 'unevaluated', { set, stopAfter: 8 });
    const atStop = JSON.parse((await checkpointFile('unevaluated', 8, 'state.json')).toString());
    expect(atStop.validation.loss).toBeNull();
    await run(config, 'unevaluated', { set, resume: true });
    expect(await checkpointFile('unevaluated', 8, 'state.json')).toEqual(
      await checkpointFile('evaluated', 8, 'state.json'),
    );
    expect(await log('unevaluated')).toEqual(await log('evaluated'));
  });

  it('continues a finished run only if it gets more steps', async () => {
    const config = await writeConfig('longer');
    await run(config, 'longer');
    const again = await prepareRun({
      config: config,
      runDirectory: path.join(folder, 'longer'),
      set: [],
      resume: true,
    });
    expect(again.isFinished).toBe(true);
    const more = await prepareRun({
      config: config,
      runDirectory: path.join(folder, 'longer'),
      set: ['training.steps=23'],
      resume: true,
    });
    expect(more).toMatchObject({ isFinished: false, progress: { step: 20 } });
    await expect(
      prepareRun({
        config: config,
        runDirectory: path.join(folder, 'longer'),
        set: ['training.steps=19'],
        resume: true,
      }),
    ).rejects.toThrow(/training\.steps is 19, but .*longer has already been trained for 20 steps/);
  });

  it('completes log and status after a kill right after the last save', async () => {
    const config = await writeConfig('late');
    await run(config, 'late');
    const whole = await log('late');
    const older = path.join(folder, 'late', 'checkpoints', 'step-00000010');
    expect(existsSync(older)).toBe(true);
    const metrics = path.join(folder, 'late', 'metrics.jsonl');
    const lines = (await readFile(metrics, 'utf8')).trimEnd().split('\n');
    expect(lines.at(-1)).toContain('"kind":"checkpoint","step":20');
    await writeFile(metrics, `${lines.slice(0, -1).join('\n')}\n`);
    await writeRunStatus(path.join(folder, 'late'), { state: 'running', step: 20, steps: 20, reason: null });

    const { prepared, outcome, facts } = await run(config, 'late', { resume: true, set: ['checkpoints.keepLast=1'] });
    expect(existsSync(older)).toBe(false); // the deletion that follows a save, too
    expect(prepared).toMatchObject({ isFinished: false, progress: { step: 20 } });
    expect(outcome).toMatchObject({ step: 20, state: 'done' });
    expect(facts.map(({ kind }) => kind)).toEqual(['device']); // nothing is trained, evaluated or saved again
    expect(await log('late')).toEqual(whole);
    expect(readRunStatus(path.join(folder, 'late'))).toMatchObject({ state: 'done', step: 20 });
  });

  it('refuses a config that would change past steps, naming its keys', async () => {
    const config = await writeConfig('changed');
    await run(config, 'changed', { stopAfter: 2 });
    const resume = (...set: string[]) =>
      prepareRun({ config: config, runDirectory: path.join(folder, 'changed'), set, resume: true });
    await expect(resume('model.dropout=0', 'seed=3')).rejects.toThrow(/another seed, model\.dropout\./);
    await expect(resume('schedule.warmupSteps=4', 'samples.everySteps=null')).resolves.toMatchObject({
      progress: { step: 2 },
    });
  });

  it('refuses a changed corpus, naming its files, and continues when it is restored', async () => {
    const config = await writeConfig('restored');
    const text = path.join(folder, 'own.txt');
    const written = await readFile(path.join(folder, 'text.txt'), 'utf8');
    await writeFile(text, written);
    const request = {
      config: config,
      runDirectory: path.join(folder, 'restored'),
      set: [`corpus.sources=[{path: ${text}}]`],
      resume: false,
    };
    const controller = new AbortController();
    const stopAtTwo = (fact: Fact): void => {
      if (fact.kind === 'step' && fact.step === 2) controller.abort();
    };
    await runTraining(await prepareRun(request), {
      mode: 'recorded',
      signal: controller.signal,
      report: stopAtTwo,
    });
    await writeFile(text, written.replace('whale', 'Whale'));
    await expect(prepareRun({ ...request, resume: true })).rejects.toThrow(`${text} has different content. Restore it`);
    await writeFile(text, written);
    await expect(prepareRun({ ...request, resume: true })).resolves.toMatchObject({ progress: { step: 2 } });
  });

  it('refuses a corpus without a document to validate on, before anything is written', async () => {
    const config = await writeConfig('unvalidated');
    await writeFile(path.join(folder, 'one.jsonl'), '{"text":"one"}\n');
    const set = [`corpus.sources=[{path: ${path.join(folder, 'one.jsonl')}}]`, 'corpus.validation.hash=0.001'];
    const request = { config: config, runDirectory: path.join(folder, 'unvalidated'), set, resume: false };
    await expect(prepareRun(request)).rejects.toThrow('The validation part has 0 tokens, nothing to score.');
  });

  it.each([
    ['validation text', 'evaluation.everySteps=8', 8],
    ['training text', 'evaluation.everySteps=null', null],
  ])(
    'saves before it fails if the %s cannot be read, and continues when it is back',
    async (part, everySteps, failsAt) => {
      const name = `vanished-${part.split(' ')[0]}`;
      const text = path.join(folder, `${name}.txt`);
      const written = await readFile(path.join(folder, 'text.txt'), 'utf8');
      await writeFile(text, written);
      const set = [`corpus.sources=[{path: ${text}}]`, everySteps, 'checkpoints.everySteps=50', 'training.steps=60'];
      const config = await writeConfig(name);
      await run(config, `${name}-straight`, { set });
      const facts: Fact[] = [];
      const prepared = await prepareRun({
        config: config,
        runDirectory: path.join(folder, name),
        set,
        resume: false,
      });
      const report = (fact: Fact): void => {
        facts.push(fact);
        if (fact.kind === 'step' && fact.step === 5) rmSync(text);
      };
      const failure: Error = await runTraining(prepared, {
        mode: 'recorded',
        signal: new AbortController().signal,
        report,
      }).catch((error) => error);
      const saved = facts.findLast(({ kind }) => kind === 'checkpoint') as { step: number } | undefined;
      expect(failure).toMatchObject({ exitCode: 2, message: expect.stringContaining(text) });
      expect(saved!.step).toBeGreaterThanOrEqual(5);
      expect(saved!.step).toBe(failsAt ?? facts.filter(({ kind }) => kind === 'step').length);
      expect(failure.message).toContain(
        `The run was saved after step ${saved!.step}. Once this is fixed, continue it with --resume.`,
      );
      expect(readRunStatus(path.join(folder, name))).toMatchObject({ state: 'failed', step: saved!.step });

      await writeFile(text, written);
      await run(config, name, { resume: true, set });
      expect(await log(name)).toEqual(await log(`${name}-straight`));
      expect(await checkpointFile(name, 60, 'model.safetensors')).toEqual(
        await checkpointFile(`${name}-straight`, 60, 'model.safetensors'),
      );
    },
  );

  it('skips a damaged checkpoint with a message, and refuses if all are damaged', async () => {
    const config = await writeConfig('damaged');
    await run(config, 'damaged', { stopAfter: 12 });
    const damage = async (step: number) => {
      const file = path.join(
        folder,
        'damaged',
        'checkpoints',
        `step-${String(step).padStart(8, '0')}`,
        'model.safetensors',
      );
      const bytes = await readFile(file);
      bytes[bytes.length - 1]! ^= 1;
      await writeFile(file, bytes);
    };
    await damage(12);
    const request = { config: config, runDirectory: path.join(folder, 'damaged'), set: [], resume: true };
    const prepared = await prepareRun(request);
    expect(prepared.progress.step).toBe(10);
    expect(prepared.skipped).toEqual([
      { path: expect.stringContaining('step-00000012'), reason: expect.stringContaining('model.safetensors') },
    ]);
    await damage(10);
    await expect(prepareRun(request)).rejects.toThrow(/every checkpoint is damaged/);
  });

  it('ends with a message if the loss is no longer finite, and saves nothing', async () => {
    const config = await writeConfig('diverged', 'reports: { everySteps: 1 }');
    const request = {
      config: config,
      runDirectory: path.join(folder, 'diverged'),
      set: [
        'training.guard.maxSkips=3',
        'optimizer.learningRate=1e30',
        'optimizer.gradientClip=null',
        'schedule.warmupSteps=0',
        'evaluation.everySteps=null',
      ],
      resume: false,
    };
    const prepared = await prepareRun(request);
    const training = runTraining(prepared, {
      mode: 'recorded',
      signal: new AbortController().signal,
      report: () => {},
    });
    await expect(training).rejects.toMatchObject({
      exitCode: 4,
      message: expect.stringContaining('Training diverged'),
    });
    const report = JSON.parse(await readFile(path.join(folder, 'diverged/divergence.json'), 'utf8'));
    const written = await readFile(path.join(folder, 'text.txt'), 'utf8');
    expect(report.text.documents).toHaveLength(6); // two micro-batches of three windows
    for (const { place, text } of report.text.documents) {
      const [, byte, file] = /^byte (\d+) of (.*)$/.exec(place)!;
      expect(file).toBe(path.join(folder, 'text.txt'));
      expect(written.slice(Number(byte))).toMatch(new RegExp(`^${text}`));
    }
    expect(report.latestSteps.at(-1)).toMatchObject({ step: report.step, skipped: 'notFinite' });
  });
});
