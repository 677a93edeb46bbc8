import { link, mkdir, symlink, truncate } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';

import { describe, expect, test } from 'vitest';

import { openCorpus } from '../../../src/data/files/openCorpus.ts';
import type { Corpus } from '../../../src/data/files/corpus.ts';
import { characterStart } from '../../../src/data/files/validationSplit.ts';
import { ExpectedError } from '../../../src/errors.ts';
import { corpusOf, folderOf, rejection } from '../texts.ts';

const open = (paths: string[], tail = 0.5): Promise<Corpus> =>
  openCorpus({ sources: paths.map((path) => ({ path })), validation: { tail }, shuffleTokens: 1024 });

describe('files of the sources', () => {
  test('of a folder are all files at any depth, in bytewise order, without hidden ones', async () => {
    const hidden = { '.hidden': 'no', 'c/.d/e': 'no' };
    const folder = await folderOf({ 'b.txt': 'bb', 'B.txt': 'B', 'é.txt': 'e', 'a/z.txt': 'az', ...hidden });
    const corpus = await open([folder]);
    expect(corpus.files.map((file) => relative(folder, file.path))).toEqual(['B.txt', 'a/z.txt', 'b.txt', 'é.txt']);
    expect(corpus.files.map((file) => file.startByte)).toEqual([0, 1, 3, 5]);
    expect(corpus.bytes).toBe(6);
  });

  test('of a glob are its matches, and sources keep their order', async () => {
    const folder = await folderOf({ 'x/2.txt': '22', 'x/1.txt': '1', 'x/1.md': 'md', 'a.txt': 'a' });
    const corpus = await open([join(folder, 'x/*.txt'), join(folder, 'a.txt')]);
    expect(corpus.files.map((file) => basename(file.path))).toEqual(['1.txt', '2.txt', 'a.txt']);
  });

  test('a file named twice, even through a link, counts once, the first time', async () => {
    const folder = await folderOf({ 'a.txt': 'a', 'b.txt': 'b' });
    await symlink(join(folder, 'a.txt'), join(folder, 'c.txt'));
    const corpus = await open([join(folder, 'b.txt'), folder]);
    expect(corpus.files.map((file) => basename(file.path))).toEqual(['b.txt', 'a.txt']);
    await link(join(folder, 'a.txt'), join(folder, 'd.txt')); // two names of equal rank, no link to follow
    expect((await open([folder])).files).toHaveLength(3);
  });

  test('an existing path is never a glob', async () => {
    const folder = await folderOf({ 'notes[1].txt': 'right', 'notes1.txt': 'wrong' });
    const corpus = await open([join(folder, 'notes[1].txt')]);
    expect(corpus.files.map((file) => basename(file.path))).toEqual(['notes[1].txt']);
  });

  test('an empty file among others is left out', async () => {
    const folder = await folderOf({ 'a.txt': '', 'b.txt': 'bb' });
    expect((await open([folder])).files.map((file) => basename(file.path))).toEqual(['b.txt']);
  });

  test.each([
    ['a missing file', 'gone.txt', 'no such file or folder: PATH. Correct the path or put the text there.'],
    ['a glob without a match', '*.csv', 'no file matches the glob PATH.'],
    ['a folder without files', 'folder', 'the folder PATH contains no files.'],
    ['an empty file', 'empty.txt', 'PATH contains no text: all its files are empty.'],
  ])('%s is wrong input that names the source', async (_, name, message) => {
    const folder = await folderOf({ 'a.txt': 'aa', 'empty.txt': '' });
    await mkdir(join(folder, 'folder'));
    const error = await rejection(open([join(folder, 'a.txt'), join(folder, name)]));
    expect(error).toBeInstanceOf(ExpectedError);
    expect(error.message).toBe(`corpus.sources[1].path: ${message.replace('PATH', join(folder, name))}`);
  });

  test('a device is wrong input', async () => {
    const error = await rejection(open(['/dev/null']));
    expect(error.message).toBe(
      'corpus.sources[0].path: /dev/null is neither a file nor a folder. Name text files or a folder of them.',
    );
  });

  test('a circle of links is wrong input', async () => {
    const folder = await folderOf({});
    await symlink(join(folder, 'b'), join(folder, 'a'));
    await symlink(join(folder, 'a'), join(folder, 'b'));
    const error = await rejection(open([join(folder, 'a')]));
    expect(error.message).toBe(`corpus.sources[0].path: cannot read ${join(folder, 'a')}: its links form a loop.`);
  });
});

describe('byte order marks', () => {
  test('are not text: they do not count in positions', async () => {
    const corpus = await corpusOf(['\uFEFFab', 'cd', '\uFEFF', '\uFEFFef'], 0.34);
    expect(corpus.files.map(({ bytes, startByte, markBytes }) => [bytes, startByte, markBytes])).toEqual([
      [2, 0, 3],
      [2, 2, 0],
      [2, 4, 3],
    ]);
    expect(corpus.bytes).toBe(6);
    expect(corpus.training).toEqual({ startByte: 0, endByte: 3 });
  });

  test('alone are an empty text', async () => {
    const folder = await folderOf({ 'a.txt': '\uFEFF' });
    const error = await rejection(open([folder]));
    expect(error.message).toBe(
      'corpus.sources: the files contain no text (after decompression, without byte order marks). Name other files.',
    );
  });
});

describe('the split', () => {
  test('is the last fraction of the bytes over all files', async () => {
    const corpus = await corpusOf(['a'.repeat(7), 'b'.repeat(13)], 0.1);
    expect(corpus.training).toEqual({ startByte: 0, endByte: 18 });
    expect(corpus.validation).toEqual({ startByte: 18, endByte: 20 });
  });

  test('moves back to the start of a character', async () => {
    const text = 'aé€😀b'; // characters begin at 0, 1, 3, 6, 10; 11 bytes
    const cuts = new Map<number, number>();
    for (let cut = 1; cut < 11; cut++) {
      const { training } = await corpusOf([text], 1 - (cut + 0.5) / 11);
      cuts.set(cut, training.endByte);
    }
    expect([...cuts.values()]).toEqual([1, 1, 3, 3, 3, 6, 6, 6, 6, 10]);
  });

  test('does not look into the neighbouring file', async () => {
    const corpus = await corpusOf(['€', '😀']);
    expect(await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map((byte) => characterStart(corpus, byte)))).toEqual([
      0, 0, 0, 3, 3, 3, 3, 7,
    ]);
  });

  test.each([
    ['training', '😀', 0.5],
    ['validation', 'a'.repeat(11), 1e-17],
  ])('that leaves no %s text is wrong input', async (part, text, tail) => {
    const error = await rejection(corpusOf([text], tail));
    expect(error).toBeInstanceOf(ExpectedError);
    expect(error.message).toContain(`leaves no ${part} text`);
  });

  test('splits a sparse file of 3 GB without reading it', async () => {
    const folder = await folderOf({ 'a.txt': '' });
    await truncate(join(folder, 'a.txt'), 3e9);
    expect((await open([folder], 0.25)).training.endByte).toBe(2.25e9);
  });
});
