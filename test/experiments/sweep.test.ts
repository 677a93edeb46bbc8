import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readSweep } from '../../src/experiments/sweep/sweepFile.ts';
import { expandSweep } from '../../src/experiments/sweep/expandSweep.ts';
import { useTemporaryFolder } from '../temporaryFolder.ts';
import { wrongInputMessage } from '../config/configFolder.ts';

const folder = useTemporaryFolder();
const sweep = (text: string) => {
  const file = path.join(folder(), 'rates.yaml');
  writeFileSync(file, text);
  return readSweep(file);
};
const runs = (text: string) => expandSweep(sweep(text));

describe('the runs of a sweep', () => {
  it('are all combinations of grids, zipped lists and seeds, named by the values that differ', () => {
    const made = runs(`config: a.yaml
set: { training.steps: 7 }
grid: { optimizer.learningRate: [1e-3, 0.02] }
zip: [{ model.layers: [2, 4], model.heads: [1, 8] }]
seeds: 2
`);
    expect(made).toHaveLength(8);
    expect(made[0]).toEqual({
      name: 'learningRate-0.001_layers-2_heads-1_seed-1',
      setting: '{"optimizer.learningRate":0.001,"model.layers":2,"model.heads":1}',
      set: [
        'name="learningRate-0.001_layers-2_heads-1_seed-1"',
        'training.steps=7',
        'optimizer.learningRate=0.001',
        'model.layers=2',
        'model.heads=1',
        'seed=1',
      ],
    });
    expect(made[7]!.name).toBe('learningRate-0.02_layers-4_heads-8_seed-2');
    expect(new Set(made.map(({ name }) => name)).size).toBe(8);
  });

  it('draw from ranges by seed: repeatable, different for another seed, on the given scale', () => {
    const text = (seed: number) => `config: a.yaml
random:
  draws: 400
  seed: ${seed}
  ranges:
    optimizer.learningRate: { from: 1e-4, to: 1e-2, scale: log }
    model.layers: { from: 2, to: 5, whole: true }
`;
    const values = (seed: number, key: string) =>
      runs(text(seed)).map(({ set }) => Number(set.find((each) => each.startsWith(key))!.split('=')[1]));
    const rates = values(1, 'optimizer.learningRate');
    expect(values(1, 'optimizer.learningRate')).toEqual(rates);
    expect(values(2, 'optimizer.learningRate')).not.toEqual(rates);
    expect(Math.min(...rates)).toBeGreaterThanOrEqual(1e-4);
    expect(Math.max(...rates)).toBeLessThanOrEqual(1e-2);
    expect(rates.length).toBeGreaterThan(380); // values have four digits, so a few are equal
    // Half of them below the geometric mean, within 4 standard deviations of a fair coin.
    expect(Math.abs(rates.filter((rate) => rate < 1e-3).length - rates.length / 2)).toBeLessThan(40);
    const layers = values(1, 'model.layers');
    for (const each of [2, 3, 4, 5])
      expect(Math.abs(layers.filter((value) => value === each).length - layers.length / 4)).toBeLessThan(40);
    expect(layers.every(Number.isInteger)).toBe(true);
  });

  it('resolve paths relative to the sweep file, and name a run by its file', () => {
    const [run] = runs('config: sub/a.yaml\ngrid: { "corpus.sources[0].path": [texts/b.txt] }\n');
    expect(sweep('config: sub/a.yaml\nseeds: [5]\n').config).toBe(path.join(folder(), 'sub/a.yaml'));
    expect(run!.name).toBe('path-b.txt');
    expect(run!.set[1]).toBe(`corpus.sources[0].path=${JSON.stringify(path.join(folder(), 'texts/b.txt'))}`);
  });

  it('are just the base config with its fixed values if nothing varies', () => {
    expect(runs('config: a.yaml\n')).toEqual([{ name: 'rates', setting: '{}', set: ['name="rates"'] }]);
  });

  it.each([
    ['', /is empty; a sweep needs/],
    ['grid: { seed: [1] }', /config is missing/],
    ['config: a.yaml\ngrids: { seed: [1] }', /rates\.yaml:2:1: grids is not a key of a sweep/],
    [
      'config: a.yaml\ngrid: { optimizer.learningrate: [1] }',
      /:2:9: optimizer\.learningrate is not a config key.*learningRate/,
    ],
    ['config: a.yaml\ngrid: { model.layers: 2 }', /:2:23: model\.layers must be a list/],
    [
      'config: a.yaml\nzip: [{ model.layers: [1, 2], model.heads: [1] }]',
      /:2:44: model\.heads has 1 values, model\.layers has 2/,
    ],
    ['config: a.yaml\nseeds: 0', /seeds must be at least 1/],
    [
      'config: a.yaml\nrandom: { draws: 2, ranges: { model.dropout: { from: 0, to: 1, scale: log } } }',
      /needs from greater than 0/,
    ],
    [
      'config: a.yaml\nrandom: { draws: 2, ranges: { model.dropout: { from: 1, to: 0 } } }',
      /from must be less than to/,
    ],
    ['config: a.yaml\nrandom: { draws: 2 }', /random\.ranges is missing/],
    ['config: a.yaml\ngrid: { name: [a, b] }', /name cannot be set/],
    ['config: a.yaml\nhalving: { factor: 1, from: 5 }', /:2:20: halving\.factor must be .* at least 2/],
    ['config: a.yaml\nhalving: { factor: 3 }', /halving\.from is missing/],
    ['config: a.yaml\nhalving: { from: { tokens: 0 } }', /halving\.from\.tokens must be at least 1/],
    ['config: a.yaml\nhalving: { from: { steps: 5, time: 3s } }', /needs one of steps, tokens and time/],
    ['config: a.yaml\nhalving: { from: { time: soon } }', /halving\.from\.time must be a duration .*"soon"/],
  ])('refuse %j', (text, message) => {
    expect(wrongInputMessage(() => sweep(text))).toMatch(message);
  });

  const long = 'x'.repeat(210);
  it.each([
    ['seeds: [3, 3]', 'seed-3: a value is there twice'],
    ['grid: { optimizer.learningRate: [1e-3, 0.001] }', 'perhaps in two spellings'],
    ['zip: { seed: [1, 1], model.layers: [2, 2] }', 'seed-1_layers-2: a value is there twice'],
    [
      'grid: { corpus.validation.path: [q/t.txt, r/t.txt] }',
      'path counts by its file name only. Rename one of the files',
    ],
    ['grid: { samples.prompt: ["a b", "a+b"] }', 'samples.prompt is "a b" in one and "a+b" in the other'],
    ['grid: { samples.prompt: ["1", 1] }', 'samples.prompt is "1" in one and 1 in the other, and they look the same'],
    [`grid: { samples.prompt: [${long}a, ${long}b] }`, 'names are cut to 200 characters, and theirs differ only after'],
  ])('say why two would have one name: %s', (text, reason) => {
    expect(wrongInputMessage(() => runs(`config: a.yaml\n${text}\n`))).toContain(reason);
  });

  it('refuse a key that is set twice, and a list that repeats a value', () => {
    expect(wrongInputMessage(() => runs('config: a.yaml\ngrid: { seed: [1] }\nseeds: 2\n'))).toMatch(
      /the sweep sets seed twice/,
    );
    expect(wrongInputMessage(() => runs('config: a.yaml\ngrid: { model.layers: [2, 2] }\n'))).toMatch(
      /two runs .* layers-2/,
    );
  });
});
