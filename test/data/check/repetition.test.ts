import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { describe, expect, test } from 'vitest';

import { checkCorpus } from '../../../src/data/check/checkCorpus.ts';
import { openHashTable } from '../../../src/data/check/hashTable.ts';
import { lineHasher } from '../../../src/data/check/lines.ts';
import type { Place } from '../../../src/data/check/places.ts';
import { openCorpus, type CorpusSettings } from '../../../src/data/files/openCorpus.ts';
import { prepareTokenizer } from '../../../src/data/tokens/prepareTokenizer.ts';
import { folderOf } from '../texts.ts';

const options = { seed: 5, contextLength: 4, microBatchSize: 1, shuffleTokens: 1024, examples: 0 };

async function checked(
  files: Record<string, string | Uint8Array>,
  settings: (folder: string) => Omit<CorpusSettings, 'shuffleTokens'>,
) {
  const corpus = await openCorpus({ ...settings(await folderOf(files)), shuffleTokens: 1024 });
  return checkCorpus(corpus, await prepareTokenizer({ kind: 'bytes' }, corpus), options);
}

/** Lines that occur nowhere else, of 40 bytes and more. */
const lines = (name: string, count: number): string =>
  Array.from({ length: count }, (_, i) => `${name}, line ${i} of a text that nobody else has written\n`).join('');

const inShort = ({ path, line, row }: Place): string => `${basename(path)} ${row === null ? line : `row ${row}`}`;

describe('running text of many files', () => {
  test('that are equal: their names, and whether they are on both sides of the split', async () => {
    const own = lines('own', 9);
    const check = await checked(
      {
        'texts/a.txt': own,
        'texts/b.txt': lines('bee', 9), // of the same size, with other words
        'texts/c.txt.gz': gzipSync(own),
        'texts/d.txt': lines('d', 30),
        'held.txt': `\ufeff${own}`,
      },
      (folder) => ({ sources: [{ path: join(folder, 'texts') }], validation: { path: join(folder, 'held.txt') } }),
    );
    expect(check).toMatchObject({ documents: 5, duplicates: 2, equalFiles: { count: 2, inBothParts: 1 } });
    expect(check.equalFiles.examples.map(({ path, equals }) => [basename(path), basename(equals)])).toEqual([
      ['held.txt', 'a.txt'],
      ['c.txt.gz', 'a.txt'],
    ]);
    expect(check.repeated).toMatchObject({ lines: 9, ofLines: 57, everyLine: 1 });
    expect(check.overlap).toMatchObject({ lines: 9, ofLines: 9, share: 1 });
  });

  test('with passages in both parts: how many of the lines, and where', async () => {
    const shared = lines('shared', 20);
    const check = await checked(
      {
        'texts/a.txt': `${lines('a', 7)}short\n\n${shared}${lines('rest', 50)}`,
        'texts/b.txt': `${lines('b', 3)}${lines('again', 4)}x\n${lines('again', 4)}`,
        'held.txt': `${lines('held', 12)}${shared.replaceAll('\n', '\r\n')}${lines('new', 8)}`,
      },
      (folder) => ({ sources: [{ path: join(folder, 'texts') }], validation: { path: join(folder, 'held.txt') } }),
    );
    expect(check.overlap).toMatchObject({ lines: 20, ofLines: 40, share: 0.5, documents: 0 });
    expect(check.overlap.passages).toHaveLength(1);
    const [passage] = check.overlap.passages;
    expect(passage).toMatchObject({ lines: 20, times: 1, bytes: shared.length });
    expect([inShort(passage!.validation), inShort(passage!.training)]).toEqual(['held.txt 13', 'a.txt 10']);
    expect(check.repeated).toMatchObject({ lines: 4, ofLines: 7 + 20 + 50 + 3 + 8 });
    const [again] = check.repeated.passages;
    expect([inShort(again!.at), inShort(again!.of), again!.lines]).toEqual(['b.txt 9', 'b.txt 4', 4]);
  });

  test('says in which line the split cuts a file, and keeps counts of files that add up', async () => {
    const check = await checked({ 'a.txt': lines('a', 5), 'b.txt': lines('b', 5) }, (folder) => ({
      sources: [{ path: folder }],
      validation: { tail: 0.3 },
    }));
    expect(inShort(check.validationStart!)).toBe('b.txt 3');
    expect([check.training.documents, check.validation.documents, check.documents]).toEqual([2, 0, 2]);
  });
});

describe('a table of hashes that is full', () => {
  /** Hashes whose bits differ as those of lines do. */
  const hash = (i: number): [number, number] => [
    Math.imul(i + 1, 0x9e3779b1) >>> 0,
    Math.imul(i + 1, 0x85ebca6b) >>> 3,
  ];

  test('keeps a sample from which shares are estimated, and still finds what is in it', () => {
    const table = openHashTable(64);
    const add = (i: number): number => {
      const [high, low] = hash(i);
      return table.isSampled(low) ? table.add(high, low, i) : -1;
    };
    for (let i = 0; i < 4000; i++) add(i);
    for (let i = 0; i < 2000; i++) {
      const [high, low] = hash(i);
      if (!table.isSampled(low)) continue;
      expect(table.add(high, low, 9999)).toBe(i); // where it was first
      if (i < 1000) expect(table.mark(high, low)).toBe(i);
    }
    const { every, distinct, occurrences, marked } = table.totals();
    expect(every).toBeGreaterThan(32);
    expect(occurrences / distinct).toBeCloseTo(1.5, 0);
    expect(marked / distinct).toBeGreaterThan(0.1);
    expect(marked / distinct).toBeLessThan(0.4);
  });

  test('counts all while there is room', () => {
    const table = openHashTable(64);
    for (let i = 0; i < 60; i++) table.add(...hash(i), i);
    expect(table.mark(...hash(61))).toBe(-1);
    expect(table.totals()).toEqual({ distinct: 60, occurrences: 60, marked: 0, every: 1 });
  });
});

describe('a line that is very long', () => {
  const hashesOf = (text: string): number[] => {
    const hashes: number[] = [];
    const hasher = lineHasher((high) => hashes.push(high));
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += 700) hasher.write(bytes.subarray(at, at + 700), (i) => at + i);
    hasher.end();
    return hashes;
  };
  const long = Array.from({ length: 4000 }, (_, i) => `word${Math.imul(i, 0x9e3779b1) >>> 12}`).join(' ');

  test('is cut where its content says: what stands before changes only the first pieces', () => {
    const [plain, moved] = [hashesOf(long), hashesOf(`Something else goes first, of any length. ${long}`)];
    expect(plain.length).toBeGreaterThan(20);
    const shared = moved.filter((hash) => plain.includes(hash)).length;
    expect(shared).toBeGreaterThan(plain.length / 2);
    expect(shared).toBeLessThan(moved.length);
  });
});
