import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readdirSync } from 'node:fs';
import { runTraining } from '../../src/training/run.ts';
import { prepareRun } from './prepareRun.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Made by scripts/fixtures/golden-losses.mjs. */
const golden = JSON.parse(await readFile(path.join(root, 'test/fixtures/golden-losses.json'), 'utf8')) as Record<
  string,
  { set: string[]; losses: number[] }
>;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'clm-golden-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function losses(config: string, run: string, steps: number): Promise<number[]> {
  const set = golden[config]!.set.map((assignment) =>
    assignment.replace('path: node_modules', `path: ${root}node_modules`),
  );
  const prepared = await prepareRun({
    config: path.join(root, 'configs', config),
    runDirectory: path.join(folder, run),
    set: [...set, 'device=cpu', `training.steps=${steps}`],
    resume: false,
  });
  const found: number[] = [];
  await runTraining(prepared, {
    mode: 'recorded',
    signal: new AbortController().signal,
    report: (fact) => void (fact.kind === 'step' && found.push(fact.loss)),
  });
  return found;
}

describe('the first ten losses of each shipped config', () => {
  it('are recorded for every config', () => {
    expect(Object.keys(golden)).toEqual(
      readdirSync(path.join(root, 'configs'))
        .filter((name) => name.endsWith('.yaml'))
        .sort(),
    );
  });

  // Other processors have other kernels, whose sums round differently: a thousandth is far more than that, and far
  // less than any change of the mathematics.
  it.each(Object.keys(golden))('%s', async (config) => {
    const expected = golden[config]!.losses;
    expect(expected).toHaveLength(10);
    expect(expected[9]!).toBeLessThan(expected[0]!);
    const found = await losses(config, config, 10);
    found.forEach((loss, i) => expect(Math.abs(loss / expected[i]! - 1), `update ${i + 1}`).toBeLessThan(1e-3));
    expect(found).toHaveLength(10);
  });
});
