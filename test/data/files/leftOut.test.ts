/** Nothing of the sources is left out unsaid: it is refused by name, or counted. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

import { checkCorpus } from '../../../src/data/check/checkCorpus.ts';
import { fileCounts } from '../../../src/data/files/corpus.ts';
import type { SourceSettings } from '../../../src/data/files/corpus.ts';
import { openCorpus } from '../../../src/data/files/openCorpus.ts';
import { prepareTokenizer } from '../../../src/data/tokens/prepareTokenizer.ts';
import { tokenChunks } from '../../../src/data/tokens/tokens.ts';
import { openTokenizingWorkers } from '../../../src/data/tokens/tokenizingWorkers.ts';
import { all, folderOf, rejection } from '../texts.ts';

const open = (source: SourceSettings, validation: object = { tail: 0.5 }) =>
  openCorpus({ sources: [source], validation, shuffleTokens: 1024 });

describe('of a folder and of a glob', () => {
  const cases: [string, string, (folder: string) => void][] = [
    ['a link that leads nowhere', 'is a link to /nowhere', (folder) => symlinkSync('/nowhere', join(folder, 'b.txt'))],
    ['links in a circle', 'its links form a loop', (folder) => symlinkSync('b.txt', join(folder, 'b.txt'))],
    [
      'a file whose name is not UTF-8',
      'is not UTF-8',
      (folder) =>
        renameSync(
          join(folder, 'x/c.txt'),
          Buffer.concat([Buffer.from(folder), Buffer.from('/caf\xe9.txt', 'latin1')]),
        ),
    ],
    [
      'a folder whose name is not UTF-8',
      'is not UTF-8',
      (folder) => mkdirSync(Buffer.concat([Buffer.from(folder), Buffer.from('/caf\xe9', 'latin1')])),
    ],
  ];
  test.each(cases)('%s is refused by name', async (_, message, spoil) => {
    const folder = await folderOf({ 'a.txt': 'aaaa', 'x/c.txt': 'c' });
    spoil(folder);
    for (const path of [folder, join(folder, '**/*.txt')]) {
      const error = await rejection(open({ path }));
      expect(error.message).toContain(message);
      expect(error.message).toMatch(/^corpus\.sources\[0\]\.path: /);
    }
  });

  test('a glob does not mind what it does not match', async () => {
    const folder = await folderOf({ 'a.txt': 'aaaa' });
    symlinkSync('/nowhere', join(folder, 'b.md'));
    expect((await open({ path: join(folder, '*.txt') })).files).toHaveLength(1);
  });

  test.skipIf(process.getuid?.() === 0)('a folder that cannot be read is refused', async () => {
    const folder = await folderOf({ 'a.txt': 'aaaa' });
    mkdirSync(join(folder, 'closed'), { mode: 0 });
    expect((await rejection(open({ path: folder }))).message).toContain('permission denied');
  });

  test('a pipe in a folder is refused by name', async () => {
    const folder = await folderOf({ 'a.txt': 'aaaa' });
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    expect((await rejection(open({ path: folder }))).message).toContain('pipe is neither a file nor a folder');
  });

  test('empty, hidden and repeated files are counted', async () => {
    const folder = await folderOf({ 'a.txt': 'aaaa', 'empty.txt': '', '.hidden': 'h', '.git/x': 'x' });
    symlinkSync('a.txt', join(folder, 'b.txt'));
    expect(fileCounts(await open({ path: folder }))).toEqual({ emptyFiles: 1, hiddenFiles: 2, repeatedFiles: 1 });
  });
});

const rows = Array.from({ length: 60 }, (_, i) =>
  JSON.stringify(i % 5 === 0 ? { text: null } : i % 5 === 1 ? { text: '' } : { text: `caf\ud800 ${i}` }),
).join('\n');

test.each([{ tail: 0.5 }, { hash: 0.5 }])(
  'rows are counted once whatever the split, also from a cache: %j',
  async (validation) => {
    const folder = await folderOf({ 'a.jsonl': rows });
    const opened = await openCorpus({
      sources: [{ path: join(folder, 'a.jsonl'), emptyRows: 'skip' }],
      validation,
      encodingErrors: 'skip',
      shuffleTokens: 1024,
    });
    const expected = { badBytes: 36, emptyDocuments: 12, rowsWithoutText: 12, suspiciousRecords: 0 };
    const cache = join(folder, 'cache');
    for (const encoding of [{}, { cache }, { cache }, { workers: 2 }]) {
      for (const kind of ['bytes', 'characters'] as const) {
        const prepared = await prepareTokenizer({ kind }, opened, encoding);
        expect(prepared.leftOut).toEqual(expected);
        const options = { seed: 1, contextLength: 8, microBatchSize: 1, shuffleTokens: 1024, examples: 0 };
        expect(await checkCorpus(prepared.corpus, prepared, options)).toMatchObject({ ...expected, documents: 36 });
      }
    }
  },
);

test('a pair with an empty prompt is trained on', async () => {
  const pairs = Array.from({ length: 80 }, (_, i) => (i % 2 === 0 ? { q: 'ab', a: 'xyz' } : { q: '', a: 'QQQ' }));
  const folder = await folderOf({ 'h.jsonl': pairs.map((pair) => JSON.stringify(pair)).join('\n') });
  const corpus = await open({ path: join(folder, 'h.jsonl'), prompt: 'q', completion: 'a' }, { tail: 0.1 });
  for (const kind of ['bytes', 'characters'] as const) {
    const { tokenizer, trainingTokens } = await prepareTokenizer({ kind }, corpus);
    expect(trainingTokens).toBe(360);
    const workers = openTokenizingWorkers(tokenizer, 2);
    for (const options of [{}, { workers }]) {
      const texts = await all(tokenChunks(corpus, corpus.training, tokenizer, options));
      expect(texts.map(({ tokenIds }) => tokenIds.length)).toEqual(
        Array.from({ length: 72 }, (_, i) => 6 - 2 * (i % 2)),
      );
      expect(Array.from(texts[1]!.lossMask!)).toEqual([1, 1, 1, 1]);
    }
    await workers.close();
  }
});
