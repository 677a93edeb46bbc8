import { truncate } from 'node:fs/promises';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import type { Corpus } from '../../../src/data/files/corpus.ts';
import { utf8Chunks } from '../../../src/data/files/utf8Chunks.ts';
import { ExpectedError } from '../../../src/errors.ts';
import { corpusOf, rejection } from '../texts.ts';

/** The chunks of a whole corpus as text, each checked to begin where the one before ended. */
async function texts(corpus: Corpus, chunkBytes: number): Promise<string[]> {
  const chunks: string[] = [];
  let byte = 0;
  for await (const chunk of utf8Chunks(corpus, { startByte: 0, endByte: corpus.bytes }, { chunkBytes })) {
    expect(chunk.startByte).toBe(byte);
    byte += chunk.bytes.length;
    chunks.push(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(chunk.bytes));
  }
  expect(byte).toBe(corpus.bytes);
  return chunks;
}

describe('chunks', () => {
  const text = 'aé€😀ß\u0000中𝒜z';
  const bytes = Buffer.byteLength(text);

  test('of every size yield the same text and split no character', async () => {
    const corpus = await corpusOf([text]);
    const sizes = new Set<number>();
    for (let chunkBytes = 1; chunkBytes <= bytes + 1; chunkBytes++) {
      const chunks = await texts(corpus, chunkBytes);
      expect(chunks.join('')).toBe(text);
      sizes.add(chunks.length);
    }
    expect(sizes).toContain([...text].length); // with one byte at a time, every character is a chunk
    expect(sizes).toContain(1);
  });

  test('continue over files, without their byte order marks; a later U+FEFF is text', async () => {
    const corpus = await corpusOf(['\uFEFFab€', 'c\uFEFFd', '\uFEFF\uFEFFe']);
    for (const chunkBytes of [1, 2, 3, 5, 7, 100]) {
      expect((await texts(corpus, chunkBytes)).join('')).toBe('ab€c\uFEFFd\uFEFFe');
    }
  });

  test('of any text, range and size yield exactly the range', async () => {
    const content = fc.string({ unit: 'binary', minLength: 1, maxLength: 9 });
    const contents = fc.array(content, { minLength: 1, maxLength: 3 });
    const size = fc.integer({ min: 1, max: 11 });
    await fc.assert(
      fc.asyncProperty(contents, fc.nat(), fc.nat(), size, async (contents, a, b, chunkBytes) => {
        const corpus = await corpusOf([...contents, '--------']); // the last one so that there are two parts
        const characters = [...contents.map((text) => text.replace(/^\uFEFF/, '')).join(''), ...'--------'];
        const [first, last] = [a % characters.length, b % characters.length].sort((x, y) => x - y) as [number, number];
        const length = (count: number) => Buffer.byteLength(characters.slice(0, count).join(''));
        const range = { startByte: length(first), endByte: length(last) };
        let text = '';
        for await (const { bytes } of utf8Chunks(corpus, range, { chunkBytes })) text += Buffer.from(bytes).toString();
        expect(text).toBe(characters.slice(first, last).join(''));
      }),
      { numRuns: 30 },
    );
  });
});

describe('bad UTF-8', () => {
  const cases: [string, number[], number][] = [
    ['a sequence cut short by the end of the file', [0x61, 0xe2, 0x82], 1],
    ['a sequence cut short by another character', [0x61, 0x62, 0xf0, 0x9f, 0x98, 0x61], 2],
    ['an overlong sequence of two', [0x61, 0xc0, 0xaf], 1],
    ['an overlong sequence of three', [0xc3, 0xa9, 0xe0, 0x80, 0xaf], 2],
    ['an overlong sequence of four', [0x61, 0xf0, 0x80, 0x80, 0xaf], 1],
    ['a surrogate', [0x61, 0x61, 0x61, 0xed, 0xa0, 0x80], 3],
    ['beyond U+10FFFF', [0x61, 0xf4, 0x90, 0x80, 0x80], 1],
    ['a lone continuation', [0x61, 0x80, 0x61], 1],
    ['a byte that never occurs', [0xff, 0xfd, 0x61, 0x00], 0],
  ];

  test.each(cases)('%s is wrong input with file and byte, at every chunk size', async (_, bad, offset) => {
    const corpus = await corpusOf(['first ', Uint8Array.from(bad)]);
    for (let chunkBytes = 1; chunkBytes <= 8; chunkBytes++) {
      const error = await rejection(texts(corpus, chunkBytes));
      expect(error).toBeInstanceOf(ExpectedError);
      const path = corpus.files[1]!.path;
      expect(error.message).toBe(
        `${path} is not UTF-8: invalid bytes at byte ${offset} of ${path}. Convert the file to UTF-8, or set ` +
          'corpus.encodingErrors to replace or skip.',
      );
    }
  });

  test('counts bytes in the file, byte order mark included', async () => {
    const corpus = await corpusOf([Buffer.concat([Buffer.from('\uFEFFab'), Uint8Array.of(0xff)])]);
    expect((await rejection(texts(corpus, 4))).message).toContain('byte 5 of ');
  });
});

describe('reading', () => {
  test('a file that became shorter is wrong input', async () => {
    const corpus = await corpusOf(['a'.repeat(23)]);
    await truncate(corpus.files[0]!.path, 11);
    const error = await rejection(texts(corpus, 5));
    expect(error).toBeInstanceOf(ExpectedError);
    expect(error.message).toContain('has become shorter');
  });

  test('ends at the next chunk when it is told to', async () => {
    const corpus = await corpusOf(['a'.repeat(23)]);
    const stopping = new AbortController();
    let chunks = 0;
    const range = { startByte: 0, endByte: 23 };
    for await (const _ of utf8Chunks(corpus, range, { chunkBytes: 5, signal: stopping.signal })) {
      if (++chunks === 2) stopping.abort();
    }
    expect(chunks).toBe(2);
  });
});
