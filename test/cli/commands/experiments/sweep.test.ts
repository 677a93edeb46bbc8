import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clmAtTerminal } from '../../atTerminal.ts';
import { clm, root } from '../../clm.ts';

let folder: string;
const at = (name: string) => path.join(folder, name);
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'clm-sweep-'));
  writeFileSync(at('text.txt'), 'The cat sat on the mat. '.repeat(60));
  writeFileSync(
    at('base.yaml'),
    `corpus: { sources: [{ path: text.txt }] }
model: { layers: 1, heads: 2, width: 16, contextLength: 8 }
training: { microBatchSize: 3 }
schedule: { warmupSteps: 1, finalLearningRate: 0 }
evaluation: { everySteps: null }
checkpoints: { everySteps: 100 }
samples: { everySteps: null }
`,
  );
  // 1e30 leaves float32 at the second update.
  writeFileSync(
    at('rates.yaml'),
    'config: base.yaml\nset: { training.steps: 600 }\ngrid: { optimizer.learningRate: [1e-3, 1e30, 2e-3] }\n',
  );
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The complete lines; the file may be being written. */
const records = (run: string) =>
  readFileSync(path.join(run, 'metrics.jsonl'), 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
const losses = (run: string) =>
  records(run)
    .filter(({ kind }) => kind === 'step')
    .map(({ step, loss, gradientNorm }) => ({ step, loss, gradientNorm }));

describe('clm sweep', () => {
  it('refuses and names a run with an invalid config before any run starts', async () => {
    writeFileSync(at('bad.yaml'), 'config: base.yaml\ngrid: { model.heads: [2, 3] }\n');
    const { code, stderr } = await clm(['sweep', at('bad.yaml'), '--output', at('bad')]);
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: expect.stringMatching(/^error: heads-3: .*model\.heads \(3\) must divide/),
    });
    expect(existsSync(at('bad'))).toBe(false);
  });

  it('stops the settings with the highest losses at each rung, and trains the last like a single run', async () => {
    writeFileSync(
      at('halved.yaml'),
      'config: base.yaml\nset: { training.steps: 9 }\ngrid: { optimizer.learningRate: [1e-3, 1e-2, 1e-5] }\n' +
        'halving: { factor: 2, from: 3 }\n',
    );
    const args = ['sweep', at('halved.yaml'), '--output', at('halved')];
    const { code, stderr, stdout } = await clm([...args, '--json']);
    expect(code).toBe(0);
    expect(stderr).toContain('halving: 3 settings to 3 steps, 2 to 6 steps, 1 to the end');
    const facts = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    const [first, second] = facts.filter(({ kind }) => kind === 'halving');
    expect(first).toMatchObject({ unit: 'steps', amount: 3, dropped: ['learningRate-0.00001'] });
    expect(second).toMatchObject({ amount: 6, kept: ['learningRate-0.01'], dropped: ['learningRate-0.001'] });
    expect(facts.at(-1)).toMatchObject({ kind: 'sweep', done: 1, dropped: 2, best: 'learningRate-0.01' });
    const steps = (run: string) => losses(path.join(at('halved'), run)).length;
    expect(['0.00001', '0.001', '0.01'].map((rate) => steps(`learningRate-${rate}`))).toEqual([3, 6, 9]);

    const whole = ['--set', 'training.steps=9', '--set', 'optimizer.learningRate=1e-2'];
    await clm(['train', at('base.yaml'), '--run', at('whole'), '--quiet', ...whole]);
    expect(losses(path.join(at('halved'), 'learningRate-0.01'))).toEqual(losses(at('whole')));

    const compared = await clm(['compare', at('halved')]);
    expect(compared.stdout).toMatch(/Halving stopped learningRate 1e-5 \(\d\.\d{4}\) at 3 steps, by validation loss/);
    expect(compared.stdout).toMatch(/Halving stopped learningRate 1e-3 .* at 6 steps/);
  });

  it('refuses halving without a setting to stop, or without a rung before the end', async () => {
    const refused = async (text: string) => {
      writeFileSync(at('refused.yaml'), `config: base.yaml\nset: { training.steps: 9 }\n${text}\n`);
      const { code, stderr } = await clm(['sweep', at('refused.yaml'), '--output', at('refused')]);
      return `${code} ${stderr}`;
    };
    expect(await refused('seeds: 3\nhalving: { from: 3 }')).toMatch(/^2 error: halving needs at least two settings/);
    expect(await refused('grid: { model.dropout: [0, 0.1] }\nhalving: { from: 9 }')).toMatch(
      /^2 error: halving\.from is 9 steps, but no run of the sweep is longer/,
    );
  });

  it('continues after a kill and a failing run, with the same losses as a single run', async () => {
    const output = at('rates');
    const args = ['sweep', at('rates.yaml'), '--output', output];
    const killed = spawn(process.execPath, [path.join(root, 'dist/cli/main.js'), ...args], { stdio: 'ignore' });
    const first = path.join(output, 'learningRate-0.001');
    const deadlineMs = Date.now() + 40_000;
    while (!existsSync(path.join(first, 'metrics.jsonl')) || losses(first).length < 150) {
      expect(Date.now()).toBeLessThan(deadlineMs);
      await sleep(10);
    }
    killed.kill('SIGKILL');
    expect(losses(first).length).toBeLessThan(600);

    const dry = await clm([...args, '--dry-run', '--json']);
    expect(dry.code).toBe(0);
    const plan = dry.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(plan.slice(0, 3).map(({ run, steps, state }) => [run, steps, state === 'new'])).toEqual([
      ['learningRate-0.001', 600, false],
      ['learningRate-1e30', 600, true],
      ['learningRate-0.002', 600, true],
    ]);
    expect(plan[3].expectedMs).toBeGreaterThan(0);

    const { code, stderr } = await clm(args);
    expect(code).toBe(4);
    expect(stderr).toMatch(/\[1\/3\] learningRate-0\.001: done in .*validation loss/);
    expect(stderr).toMatch(/warning: learningRate-1e30 failed: .*(NaN|Infinity)/);
    expect(stderr).toMatch(/\[3\/3\] learningRate-0\.002: done/);
    const notes = readFileSync(path.join(output, 'sweep.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(notes.map(({ kind }) => kind)).toEqual([
      'sweep',
      'started',
      'sweep',
      'started',
      'done',
      'started',
      'failed',
      'started',
      'done',
    ]);
    expect(process.platform !== 'linux' || !existsSync(`/proc/${notes[0].pid}`)).toBe(true);

    await clm([
      'train',
      at('base.yaml'),
      '--run',
      at('single'),
      '--quiet',
      '--set',
      'training.steps=600',
      '--set',
      'optimizer.learningRate=1e-3',
    ]);
    expect(losses(first)).toHaveLength(600);
    expect(losses(first)).toEqual(losses(at('single')));

    const again = await clm(args);
    expect(again.code).toBe(0);
    expect(again.stderr).toContain('3 runs, 0 of them to train');
    expect(again.stderr).toMatch(/\[2\/3\] learningRate-1e30: already failed \(.*\); --retry repeats it/);
    const { stdout } = await clm(['runs', output, '--json', '--state', 'failed']);
    expect(JSON.parse(stdout)).toMatchObject({
      name: 'learningRate-1e30',
      state: 'failed',
      reason: expect.stringMatching(/NaN|Infinity/),
    });
  });

  it('shows on a terminal how far it is, and the time that is left', async () => {
    writeFileSync(at('one.yaml'), 'config: base.yaml\nset: { training.steps: 900 }\nseeds: 1\n');
    const args = ['sweep', at('one.yaml'), '--output', at('one')];
    const { output, code } = await clmAtTerminal(args, [], { size: [100, 20] });
    expect(code).toBe(0);
    const shown = [...output.matchAll(/\[0\/1\] about .*? left; seed-1: step ([\d,]+)/g)];
    expect(shown.length).toBeGreaterThan(0);
    expect(output).toMatch(/1 run, 1 of them to train, into \S+; about [\d.]+ (s|min)/);
    expect(output).toMatch(/\[1\/1\] seed-1: done in /);
    expect(output.slice(output.lastIndexOf('done in'))).not.toContain('left; seed-1');
  });

  it('takes no run of another schedule, evaluation or length for its own', async () => {
    const sweep = (changes: Record<string, unknown>, ...options: string[]) => {
      const set = JSON.stringify({ 'training.steps': 4, ...changes });
      writeFileSync(at('edited.yaml'), `config: base.yaml\nset: ${set}\nseeds: 2\n`);
      return clm(['sweep', at('edited.yaml'), '--output', at('edited'), ...options]);
    };
    expect((await sweep({})).code).toBe(0);
    const edited = await sweep({ 'schedule.warmupSteps': 2, 'evaluation.everySteps': 2 });
    expect({ code: edited.code, stdout: edited.stdout }).toEqual({ code: 2, stdout: '' });
    expect(edited.stderr).toMatch(
      /seed-1: \S*edited\/seed-1 has a run .* another schedule.warmupSteps, evaluation.everySteps\. .* --output/,
    );
    const shorter = await sweep({ 'training.steps': 3 });
    expect({ code: shorter.code, stdout: shorter.stdout }).toEqual({ code: 2, stdout: '' });
    expect(shorter.stderr).toMatch(/seed-1: 4 steps, not 3\n {2}seed-2: 4 steps, not 3\nGive this sweep .* --output/);

    const kept = await sweep({ 'checkpoints.keepLast': 1 }, '--dry-run');
    expect(kept.code).toBe(0);
    expect(kept.stderr).toMatch(/warning: seed-1 and seed-2: the run was trained with another checkpoints.keepLast: /);

    const longer = await sweep({ 'training.steps': 5 }, '--dry-run');
    expect(longer.code).toBe(0);
    expect(longer.stdout).toMatch(/^seed-2 +\S+ +5 +\d+ +done at step 4$/m);
    await clm(['train', '--resume', '--run', at('edited/seed-2'), '--set', 'training.steps=7', '--quiet']);
    const extended = await sweep({ 'training.steps': 5 });
    expect(extended.code).toBe(2);
    expect(extended.stderr).toMatch(/for:\n {2}seed-2: 7 steps, not 5\n/);
  });
});
