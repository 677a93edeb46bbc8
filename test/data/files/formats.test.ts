/**
 * Every file format, good and damaged: each fixture is a file with what it holds beside it, `<file>.expected.json`: `{
 * "source": {…}, "documents": [text or [prompt, completion]] }` or `{ "source": {…}, "error": "part of the message" }`.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

import { openCorpus } from '../../../src/data/files/openCorpus.ts';
import type { CorpusSettings } from '../../../src/data/files/openCorpus.ts';
import { textChunks } from '../../../src/data/files/textChunks.ts';
import { noCounts } from '../../../src/data/files/utf8Chunks.ts';
import { ExpectedError } from '../../../src/errors.ts';
import { folderOf, rejection } from '../texts.ts';

const folder = fileURLToPath(new URL('../fixtures/', import.meta.url));
const suffix = '.expected.json';
const fixtures = readdirSync(folder)
  .filter((name) => name.endsWith(suffix))
  .map((name) => name.slice(0, -suffix.length));

interface Expectation {
  source?: object;
  encodingErrors?: CorpusSettings['encodingErrors'];
  documents?: (string | [string, string])[];
  badBytes?: number;
  emptyDocuments?: number;
  rowsWithoutText?: number;
  suspiciousRecords?: number;
  error?: string;
}

async function documentsOf(name: string, { source = {}, encodingErrors }: Expectation, chunkBytes: number) {
  const corpus = await openCorpus({
    sources: [{ path: folder + name, documents: 'file', ...source }],
    validation: { hash: 0.5 },
    encodingErrors,
    shuffleTokens: 1024,
  });
  const counts = noCounts();
  const documents: (string | [string, string])[] = [];
  let text = '';
  for await (const { bytes, completion, endsDocument } of textChunks(
    corpus,
    { startByte: 0, endByte: corpus.bytes },
    { chunkBytes, counts },
  )) {
    text += Buffer.from(bytes).toString('utf8');
    if (!endsDocument) continue;
    documents.push(completion === null ? text : [text, Buffer.from(completion).toString('utf8')]);
    text = '';
  }
  expect(text).toBe('');
  return { documents, ...counts };
}

describe('a file of the corpus', () => {
  test('has fixtures of every format', () => {
    for (const ending of ['.txt', '.jsonl', '.csv', '.tsv', '.parquet', '.gz', '.zst']) {
      expect(fixtures.filter((name) => name.endsWith(ending)).length, ending).toBeGreaterThan(0);
    }
  });

  test.each(fixtures)('%s', async (name) => {
    const expected = JSON.parse(readFileSync(folder + name + suffix, 'utf8')) as Expectation;
    for (const chunkBytes of [1, 7, 1 << 16]) {
      if (expected.error !== undefined) {
        const error = await rejection(documentsOf(name, expected, chunkBytes));
        expect(error).toBeInstanceOf(ExpectedError);
        expect(error.message).toContain(name);
        expect(error.message).toContain(expected.error);
      } else {
        const { documents, firstSuspicious: _, ...counts } = await documentsOf(name, expected, chunkBytes);
        expect(documents).toEqual(expected.documents);
        expect(counts).toEqual({
          badBytes: expected.badBytes ?? 0,
          emptyDocuments: expected.emptyDocuments ?? 0,
          rowsWithoutText: expected.rowsWithoutText ?? 0,
          suspiciousRecords: expected.suspiciousRecords ?? 0,
        });
      }
    }
  });

  test.each([
    ['jsonl', '{"text": "€1"}\n\n{"text": "€2"}\n{"text": 3}\n', 18, 'line 4 (byte 35) of'],
    ['csv', 'text,n\n"two\nlines",1\n€,2\nno number\n', 21, 'record 4 (byte 27) of'],
  ])('names the line or record of a bad .%s wherever reading began', async (ending, content, startByte, location) => {
    const path = join(await folderOf({ [`a.${ending}`]: content }), `a.${ending}`);
    const corpus = await openCorpus({ sources: [{ path }], validation: { hash: 0.5 }, shuffleTokens: 1024 });
    const reading = textChunks(corpus, { startByte, endByte: corpus.bytes }, { chunkBytes: 5 });
    expect((await reading.next()).value!.startByte).toBe(startByte);
    const error = await rejection(reading.next());
    expect(error.message).toContain(`${location} ${path}`);
  });
});
