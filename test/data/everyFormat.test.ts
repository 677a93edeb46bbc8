/** Training resumes at any position of any format with exactly the rest, and learns every document. */
import { gzipSync } from 'node:zlib';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { trainingBatches } from '../../src/data/windows/batches.ts';
import { openCorpus } from '../../src/data/files/openCorpus.ts';
import type { SourceSettings } from '../../src/data/files/corpus.ts';
import { parseCursor } from '../../src/data/windows/cursor.ts';
import { prepareTokenizer } from '../../src/data/tokens/prepareTokenizer.ts';
import { textChunks } from '../../src/data/files/textChunks.ts';
import { tokenChunks } from '../../src/data/tokens/tokens.ts';
import { all, folderOf, take } from './texts.ts';

const texts = Array.from({ length: 23 }, (_, i) => `document ${i}: ${'aé€😀'.repeat((i * 7) % 5)}`);
const jsonLines = texts.map((text) => JSON.stringify({ text })).join('\n');
const csv = `text\n${texts.map((text) => `"${text}"`).join('\n')}`;
const pairs = texts.map((text, i) => JSON.stringify({ prompt: text, completion: `answer ${i}` })).join('\n');

const formats: [string, string, string | Uint8Array, Omit<SourceSettings, 'path'>][] = [
  ['running text', 'a.txt', texts.join('\n'), {}],
  ['running text, gzip', 'a.txt.gz', gzipSync(texts.join('\n')), {}],
  ['text between separators', 'a.txt', texts.join('\n\n'), { separator: '\n\n' }],
  ['JSON lines', 'a.jsonl', jsonLines, {}],
  ['JSON lines, gzip', 'a.jsonl.gz', gzipSync(jsonLines), {}],
  ['CSV', 'a.csv', csv, {}],
  ['pairs', 'a.jsonl', pairs, { prompt: 'prompt', completion: 'completion' }],
];

const options = { seed: 11, contextLength: 5, microBatchSize: 2, shuffleTokens: 61, chunkBytes: 97 };

describe.each(formats)('%s', (_, name, content, source) => {
  const open = async (validation: object = { tail: 0.2 }) =>
    openCorpus({
      sources: [{ ...source, path: join(await folderOf({ [name]: content }), name) }],
      validation,
      shuffleTokens: 1024,
    });

  test.each(['characters', 'bytes'] as const)('resumes anywhere, in %s', async (kind) => {
    const corpus = await open();
    const { tokenizer } = await prepareTokenizer({ kind }, corpus);
    const batches = await take(trainingBatches(corpus, tokenizer, options), 130);
    expect(batches.at(-1)!.cursor.epoch).toBeGreaterThan(0);
    for (let i = 0; i < 120; i += 7) {
      const cursor = parseCursor(JSON.parse(JSON.stringify(batches[i]!.cursor)), 'state.json');
      expect(await take(trainingBatches(corpus, tokenizer, options, cursor), 5)).toEqual(batches.slice(i + 1, i + 6));
    }
  });

  test('neither loses nor repeats text between training and validation', async () => {
    const corpus = await open();
    const [training, validation, whole] = await Promise.all(
      [corpus.training, corpus.validation, { startByte: 0, endByte: corpus.bytes }].map(async (part) => {
        let text = '';
        for await (const { bytes, completion } of textChunks(corpus, part))
          text += Buffer.from(bytes).toString() + Buffer.from(completion ?? []).toString();
        return text;
      }),
    );
    expect(training! + validation!).toBe(whole);
    expect(validation!.length).toBeGreaterThan(5);
  });
});

test('a split by hash keeps documents in their part when others are added', async () => {
  const sides = async (lines: string[]) => {
    const corpus = await openCorpus({
      sources: [{ path: await folderOf({ 'a.jsonl': lines.join('\n') }) }],
      validation: { hash: 0.4 },
      shuffleTokens: 1024,
    });
    const of = async (part: typeof corpus.training) =>
      (await all(textChunks(corpus, part))).map(({ bytes }) => Buffer.from(bytes).toString());
    return { training: await of(corpus.training), validation: await of(corpus.validation) };
  };
  const lines = jsonLines.split('\n');
  const before = await sides(lines.slice(0, 15));
  const after = await sides(['{"text":"new"}', ...lines]);
  expect(before.validation.length).toBeGreaterThan(2);
  expect(before.training.length).toBeGreaterThan(2);
  expect(after.validation).toEqual(expect.arrayContaining(before.validation));
  expect(after.training).toEqual(expect.arrayContaining(before.training));
  expect([...after.training, ...after.validation].sort()).toEqual(['new', ...texts].sort());
});

test('the tokens of documents decode to the documents, each with end-of-text, at every chunk size', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: 'binary', minLength: 1, maxLength: 9 }), { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 17 }),
      async (documents, chunkBytes) => {
        const content = documents.map((text) => JSON.stringify({ text: text })).join('\n');
        const corpus = await openCorpus({
          sources: [{ path: await folderOf({ 'a.jsonl': content }) }],
          validation: { hash: 0.5 },
          shuffleTokens: 1024,
        });
        const { tokenizer } = await prepareTokenizer({ kind: 'bytes' }, corpus);
        const tokens = (
          await all(tokenChunks(corpus, { startByte: 0, endByte: corpus.bytes }, tokenizer, { chunkBytes }))
        ).flatMap(({ tokenIds }) => [...tokenIds]);
        expect(tokens).toEqual(documents.flatMap((text) => [...Buffer.from(text), 256]));
      },
    ),
    { numRuns: 40 },
  );
});

test('Parquet resumes at any row, across row groups', async () => {
  const folder = await folderOf({});
  cpSync(fileURLToPath(new URL('./fixtures/groups.parquet', import.meta.url)), join(folder, 'a.parquet'));
  const corpus = await openCorpus({ sources: [{ path: folder }], validation: { tail: 0.2 }, shuffleTokens: 1024 });
  expect(corpus.training).toEqual({ startByte: 0, endByte: 4 });
  const { tokenizer } = await prepareTokenizer({ kind: 'bytes' }, corpus);
  const small = { ...options, shuffleTokens: 11 };
  const batches = await take(trainingBatches(corpus, tokenizer, small), 30);
  expect(new Set(batches.map(({ cursor }) => cursor.startByte)).size).toBeGreaterThan(2);
  for (let i = 0; i < 25; i++)
    expect(await take(trainingBatches(corpus, tokenizer, small, batches[i]!.cursor), 4)).toEqual(
      batches.slice(i + 1, i + 5),
    );
});
