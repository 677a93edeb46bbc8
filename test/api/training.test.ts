/** `train` and `openRun` of the JavaScript API: the same run as the command's, and what a program needs besides. */
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ConfigError, DamagedCheckpointError, EnvironmentError, InputError } from '../../src/api.ts';
import { complete, loadRun, openRun, train, type ConfigInput, type Fact, type StepRecord } from '../../src/api.ts';
import { clm, type Result } from '../cli/clm.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'clm-api-'));
const at = (...names: string[]): string => path.join(folder, ...names);
const text = `corpus: { sources: [{ path: ${at('text.txt')} }], validation: { tail: 0.2 } }
model: { layers: 1, heads: 2, width: 12, contextLength: 16 }
training: { microBatchSize: 3, steps: 13 }
evaluation: { everySteps: 6 }
checkpoints: { everySteps: 6, keepLast: null }
samples: { everySteps: 6, prompt: the, maxTokens: 5 }
`;
const keys: ConfigInput = {
  name: 'tiny',
  corpus: { sources: [{ path: at('text.txt') }], validation: { tail: 0.2 } },
  model: { layers: 1, heads: 2, width: 12, contextLength: 16 },
  training: { microBatchSize: 3, steps: 13 },
  evaluation: { everySteps: 6 },
  checkpoints: { everySteps: 6, keepLast: null },
  samples: { everySteps: 6, prompt: 'the', maxTokens: 5 },
};
const file = at('tiny.yaml');
/** The first run, by the command. */
const reference = at('by-command');
let byCommand: Result;

/** The log without what differs from one time to the next, and without paths. */
const logOf = (run: string): string[] =>
  readFileSync(path.join(run, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => {
      const { tokensPerSecond: _, elapsedMs: __, path: ___, ...rest } = JSON.parse(line) as Record<string, unknown>;
      return JSON.stringify(rest);
    })
    .sort();
const hashOf = (run: string, step: number): string =>
  createHash('sha256')
    .update(readFileSync(path.join(run, `checkpoints/step-${String(step).padStart(8, '0')}/model.safetensors`)))
    .digest('hex');
const failure = (work: Promise<unknown>): Promise<Error> =>
  work.then(
    () => new Error('it succeeded'),
    (error: Error) => error,
  );

beforeAll(async () => {
  writeFileSync(at('text.txt'), 'the cat ${sat} on the mat\n'.repeat(60));
  writeFileSync(file, text);
  byCommand = await clm(['train', file, '--run', reference]);
  expect(byCommand).toMatchObject({ code: 0 });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('train', () => {
  it('makes the run that the command makes, whichever way the config is given', async () => {
    const facts: Fact[] = [];
    const before = process.exitCode;
    const result = await train(file, { run: at('by-path'), onFact: (fact) => facts.push(fact) });
    expect(process.exitCode).toBe(before);
    expect(logOf(at('by-path'))).toEqual(logOf(reference));
    expect(hashOf(at('by-path'), 13)).toBe(hashOf(reference, 13));
    expect(readdirSync(at('by-path')).sort()).toEqual(readdirSync(reference).sort());
    await train(text, { run: at('by-text'), set: ['training.steps=1'] });
    const [step] = logOf(at('by-text')).filter((line) => line.startsWith('{"kind":"step","step":1,'));
    expect(step).toMatch(/"loss":\d/);
    expect(logOf(reference)).toContain(step);
    expect(result).toMatchObject({ run: at('by-path'), state: 'done', step: 13, reason: null, device: 'cpu' });
    const { command } = JSON.parse(readFileSync(at('by-path/environment.json'), 'utf8')) as { command: string[] };
    expect(command[0]).toBe('node');
    expect(facts[0]).toMatchObject({ kind: 'start', step: 0, steps: 13, tokensPerStep: 48, run: at('by-path') });
    expect(facts.at(-1)).toEqual({ kind: 'end', step: 13, state: 'done', reason: null });
    expect(facts.flatMap((fact) => (fact.kind === 'step' ? fact.step : []))).toHaveLength(13);
  });

  it('saves and stops when the signal aborts, and continues exactly', async () => {
    const run = at('stopped');
    const stopping = new AbortController();
    const onFact = (fact: Fact) => fact.kind === 'step' && fact.step === 8 && stopping.abort(new Error('enough'));
    const stopped = await train(file, { run, signal: stopping.signal, onFact });
    expect(stopped).toMatchObject({ state: 'stopped', step: 8, reason: 'enough' });
    expect(await train(undefined, { run, resume: true })).toMatchObject({ state: 'done', step: 13 });
    expect(logOf(run)).toEqual(logOf(reference));
    expect(hashOf(run, 13)).toBe(hashOf(reference, 13));
    expect(await train(undefined, { run, resume: true })).toMatchObject({ state: 'done', step: 13, device: null });
    const before = await train(file, { run: at('never'), signal: AbortSignal.abort('early') });
    expect(before).toMatchObject({ state: 'stopped', step: null, reason: 'early' });
    expect(existsSync(at('never'))).toBe(false);
  });

  it('stops in time, and saves before it throws what onFact threw', async () => {
    const endless = { ...keys, training: { microBatchSize: 3, steps: 1_000_000 }, checkpoints: { everySteps: null } };
    const timely = await train(endless, { run: at('timely'), maxTimeMs: 1500 });
    expect(timely).toMatchObject({ state: 'stopped', reason: 'maxTimeMs' });
    const failing = (fact: Fact): void => {
      if (fact.kind === 'step' && fact.step === 3) throw new RangeError('no more');
    };
    expect(await failure(train(file, { run: at('threw'), onFact: failing }))).toEqual(new RangeError('no more'));
    const rejecting = async (fact: Fact): Promise<void> => failing(fact);
    expect(await failure(train(file, { run: at('rejected'), onFact: rejecting }))).toEqual(new RangeError('no more'));
    for (const run of ['threw', 'rejected']) {
      const opened = await openRun(at(run));
      expect(opened.status()).toMatchObject({ state: 'stopped', reason: 'onFact failed' });
      expect(await opened.checkpoints()).toHaveLength(1);
    }
  });

  it('refuses with the messages of the command, as errors of their own classes', async () => {
    const again = await clm(['train', file, '--run', reference]);
    const refusal = await failure(train(file, { run: reference }));
    expect(refusal).toBeInstanceOf(InputError);
    expect(again).toMatchObject({ code: 2, stderr: `error: ${refusal.message}\n` });
    const wrong = [
      await failure(train({ ...keys, training: { steps: -1 } }, { run: at('no') })),
      await failure(train('model: { layer: 1 }\ncorpus: { sources: [] }', { run: at('no') })),
      await failure(train(pathToFileURL(at('gone.yaml')))),
      await failure(train({ ...keys, seed: new Date(0) as unknown as number }, { run: at('no') })),
      await failure(train({ corpus: keys.corpus! })),
    ];
    expect(wrong.map(({ message }) => message.replaceAll(folder, ''))).toEqual([
      expect.stringMatching(/^config: training\.steps must be /),
      expect.stringMatching(
        /^config:1:10: model\.layer is not a config key[^]*\nconfig:2:11: corpus\.sources must be /,
      ),
      '/gone.yaml does not exist',
      expect.stringContaining('config: seed is [object Date]'),
      'config: name is missing, and no run directory is given',
    ]);
    for (const error of wrong) {
      expect(error).toBeInstanceOf(ConfigError);
      expect(error).toMatchObject({ name: 'ConfigError', kind: 'wrongInput', exitCode: 2 });
    }
    expect(existsSync(at('no'))).toBe(false);
    // @ts-expect-error: an option that is none
    const option = await failure(train(file, { runDirectory: at('no') }));
    expect(option.message).toMatch(/^runDirectory is not an option of train; the options are run, /);
  });

  it('takes the config of another run, with texts as they are', async () => {
    const samples = { prompt: '${sat}', everySteps: null };
    await train({ ...keys, training: { microBatchSize: 3, steps: 1 }, samples }, { run: at('other') });
    const { config } = await openRun(at('other'));
    expect(config.samples.prompt).toBe('${sat}');
    expect(await train(config, { run: at('again') })).toMatchObject({ state: 'done', step: 1 });
    expect(logOf(at('other'))).toEqual(logOf(at('by-text')));
    expect(logOf(at('again'))).toEqual(logOf(at('by-text')));
    expect((await openRun(at('again'))).config).toEqual(config);
  });
});

describe('openRun', () => {
  it('tells everything about a run, typed', async () => {
    const run = await openRun(at('by-path'));
    expect(run.config).toMatchObject({ name: 'tiny', training: { steps: 13 } });
    expect(run.status()).toMatchObject({ state: 'done', step: 13, steps: 13 });
    expect(run.environment).toMatchObject({ program: 'clm', device: { name: 'cpu' } });
    const records = [...run.metrics()];
    const steps = records.filter((record): record is StepRecord => record.kind === 'step');
    expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: 13 }, (_, i) => i + 1));
    const evaluations = new Map(
      records.flatMap((each) => (each.kind === 'evaluation' ? [[each.step, each.loss]] : [])),
    );
    expect([...evaluations.keys()]).toEqual([0, 6, 12, 13]);
    expect(await run.checkpoints()).toEqual(
      [6, 12, 13].map((step) => ({
        step,
        path: at(`by-path/checkpoints/step-${String(step).padStart(8, '0')}`),
        validationLoss: evaluations.get(step),
      })),
    );
    expect(run.samples()).toMatchObject([{ step: 6 }, { step: 12 }]);
    expect(run.samples()[0]!.text).toMatch(/^the/);
    expect(run.tokenizer.decode(run.tokenizer.encode('the cat'))).toBe('the cat');
    const model = await run.load({ checkpoint: 6 });
    expect(model.step).toBe(6);
    model.close();
    const missing = await failure(openRun(at('nowhere')));
    expect(missing).toBeInstanceOf(InputError);
    expect(missing.message).toMatch(/^There is no run at .*nowhere/);
  });

  it('gives NaN for a number that was not finite', async () => {
    const run = await openRun(at('stopped'));
    const log = at('stopped/metrics.jsonl');
    writeFileSync(log, readFileSync(log, 'utf8').replace(/"loss":[\d.]+/, '"loss":null'));
    const [first] = run.metrics();
    expect(first).toMatchObject({ kind: 'evaluation', loss: NaN });
  });
});

describe('models in one process', () => {
  it('can be two at once, beside a training that stays the same to the bit', async () => {
    const [one, two] = [await loadRun(at('by-path')), await loadRun(at('by-path'), { checkpoint: 6 })];
    const settings = { temperature: 0, maxTokens: 9 };
    const alone = [await complete(one, 'the ', settings), await complete(two, 'the ', settings)];
    let ended = false;
    const training = train(file, { run: at('beside') }).finally(() => (ended = true));
    let during = 0;
    while (!ended) {
      const both = await Promise.all([complete(one, 'the ', settings), complete(two, 'the ', settings)]);
      expect(both.map(({ tokenIds }) => tokenIds)).toEqual(alone.map(({ tokenIds }) => tokenIds));
      during++;
    }
    await training;
    expect(during).toBeGreaterThan(1);
    expect(logOf(at('beside'))).toEqual(logOf(reference));
    one.close();
    two.close();
  });

  it('refuses calls that overlap, and a closed run; closes after the call', async () => {
    const run = await loadRun(at('by-path'));
    const first = complete(run, 'the ', { maxTokens: 3 });
    const second = await failure(complete(run, 'the '));
    expect(second).toBeInstanceOf(InputError);
    expect(second.message).toMatch(/^the run tiny is in another call: await it/);
    run.close();
    expect(await first).toMatchObject({ tokens: 3 });
    run.close();
    expect((await failure(complete(run, 'the '))).message).toBe('the run tiny has been closed; load it again');
  });

  it('names damage as such', async () => {
    const weights = at('stopped/checkpoints/step-00000006/model.safetensors');
    writeFileSync(weights, readFileSync(weights).subarray(0, 100));
    const damaged = await failure(loadRun(at('stopped'), { checkpoint: 6 }));
    expect(damaged).toBeInstanceOf(DamagedCheckpointError);
    expect(damaged).toMatchObject({ exitCode: 2, message: expect.stringContaining('model.safetensors is truncated') });
    const elsewhere = await failure(loadRun(at('by-path'), { device: 'cuda' }));
    expect(elsewhere).toBeInstanceOf(InputError);
    expect(elsewhere).not.toBeInstanceOf(EnvironmentError);
    expect(elsewhere.message).toBe('device cuda: TensorFlow already runs on cpu in this process.');
  });
});
