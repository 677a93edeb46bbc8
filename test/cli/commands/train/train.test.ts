import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clm, root, type Result } from '../../clm.ts';

let folder: string;
let config: string;
const at = (name: string) => path.join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'clm-cli-'));
  config = at('tiny.yaml');
  await writeFile(at('text.txt'), 'The cat sat on the mat. '.repeat(60));
  await writeFile(
    config,
    `corpus: { sources: [{ path: text.txt }] }
model: { layers: 1, heads: 2, width: 16, contextLength: 8 }
training: { microBatchSize: 3, steps: 2 }
schedule: { warmupSteps: 1 }
evaluation: { everySteps: null }
samples: { everySteps: 1, prompt: The, maxTokens: 5 }
`,
  );
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('train, then sample', () => {
  let trained: Result;
  beforeAll(async () => {
    trained = await clm(['train', config, '--run', at('run')]);
  });

  it('trains two steps, with results only in the run directory and messages on stderr', async () => {
    expect(trained).toMatchObject({ code: 0 });
    expect(trained.stdout).toMatch(/^result: state=done step=2 validationLoss=2\.\d+ run=\S+\n$/);
    expect(trained.stderr).toContain('done: 2 steps');
    expect(trained.stderr).not.toMatch(/WARNING|I0000|oneDNN|\r/);
    expect((await readdir(at('run'))).sort()).toEqual([
      'checkpoints',
      'config.yaml',
      'corpus.json',
      'environment.json',
      'metrics.jsonl',
      'samples',
      'status.json',
      'tokenizer.json',
    ]);
    expect((await readdir(at('run/checkpoints/step-00000002'))).sort()).toEqual([
      'config.yaml',
      'model.safetensors',
      'optimizer.safetensors',
      'state.json',
      'tokenizer.json',
    ]);
    const records = (await readFile(at('run/metrics.jsonl'), 'utf8'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(records.map(({ kind, step }) => `${kind} ${step}`)).toEqual([
      'evaluation 0',
      'step 1',
      'step 2',
      'evaluation 2',
      'checkpoint 2',
    ]);
    expect(Math.abs(records[0].loss - Math.log(13))).toBeLessThan(0.1); // 13 distinct characters
    expect(await readFile(at('run/samples/step-00000001.txt'), 'utf8')).toMatch(/^The.{5}$/s);
  });

  it('gives the same completion from the run and from the checkpoint folder alone', async () => {
    const args = ['--prompt', 'The cat', '--max-tokens', '6', '--seed', '5', '--json'];
    const fromRun = await clm(['sample', at('run'), ...args]);
    expect(fromRun).toMatchObject({ code: 0, stderr: '' });
    const completion = JSON.parse(fromRun.stdout);
    expect(completion).toMatchObject({ prompt: 'The cat', tokens: 6, finishReason: 'length', seed: 5 });
    expect(completion.promptTokenIds).toHaveLength(7);
    expect(completion.tokenIds).toHaveLength(6);
    const text = await clm(['sample', at('run/checkpoints/step-00000002'), ...args.slice(0, -1)]);
    expect(text).toEqual({ code: 0, stderr: '', stdout: `The cat${completion.completion}\n` });
  });

  it('prints several completions, each repeatable by its seed; uses the end of a long prompt', async () => {
    const { stdout } = await clm(['sample', at('run'), '--samples', '2', '--seed', '8', '--max-tokens', '9', '--json']);
    const [first, second] = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect([first.seed, second.seed]).toEqual([8, 9]);
    const again = await clm(['sample', at('run'), '--seed', '9', '--max-tokens', '9', '--json']);
    expect(JSON.parse(again.stdout).tokenIds).toEqual(second.tokenIds);
    const long = await clm(['sample', at('run'), '--prompt', 'on the mat on the mat', '--max-tokens', '2']);
    expect(long).toMatchObject({ code: 0, stdout: expect.stringMatching(/^on the mat on the mat..\n$/s) });
    expect(long.stderr).toBe('the prompt has 21 tokens; the model sees the last 8\n');
  });

  it.each<[string, () => string[], RegExp]>([
    ['an empty prompt', () => ['sample', at('run'), '--prompt', ''], /^error: --prompt is empty/],
    ['a character it has not seen', () => ['sample', at('run'), '--prompt', 'é'], /^error: .*U\+00E9/],
    ['a run that is not there', () => ['sample', at('nothing')], /^error: There is no run at .*nothing/],
    ['a step that is not there', () => ['sample', at('run'), '--checkpoint', '7'], /^error: .*no checkpoint of step 7/],
    [
      'a count that is none',
      () => ['sample', at('run'), '--max-tokens', '0'],
      /^error: --max-tokens must be a whole number/,
    ],
    [
      'training into it again',
      () => ['train', config, '--run', at('run')],
      /^error: .* already has a checkpoint\. To continue: clm train --run \S+ --resume; for a new run/,
    ],
  ])('refuses %s with exit code 2', async (_, args, message) => {
    const { code, stdout, stderr } = await clm(args());
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
    expect(stderr).not.toContain('    at ');
  });

  it('refuses a damaged checkpoint and names its file', async () => {
    await clm(['train', config, '--run', at('broken'), '--quiet']);
    const file = at('broken/checkpoints/step-00000002/model.safetensors');
    const whole = await readFile(file);
    await writeFile(file, whole.subarray(0, -3));
    const { code, stderr } = await clm(['sample', at('broken')]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error: .*model\.safetensors/);
    whole[whole.length - 3]! ^= 1; // in the values: only the hash tells
    await writeFile(file, whole);
    const refused = await clm(['sample', at('broken')]);
    expect(refused).toMatchObject({ code: 2, stdout: '' });
    expect(refused.stderr).toMatch(/^error: .*model\.safetensors is damaged: its SHA-256/);
  });

  it('says that a finished run is finished, and exits 0', async () => {
    const { code, stderr } = await clm(['train', '--run', at('run'), '--resume']);
    expect(code).toBe(0);
    expect(stderr).toContain('is finished: 2 of 2 steps');
  });

  it.skipIf(process.platform !== 'linux')('samples the same bits on one core as on all', async () => {
    const wide = at('wide.yaml');
    await writeFile(
      wide,
      `corpus: { sources: [{ path: text.txt }] }
model: { layers: 1, heads: 4, width: 256, contextLength: 128, biases: true }
training: { microBatchSize: 1, steps: 1 }
schedule: { warmupSteps: 1 }
evaluation: { everySteps: null }
samples: { everySteps: null, prompt: The, maxTokens: 5 }
`,
    );
    expect(await clm(['train', wide, '--run', at('wide'), '--quiet'])).toMatchObject({ code: 0 });
    const prompt = 'The cat sat on the mat. '.repeat(4);
    const args = [path.join(root, 'dist/cli/main.js'), 'sample', at('wide'), '--prompt', prompt, '--json'];
    const options = ['--max-tokens', '12', '--temperature', '0', '--log-probabilities', '2'];
    const [all, one] = [[], ['taskset', '-c', '0']].map((before) => {
      const [command, ...rest] = [...before, process.execPath, ...args, ...options];
      return JSON.parse(execFileSync(command!, rest, { encoding: 'utf8' }));
    });
    expect(one.tokens).toBe(12);
    expect(one).toEqual({ ...all, tokensPerSecond: one.tokensPerSecond, firstTokenMs: one.firstTokenMs });
  });

  it('bench --decode says where the time of a token goes, and what bounds it', async () => {
    const args = ['--decode', '--batch', '2', '--prompt-tokens', '3', '--weights', 'bfloat16', '--json'];
    const { code, stdout, stderr } = await clm(['bench', at('run'), ...args]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({ batch: 2, promptTokens: 3, weights: 'bfloat16', device: 'cpu' });
    for (const key of ['tokensPerSecond', 'prefillTokensPerSecond', 'prefillGflops', 'matmulGflops'])
      expect(result[key], key).toBeGreaterThan(0);
    const [C, F, V] = [16, 64, 12];
    const matrices = C * 3 * C + C * C + C * F + F * C + V * C + 2 * C; // two rows of the positions
    expect(result.weightBytes).toBe(2 * matrices + 4 * 3 * C); // and the gains of three norms
    expect(result.cacheBytes).toBe(2 * (3 + 5 / 2) * 2 * C * 4);
    const bytesPerStep = result.weightBytes + result.cacheBytes;
    expect(result.bound).toBeCloseTo((2 * result.readGigabytesPerSecond * 1e9) / bytesPerStep, 3);
    expect(result.share).toBeCloseTo(result.tokensPerSecond / result.bound, 9);
    expect(result.tokensPerSecond).toBeCloseTo(2000 / result.msPerStep, 3);
    const kinds = result.operations.map(({ operation }: { operation: string }) => operation);
    expect(kinds.sort()).toEqual(['attention', 'embedding', 'norms', 'output head', 'products in blocks']);
    const operationsMs = result.operations.reduce((sum: number, { ms }: { ms: number }) => sum + ms, 0);
    expect(operationsMs + result.betweenOperationsMs + result.choosingMs).toBeCloseTo(result.msPerStep, 6);
    expect(Math.min(operationsMs, result.betweenOperationsMs + 1e-9, result.choosingMs)).toBeGreaterThan(0);
  });

  it.each([
    [['run', '--decode', '--profile'], /^error: --eager, --profile and --set are for the training of a config/],
    [
      ['run', '--decode', '--prompt-tokens', '7'],
      /^error: --prompt-tokens 7 leaves no room .* length is 8, so it may be 6 at most\n/,
    ],
    [['tiny.yaml', '--batch', '2'], /^error: --batch is an option of --decode/],
    [['tiny.yaml', '--decode'], /^error: \S+tiny.yaml is a config/],
    [['rum', '--decode'], /^error: \S+rum does not exist; did you mean: clm bench \S+run --decode\n/],
  ])('bench refuses %s', async ([place, ...args], message) => {
    const { code, stdout, stderr } = await clm(['bench', at(place!), ...args]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
  });

  it('bench --decode refuses a batch that the memory cannot hold', async () => {
    const { code, stderr } = await clm(['bench', at('run'), '--decode', '--batch', '1000000000000']);
    expect({ code, stderr }).toMatchObject({ code: 3, stderr: expect.stringContaining('Choose a smaller --batch.') });
  });
});

describe('training', () => {
  it('has bit-identical losses with a token cache, filled by two threads or already full', async () => {
    const losses: string[] = [];
    for (const [i, cache] of ['null', 'cache', 'cache'].entries()) {
      await writeFile(
        at('cached.yaml'),
        `extends: tiny.yaml\ntokenizer: { kind: bpe, vocabularySize: 260 }\ncorpus: { workers: 2, cache: ${cache} }\n`,
      );
      const { code, stderr } = await clm(['train', at('cached.yaml'), '--run', at(`cache-${i}`), '--quiet']);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      const metrics = await readFile(at(`cache-${i}/metrics.jsonl`), 'utf8');
      losses.push(JSON.stringify(Array.from(metrics.matchAll(/"loss":([\d.]+)/g), ([, loss]) => loss)));
    }
    expect(JSON.parse(losses[0]!)).toHaveLength(4); // two evaluations and two steps
    expect(new Set(losses).size).toBe(1);
    const [key] = await readdir(at('cache'));
    expect((await readdir(at(`cache/${key}`))).length).toBe(2);
  });

  it('prints facts and the result as JSON lines', async () => {
    const { code, stdout } = await clm(['train', config, '--run', at('json'), '--json', '--quiet']);
    expect(code).toBe(0);
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map(({ kind }) => kind)).toContain('evaluation');
    expect(lines.at(-1)).toMatchObject({ run: at('json'), step: 2, state: 'done', validationLoss: expect.any(Number) });
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s finishes the step, saves and exits %d', async (name, exitCode) => {
    const run = at(name);
    let sent = false;
    const { code, stderr } = await clm(
      ['train', config, '--run', run, '--set', 'training.steps=100000'],
      (text, child) => {
        if (!sent && /step \d+\/100000/.test(text)) sent = child.kill(name);
      },
    );
    expect(sent).toBe(true);
    expect(code).toBe(exitCode);
    expect(stderr).toContain(`${name}: finishing this step`);
    expect(stderr).toMatch(/stopped after step \d+\. To continue: clm train --run .* --resume/);
    const step = Number(/stopped after step (\d+)/.exec(stderr)![1]);
    expect(step).toBeGreaterThan(0);
    expect(await readdir(path.join(run, 'checkpoints'))).toContain(`step-${String(step).padStart(8, '0')}`);
    const resumed = await clm(['train', '--run', run, '--resume', '--set', `training.steps=${step + 1}`]);
    expect(resumed.code).toBe(0);
    expect(resumed.stderr).toContain(`resuming from step ${step}`);
  });

  it.each([
    ['heads that do not divide the width', ['model.heads=3'], /model\.heads \(3\) must divide model\.width/],
    ['a text shorter than a window', ['model.contextLength=5000'], /fewer than one window/],
    ['more windows a step than there are', ['training.microBatchSize=5000'], /one step takes 5000/],
    ['a model beyond the memory', ['model.width=200000', 'model.layers=90'], /does not fit|memory/],
    ['a key that is none', ['model.layer=3'], /model\.layer.*layers/s],
    ['a prompt with unknown characters', ['samples.prompt=Ünknown'], /samples\.prompt: .*U\+00DC/],
  ])('refuses %s before anything is written', async (_, assignments, message) => {
    const run = at('refused');
    const { code, stderr } = await clm(['train', config, '--run', run, ...assignments.flatMap((a) => ['--set', a])]);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
    expect(existsSync(run)).toBe(false);
  });
});

describe('the other commands', () => {
  it('bench measures a step against the matmul peak', async () => {
    const { code, stdout } = await clm(['bench', config, '--steps', '5', '--json']);
    expect(code).toBe(0);
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({ mode: 'recorded', precision: 'float32' });
    for (const key of ['msPerStep', 'tokensPerSecond', 'gflops', 'matmulGflops'])
      expect(result[key], key).toBeGreaterThan(0);
    expect(result.tokensPerSecond).toBeCloseTo((3 * 8 * 1000) / result.msPerStep, 3);
  });

  it('doctor finds everything installed', async () => {
    const { code, stdout } = await clm(['doctor']);
    expect({ code, bad: stdout.match(/^!! .*/gm) }).toEqual({ code: 0, bad: null });
    expect(stdout).toMatch(/ok {2}recorded step {2}a recorded program runs/);
  });

  it('config show prints the complete config', async () => {
    const { code, stdout } = await clm(['config', 'show', config, '--set', 'model.layers=6']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/layers: 6/);
    expect(stdout).toContain(`path: ${at('text.txt')}`);
  });
});
