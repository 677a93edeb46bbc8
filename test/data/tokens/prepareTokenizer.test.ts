import { readFile } from 'node:fs/promises';

import { describe, expect, test } from 'vitest';

import { prepareTokenizer } from '../../../src/data/tokens/prepareTokenizer.ts';
import { bytesTokenizer } from '../../../src/data/tokenizers/bytes.ts';
import { countTokens, tokenChunks } from '../../../src/data/tokens/tokens.ts';
import { all, corpusOf, folderOf, rejection } from '../texts.ts';

describe('preparing', () => {
  test('characters has the vocabulary of the whole corpus and counts both parts', async () => {
    const corpus = await corpusOf(['\uFEFFabé', 'aab€a', 'zz'], 0.16);
    const { tokenizer, trainingTokens, validationTokens } = await prepareTokenizer({ kind: 'characters' }, corpus);
    expect(tokenizer.toJSON()).toMatchObject({ kind: 'characters', characters: 'abzé€' });
    expect([trainingTokens, validationTokens]).toEqual([7, 3]); // z is in the validation part only
    expect(await countTokens(corpus, corpus.training, tokenizer)).toBe(7);
    expect(await countTokens(corpus, corpus.validation, tokenizer)).toBe(3);
  });

  test('bytes counts bytes without reading', async () => {
    const corpus = await corpusOf(['\uFEFFabé', Uint8Array.of(0xff, 0x61)], 0.5);
    const { tokenizer, trainingTokens, validationTokens } = await prepareTokenizer({ kind: 'bytes' }, corpus);
    expect(tokenizer.vocabularySize).toBe(256);
    expect([trainingTokens, validationTokens]).toEqual([2, 4]); // 6 bytes of text, é is not split
  });

  test('refuses bad UTF-8, in the validation part too', async () => {
    const corpus = await corpusOf(['abcdefgh', Uint8Array.of(0x61, 0xff)], 0.1);
    const error = await rejection(prepareTokenizer({ kind: 'characters' }, corpus));
    expect(error.message).toContain('invalid bytes at byte 1 of ');
  });
});

test('a part can start inside a character if a token does', async () => {
  const corpus = await corpusOf(['a€😀', 'bc'], 0.1);
  const text = Buffer.from('a€😀b');
  for (let startByte = 0; startByte < text.length; startByte++) {
    for (const chunkBytes of [1, 3, 64]) {
      const range = { startByte, endByte: text.length };
      const chunks = await all(tokenChunks(corpus, range, bytesTokenizer(), { chunkBytes }));
      expect(chunks[0]!.startByte).toBe(startByte);
      expect(chunks.flatMap(({ tokenIds }) => [...tokenIds])).toEqual([...text.subarray(startByte)]);
    }
  }
});

describe('preparing byte-pair encoding', () => {
  const text = 'the cat and the hat, the rat and the mat. '.repeat(200);

  test('bpe is trained on the training text alone', async () => {
    const corpus = await corpusOf([text, 'zq'.repeat(500)], 0.1);
    const { tokenizer, trainingTokens, validationTokens } = await prepareTokenizer(
      { kind: 'bpe', vocabularySize: 270 },
      corpus,
    );
    expect(tokenizer.vocabularySize).toBe(270);
    expect(trainingTokens).toBeLessThan(corpus.training.endByte / 2);
    expect(validationTokens).toBeGreaterThan(900); // zq was never seen
  });

  test('bpe refuses a vocabulary size that the text is too short for', async () => {
    const error = await rejection(prepareTokenizer({ kind: 'bpe', vocabularySize: 5000 }, await corpusOf([text], 0.1)));
    expect(error.message).toMatch(
      /^tokenizer\.vocabularySize: the training text is too short for 5000 tokens; it has enough pairs for \d+\. /,
    );
  });

  test('file reads a tokenizer.json, and names one that is missing', async () => {
    const corpus = await corpusOf([text], 0.1);
    const path = new URL('../tokenizers/fixtures/gpt2.json', import.meta.url);
    const folder = await folderOf({ 't.json': JSON.stringify(JSON.parse(await readFile(path, 'utf8')).tokenizer) });
    const { tokenizer } = await prepareTokenizer({ kind: 'file', path: `${folder}/t.json` }, corpus);
    expect(tokenizer.vocabularySize).toBe(420);
    const error = await rejection(prepareTokenizer({ kind: 'file', path: `${folder}/none.json` }, corpus));
    expect(error.message).toBe(`No tokenizer at ${folder}/none.json. Name a tokenizer.json, or a folder with one.`);
  });
});
