import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { validationBatches } from '../../../src/data/windows/batches.ts';
import { openCorpus } from '../../../src/data/files/openCorpus.ts';
import { parseCursor } from '../../../src/data/windows/cursor.ts';
import { trainingSequence } from '../../../src/data/windows/mixture.ts';
import { prepareTokenizer } from '../../../src/data/tokens/prepareTokenizer.ts';
import { all, folderOf, rejection, take } from '../texts.ts';

const options = { seed: 11, contextLength: 5, microBatchSize: 3, shuffleTokens: 61 };

/** Three sources whose letters tell them apart. */
async function mixed(weights: [number, number?][]) {
  const folder = await folderOf({
    'a.txt': 'a'.repeat(301),
    'b.jsonl': '{"text":"bbbbbbbbb"}\n'.repeat(40),
    'c.txt': 'c'.repeat(50),
  });
  const sources = ['a.txt', 'b.jsonl', 'c.txt'].map((name, i) => ({
    path: join(folder, name),
    weight: weights[i]![0],
    finalWeight: weights[i]![1] ?? null,
  }));
  const corpus = await openCorpus({ sources, validation: { tail: 0.2 }, shuffleTokens: 1024 });
  const { tokenizer } = await prepareTokenizer({ kind: 'bytes' }, corpus);
  return { corpus, tokenizer };
}

/** The source of each row, by its first letter. */
const rowSources = (batches: { inputs: Int32Array }[]): string[] =>
  batches.flatMap(({ inputs }) =>
    [0, 1, 2].map((row) => String.fromCharCode([...inputs.subarray(row * 5, row * 5 + 5)].find((id) => id < 256)!)),
  );

describe('a mixture', () => {
  test('draws every source by its share, never a whole window away from it, across epochs', async () => {
    const { corpus, tokenizer } = await mixed([[5], [3], [2]]);
    const rows = rowSources(await take(trainingSequence(corpus, tokenizer, options), 100));
    for (let n = 1; n <= rows.length; n++) {
      for (const [source, share] of [
        ['a', 0.5],
        ['b', 0.3],
        ['c', 0.2],
      ] as const) {
        expect(Math.abs(rows.slice(0, n).filter((row) => row === source).length - share * n)).toBeLessThan(1.0001);
      }
    }
  });

  test('changes shares linearly over the run', async () => {
    const { corpus, tokenizer } = await mixed([
      [1, 3],
      [1, 1],
      [2, 0.1],
    ]);
    const rows = rowSources(await take(trainingSequence(corpus, tokenizer, { ...options, totalWindows: 300 }), 100));
    const count = (source: string, part: string[]) => part.filter((row) => row === source).length;
    expect(count('a', rows.slice(0, 60))).toBeLessThan(24);
    expect(count('a', rows.slice(240))).toBeGreaterThan(36);
    expect(count('c', rows.slice(0, 60))).toBeGreaterThan(24);
    expect(count('c', rows.slice(240))).toBeLessThan(9);
  });

  test('interpolates weights between points at steps, from 0 and to 0, and then keeps the last', async () => {
    const { corpus, tokenizer } = await mixed([[1], [0], [1]]);
    const points = [
      undefined,
      [
        { step: 10, weight: 0 },
        { step: 30, weight: 2 },
      ],
      [
        { step: 10, weight: 1 },
        { step: 20, weight: 0 },
      ],
    ];
    const scheduled = {
      ...corpus,
      mixture: corpus.mixture!.map((source, i) => ({
        ...source,
        weights: { ...source.weights, weightsAtSteps: points[i] },
      })),
    };
    // two micro-batches a step
    const stages = [{ fromStep: 0, windowsPerStep: 6 }];
    const rows = rowSources(await take(trainingSequence(scheduled, tokenizer, { ...options, stages }), 100));
    const count = (source: string, fromStep: number, toStep: number) =>
      rows.slice(6 * fromStep, 6 * toStep).filter((row) => row === source).length;
    expect([count('a', 0, 10), count('b', 0, 10), count('c', 0, 10)]).toEqual([30, 0, 30]);
    expect(count('b', 10, 20)).toBeLessThan(count('b', 20, 30));
    expect(count('c', 21, 50)).toBe(0);
    expect(count('b', 30, 50)).toBeGreaterThanOrEqual(79); // two thirds of 120
    expect(count('b', 30, 50)).toBeLessThanOrEqual(81);
  });

  test('resumes anywhere with exactly the rest', async () => {
    const { corpus, tokenizer } = await mixed([
      [5, 1],
      [3, 4],
      [2, 2],
    ]);
    const withEnd = { ...options, totalWindows: 200 };
    const batches = await take(trainingSequence(corpus, tokenizer, withEnd), 60);
    for (let i = 0; i < 55; i += 6) {
      const cursor = parseCursor(JSON.parse(JSON.stringify(batches[i]!.cursor)), 'state.json');
      expect(await take(trainingSequence(corpus, tokenizer, withEnd, cursor), 4)).toEqual(batches.slice(i + 1, i + 5));
    }
    expect(batches.at(-1)!.cursor.mixture!.some(({ cursor }) => cursor.epoch > 0)).toBe(true);
    expect(batches.at(-1)!.cursor.mixture!.reduce((sum, { windows }) => sum + windows, 0)).toBe(180);
  });

  test('validates every source separately, each with its own tail', async () => {
    const { corpus, tokenizer } = await mixed([[5], [3], [2]]);
    const batches = await all(validationBatches(corpus, tokenizer, options));
    expect([...new Set(batches.map(({ source }) => source))]).toEqual(['a.txt', 'b.jsonl', 'c.txt']);
    const targets = (name: string) =>
      batches.filter(({ source }) => source === name).reduce((sum, { targetCount }) => sum + targetCount, 0);
    expect(targets('b.jsonl')).toBe(8 * 10 - 1);
    expect(targets('c.txt')).toBeLessThan(12 + 1);
  });

  test('refuses two sources with the same name', async () => {
    const folder = await folderOf({ 'x/a.txt': 'aaaa', 'y/a.txt': 'bbbb' });
    const sources = ['x', 'y'].map((name) => ({ path: join(folder, name, 'a.txt'), weight: 1 }));
    const error = await rejection(openCorpus({ sources, validation: { tail: 0.5 }, shuffleTokens: 1024 }));
    expect(error.message).toContain('two sources are called a.txt');
  });
});
