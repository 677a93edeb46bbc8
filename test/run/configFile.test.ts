/** Two config files of one name never become one run unsaid. */
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { renderConfig } from '../../src/config/resolved.ts';
import { isOver, planSweep } from '../../src/experiments/sweep/planSweep.ts';
import type { RunSummary } from '../../src/experiments/runSummary.ts';
import { configNote, otherConfigOf } from '../../src/run/configFile.ts';
import { prepareTraining } from '../../src/training/prepare.ts';
import { useTemporaryFolder } from '../temporaryFolder.ts';

const folder = useTemporaryFolder();
const at = (name: string): string => join(folder(), name);

const config = (width: number): string => `
corpus: { sources: [{ path: ../t.txt }] }
tokenizer: { kind: bytes }
model: { layers: 1, heads: 1, width: ${width}, contextLength: 4 }
training: { microBatchSize: 1, steps: 3 }
`;

/** A run of a/x.yaml that has no checkpoint yet. */
beforeEach(() => {
  writeFileSync(at('t.txt'), 'a text of some length, '.repeat(9));
  for (const name of ['a', 'b', 'runs', 'runs/x', 'sweep', 'sweep/seed-1']) mkdirSync(at(name));
  for (const [name, width] of [
    ['a/x.yaml', 8],
    ['b/x.yaml', 8],
    ['a/x.yml', 6],
  ] as const)
    writeFileSync(at(name), config(width));
  for (const run of ['runs/x', 'sweep/seed-1']) {
    const environment = { program: 'clm', config: configNote(at(run), at('a/x.yaml')) };
    writeFileSync(at(`${run}/environment.json`), JSON.stringify(environment));
    writeFileSync(at(`${run}/config.yaml`), renderConfig(loadConfig(at('a/x.yaml'), { set: ['seed=1'] })));
  }
});

const train = (file: string, isNamedByConfig: boolean, resume = false) =>
  prepareTraining({
    ...{
      config: loadConfig(at(file)),
      asked: { configPath: at(file), set: [] },
      runDirectory: at('runs/x'),
      isNamedByConfig,
      resume,
    },
  });

describe('clm train', () => {
  it.each([
    ['b/x.yaml', false],
    ['a/x.yml', false],
    ['b/x.yaml', true],
  ])('refuses %s where the run of a/x.yaml is (--resume: %s), and proposes --run', async (file, resume) => {
    const [run, other, free] = ['runs/x', 'a/x.yaml', 'runs/x-2'].map((name) => relative(process.cwd(), at(name)));
    await expect(train(file, true, resume)).rejects.toThrow(
      `${run} is the run of another config, ${other}, not of ${at(file)}. Give this one a directory of its own:\n  ` +
        `clm train ${at(file)} --run ${free}\n`,
    );
  });

  it('takes the config itself, also through a link, and a directory that the user named', async () => {
    symlinkSync(at('a/x.yaml'), at('b/link.yaml'));
    for (const [file, isNamed] of [
      ['a/x.yaml', true],
      ['b/link.yaml', true],
      ['b/x.yaml', false],
    ] as const)
      expect(await train(file, isNamed)).toMatchObject({ warnings: expect.any(Array) });
  });

  it('takes a config that was renamed', async () => {
    rmSync(at('a/x.yaml'));
    expect(otherConfigOf(at('runs/x'), at('b/x.yaml'))).toBeUndefined();
  });
});

describe('clm sweep', () => {
  const runs = [{ name: 'seed-1', setting: '{}', set: ['seed=1'] }];
  const plan = (file: string) =>
    planSweep(runs, { config: at(file), output: at('sweep'), retry: false, opened: () => {} });

  it('does not take the run of another config for its own', async () => {
    await expect(plan('b/x.yaml')).rejects.toThrow(/seed-1: .*sweep\/seed-1 has a run that was made from .*a\/x\.yaml/);
    expect(await plan('a/x.yaml')).toHaveLength(1);
  });

  it('does not take a run for its own that was made before its config was changed', async () => {
    writeFileSync(at('a/x.yaml'), config(12));
    await expect(plan('a/x.yaml')).rejects.toThrow(/was made with another .*model\.width/);
  });

  it('trains a run that was done with fewer steps', () => {
    const done = { state: 'done', reason: null, step: 20 } as RunSummary;
    expect([20, 30, 10].map((steps) => isOver(done, steps, false))).toEqual([true, false, true]);
    expect(isOver({ ...done, reason: 'no lower loss' }, 30, false)).toBe(true);
    expect(isOver({ ...done, state: 'failed' }, 20, true)).toBe(false);
  });
});
