import { describe, expect, it } from 'vitest';
import { settingNames } from '../../../src/experiments/comparison/settingNames.ts';

/** Settings with these values, each of the given number of runs. */
const namesOf = (values: Record<string, unknown>[], runs = 1) =>
  settingNames(
    values.map((each, i) => ({
      values: each,
      runs: Array.from({ length: runs }, (_, seed) => ({ summary: { name: `run${i}${seed}` } })),
    })),
  );

describe('settings are named', () => {
  it('by key and value, numbers as in a config', () => {
    expect(namesOf([3e-4, 0.1, 2e7].map((rate) => ({ 'optimizer.learningRate': rate })))).toEqual([
      'learningRate 3e-4',
      'learningRate 0.1',
      'learningRate 2e7',
    ]);
    expect(namesOf([{ 'tokenizer.kind': 'bpe' }, { 'tokenizer.kind': 'bytes' }])[0]).toBe('tokenizer bpe');
  });

  it('by the whole key where two end alike, and by the end of a path where that is enough', () => {
    const [name] = namesOf([
      { 'samples.everySteps': 1, 'evaluation.everySteps': 1 },
      { 'samples.everySteps': 2, 'evaluation.everySteps': 1 },
    ]);
    expect(name).toBe('samples.everySteps 1, evaluation.everySteps 1');
    const from = (...paths: string[]) => namesOf(paths.map((path) => ({ 'start.from': path })));
    expect(from('/runs/a', '/runs/b')).toEqual(['from a', 'from b']);
    expect(from('/one/a', '/two/a')).toEqual(['from /one/a', 'from /two/a']);
  });

  it('without keys that are not set, unless they are what differs', () => {
    expect(
      namesOf([
        { a: 1, b: null },
        { a: 2, b: 3 },
      ]),
    ).toEqual(['a 1', 'a 2, b 3']);
    expect(
      namesOf([
        { a: 1, b: null },
        { a: 2, b: null },
        { a: null, b: null },
      ])[2],
    ).toBe('a null, b null');
  });

  const many = (value: number) =>
    Object.fromEntries([...'abcdefghijk'].map((key, i) => [key, i === 4 ? value : i % 2]));
  it('by few of many keys, or by their runs if each has one', () => {
    expect(namesOf([many(1), many(2), many(3)], 2)).toEqual(['e 1, …', 'e 2, …', 'e 3, …']);
    expect(namesOf([many(1), many(2)])).toEqual(['run00', 'run10']);
  });

  it('by their runs if no key differs or the values are long, and never alike', () => {
    expect(namesOf([{}], 2)).toEqual(['run00, run01']);
    expect(namesOf([{ a: 'x'.repeat(70) }, { a: 'y' }])).toEqual(['run00', 'run10']);
    expect(namesOf([{}], 30)).toEqual(['run00 and 29 more']);
    const alike = { values: {}, runs: [{ summary: { name: 'same' } }] };
    expect(settingNames([alike, alike])).toEqual(['same (1)', 'same (2)']);
  });
});
