/** Runs of one and of two processes, through the built program: `npm run check -- processes` compares many more. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'clm-processes-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function train(run: string, ...args: string[]): Promise<void> {
  const command = [program, 'train', 'config.yaml', '--run', run, '--quiet', ...args];
  await promisify(execFile)(process.execPath, command, { cwd: folder });
}

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

it('two processes, stopped and continued by one, train the same run as one process to the bit', async () => {
  const text = Array.from({ length: 3000 }, (_, i) => `${(i * i * 7919) % 10007}`).join(' ');
  await writeFile(path.join(folder, 'text.txt'), text);
  await writeFile(
    path.join(folder, 'config.yaml'),
    `corpus: { sources: [{ path: text.txt }] }
model: { layers: 1, heads: 2, width: 24, contextLength: 11, dropout: 0.1 }
training: { microBatchSize: 5, microBatchesPerStep: 4, steps: 6, precision: bfloat16 }
optimizer: { kind: muon, gradientClip: 0.1 }
evaluation: { everySteps: 2 }
samples: { everySteps: null }
`,
  );
  await Promise.all([train('alone'), train('shared', '--processes', '2', '--until', '4')]);
  const status = JSON.parse(await readFile(path.join(folder, 'shared/status.json'), 'utf8')) as object;
  expect(status).toMatchObject({ state: 'stopped', step: 4 });
  expect(JSON.parse(await readFile(path.join(folder, 'shared/environment.json'), 'utf8'))).toMatchObject({
    processes: 2,
  });
  await train('shared', '--resume');
  const [alone, shared] = [await resultOf('alone'), await resultOf('shared')];
  expect(alone.log.filter(([kind]) => kind === 'step')).toHaveLength(6);
  expect(shared.log).toEqual(alone.log);
  expect(shared.parameters).toBe(alone.parameters);
  expect(shared.optimizer).toBe(alone.optimizer);
});
