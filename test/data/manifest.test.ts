import { appendFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import {
  changesOf,
  corpusManifest,
  parseManifest,
  refuseChangedCorpus,
  renderManifest,
} from '../../src/data/manifest.ts';
import { openCorpus } from '../../src/data/files/openCorpus.ts';
import { folderOf } from './texts.ts';

const tokens = { trainingTokens: 7, validationTokens: 3 };
const manifestOf = async (folder: string) =>
  corpusManifest(
    await openCorpus({ sources: [{ path: folder }], validation: { tail: 0.5 }, shuffleTokens: 1024 }),
    tokens,
  );

describe('the manifest of a corpus', () => {
  test('is the same after writing and reading, and the unchanged corpus passes', async () => {
    const folder = await folderOf({ 'a.txt': 'first', 'b.txt': 'x'.repeat(3_000_000) });
    const manifest = await manifestOf(folder);
    expect(parseManifest(renderManifest(manifest, '/runs/a/corpus.json'), '/runs/a/corpus.json')).toEqual(manifest);
    expect(() => refuseChangedCorpus(manifest, manifest)).not.toThrow();
  });

  test('says how many files are only for validation', async () => {
    const folder = await folderOf({ 'train/a.txt': 'first', 'train/b.txt': 'second', 'held.txt': 'third' });
    const sources = [{ path: join(folder, 'train') }];
    const opened = async (validation: { tail: number } | { path: string }) =>
      corpusManifest(await openCorpus({ sources, validation, shuffleTokens: 1024 }), tokens);
    expect(await opened({ path: join(folder, 'held.txt') })).toMatchObject({ validationFiles: 1 });
    expect((await opened({ tail: 0.9 })).validationFiles).toBe(1);
    expect(await opened({ tail: 0.1 })).not.toHaveProperty('validationFiles');
  });

  test.each([
    ['other content', (folder: string) => writeFile(join(folder, 'a.txt'), 'First'), 'a.txt has different content.'],
    ['a longer file', (folder: string) => appendFile(join(folder, 'a.txt'), '!'), 'a.txt has 6 bytes instead of 5.'],
    ['a new file', (folder: string) => writeFile(join(folder, 'c.txt'), 'third'), 'c.txt is new.'],
    ['a file less', (folder: string) => rm(join(folder, 'a.txt')), 'a.txt is missing.'],
  ])('refuses %s, with the way out', async (_, change, message) => {
    const folder = await folderOf({ 'a.txt': 'first', 'b.txt': 'second' });
    const before = await manifestOf(folder);
    await change(folder);
    const now = await manifestOf(folder);
    expect(() => refuseChangedCorpus(before, now)).toThrow(
      `began: ${join(folder, message)} Restore it to resume the run, or start a new run with --run.`,
    );
  });

  test('knows the same content at other places and under other names', async () => {
    const before = await manifestOf(await folderOf({ 'a.txt': 'first', 'b.txt': 'second' }));
    const stored = renderManifest(before, join(before.files[0]!.path, '../runs/x/corpus.json'));
    expect(stored).toContain('"path": "../../a.txt"');
    const renamed = await folderOf({ 'c.txt': 'first', 'd.txt': 'second' });
    const moved = parseManifest(stored, join(renamed, 'runs/x/corpus.json'));
    expect(moved.files.map(({ path }) => path)).toEqual([join(renamed, 'a.txt'), join(renamed, 'b.txt')]);
    expect(changesOf(moved, await manifestOf(renamed))).toBeUndefined();
    const swapped = await folderOf({ 'a.txt': 'second', 'b.txt': 'first' });
    expect(changesOf(before, await manifestOf(swapped))).toBe(
      'its files are in a different order, or for another purpose',
    );
    const other = await folderOf({ 'a.txt': 'first', 'b.txt': 'SECOND' });
    expect(changesOf(before, await manifestOf(other))).toBe(`${join(other, 'b.txt')} has different content`);
  });

  test('notices a change of the first or the last byte of a long file', async () => {
    for (const index of [0, 2_999_999]) {
      const folder = await folderOf({ 'a.txt': 'x'.repeat(3_000_000) });
      const before = await manifestOf(folder);
      await writeFile(join(folder, 'a.txt'), `${'x'.repeat(index)}y${'x'.repeat(2_999_999 - index)}`);
      const now = await manifestOf(folder);
      expect(() => refuseChangedCorpus(before, now)).toThrow('a.txt has different content');
    }
  });

  test('is refused by name if it is damaged', () => {
    expect(() => parseManifest('{"version":1}', 'runs/a/corpus.json')).toThrow('runs/a/corpus.json is damaged');
  });
});
