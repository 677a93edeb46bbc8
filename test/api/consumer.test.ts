/**
 * The package as other projects use it: linked into their node_modules, from ES modules, CommonJS and TypeScript with
 * the module resolutions that follow `exports`.
 */
import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seedOfPrompt } from '../../src/sampling/requests.ts';
import { clm, root } from '../cli/clm.ts';

const project = mkdtempSync(path.join(os.tmpdir(), 'clm-consumer-'));
const at = (...names: string[]): string => path.join(project, ...names);
const node = (args: string[]) => promisify(execFile)(process.execPath, args, { cwd: project, timeout: 60_000 });
const tsc = (...args: string[]): Promise<unknown> =>
  node([path.join(root, 'node_modules/typescript/bin/tsc'), '-p', project, ...args]).catch(
    ({ stdout }: { stdout: string }) => expect(stdout).toBe(''),
  );
let seen: Record<string, any>;

beforeAll(async () => {
  mkdirSync(at('node_modules'));
  symlinkSync(root, at('node_modules/clm'));
  symlinkSync(path.join(root, 'node_modules/@types'), at('node_modules/@types'));
  writeFileSync(at('package.json'), '{"type":"module"}');
  writeFileSync(at('text.txt'), 'the cat sat on the mat\n'.repeat(60));
  for (const file of ['program.js', 'consumer.ts', 'tsconfig.json'])
    copyFileSync(path.join(root, 'test/consumer', file), at(file));
  const { stdout, stderr } = await node(['program.js']);
  seen = { ...(JSON.parse(stdout) as object), stderr };
});
afterAll(() => rmSync(project, { recursive: true, force: true }));

describe("import … from 'clm'", () => {
  it('prints nothing, handles no signal, leaves the exit code alone, and lets the process end', () => {
    expect(seen).toMatchObject({ stderr: '', exitCode: null, before: seen['imported'], after: seen['imported'] });
    expect(seen['imported']).toEqual({ SIGINT: 0, SIGTERM: 0, SIGHUP: 0, SIGUSR1: 0, uncaughtException: 0 });
    expect(seen['trained']).toMatchObject({ state: 'done', step: 30, run: at('runs/tiny') });
    expect(seen['refused']).toMatchObject({ name: 'InputError', exitCode: 2 });
  });

  it('completes, streams and scores like the commands', async () => {
    const { one, streamed, many, same, text, question, refused } = seen;
    expect(one).toMatchObject({ tokens: 8, seed: 3, completion: streamed });
    expect(
      (many as Record<string, unknown>[]).map(({ index, promptIndex, prompt, tokens, seed }) => [
        ...[index, promptIndex, prompt, tokens, seed],
      ]),
    ).toEqual([
      [0, 0, 'the ', 8, 3],
      [1, 0, 'the ', 8, 4],
      [2, 1, 'cat', 2, seedOfPrompt(3, 1)],
      [3, 1, 'cat', 2, seedOfPrompt(3, 1) + 1],
    ]);
    expect(same).toEqual([3, 3]);
    expect(many[0].tokenIds).toEqual(one.tokenIds);
    const settings = ['--temperature', '1', '--max-tokens', '8', '--seed', '3'];
    const sampled = await clm(['sample', at('runs/tiny'), '--prompt', 'the ', ...settings, '--json']);
    expect((JSON.parse(sampled.stdout) as Record<string, unknown>)['tokenIds']).toEqual(one.tokenIds);
    expect(text).toMatchObject({ tokens: 6 });
    expect(question).toMatchObject({ best: 1 });
    expect(refused.message).toMatch(/U\+0078/);
  });

  it.each(['node16', 'bundler'])('has types for moduleResolution %s, libraries checked too', async (how) => {
    const module = how === 'bundler' ? 'esnext' : how;
    await tsc('--noEmit', '--allowJs', '--checkJs', '--module', module, '--moduleResolution', how);
  });

  it('runs what TypeScript compiles', async () => {
    await tsc();
    const { stdout } = await node(['consumer.js', at('runs/tiny')]);
    const result = JSON.parse(stdout) as Record<string, unknown>;
    expect(result).toMatchObject({
      finishReason: 'length',
      tokens: [4, 4, 2, 2],
      likeliest: 'number',
      logProbability: expect.any(Number),
      stopped: 'stopped after 2',
      losses: 2,
    });
    expect(result['streamed']).toBe(result['completion']);
    expect(['cat', 'sat']).toContain(result['choice']);
    expect(result['refusal']).toMatch(/maxToken is not a setting of a completion/);
  });

  it('can be required from CommonJS, and refuses to compute in a worker thread', async () => {
    writeFileSync(
      at('required.cjs'),
      `const { openRun, loadRun, ConfigError } = require('clm');
const { Worker, isMainThread } = require('node:worker_threads');
if (isMainThread) {
  openRun('runs/tiny').then(({ config }) => console.log(config.name, ConfigError.name));
  new Worker(__filename);
} else loadRun('runs/tiny').catch((error) => console.log(error.name, error.message));
`,
    );
    const { stdout, stderr } = await node(['required.cjs']);
    expect(stderr.replace(/^.*ExperimentalWarning[^]*/m, '')).toBe('');
    expect(stdout.trim().split('\n').sort()).toEqual([
      'InputError TensorFlow runs in the main thread of a process only, not in worker threads.',
      'tiny ConfigError',
    ]);
  });
});
