import { writeFile } from 'node:fs/promises';

import { describe, expect, test } from 'vitest';

import { backgroundSequence } from '../../../src/data/windows/backgroundSequence.ts';
import { trainingSequence } from '../../../src/data/windows/mixture.ts';
import { prepareTokenizer } from '../../../src/data/tokens/prepareTokenizer.ts';
import { ExpectedError } from '../../../src/errors.ts';
import { corpusOf, rejection, take } from '../texts.ts';

const options = { seed: 11, contextLength: 5, microBatchSize: 3, shuffleTokens: 61 };
const text = Array.from({ length: 97 }, (_, i) => `aé€😀${i}\n`).join('');

describe('a sequence from a worker thread', () => {
  test.each(['characters', 'bytes'] as const)('is the same, from any cursor, in %s', async (kind) => {
    const corpus = await corpusOf([text]);
    const { tokenizer } = await prepareTokenizer({ kind }, corpus);
    const expected = await take(trainingSequence(corpus, tokenizer, options), 90);
    expect(await take(backgroundSequence(corpus, tokenizer, options), 90)).toEqual(expected);
    expect(await take(backgroundSequence(corpus, tokenizer, options, expected[40]!.cursor), 9)).toEqual(
      expected.slice(41, 50),
    );
    expect(expected.at(-1)!.cursor.epoch).toBeGreaterThan(0);
  });

  test('fails like the sequence itself, in place of the micro-batch', async () => {
    const corpus = await corpusOf(['a'.repeat(907)]);
    const { tokenizer } = await prepareTokenizer({ kind: 'characters' }, corpus);
    await writeFile(corpus.files[0]!.path, `${'a'.repeat(700)}b${'a'.repeat(206)}`);
    const batches = backgroundSequence(corpus, tokenizer, { ...options, chunkBytes: 50 });
    await take(backgroundSequence(corpus, tokenizer, { ...options, chunkBytes: 50 }), 30);
    const error = await rejection(take(batches, 60));
    expect(error).toBeInstanceOf(ExpectedError);
    expect(error).toMatchObject({
      kind: 'wrongInput',
      message: expect.stringContaining('"b" (U+0062) at byte 700 of '),
    });
  });

  test('reports a bug with the stack of the worker', async () => {
    const corpus = await corpusOf([text]);
    const { tokenizer } = await prepareTokenizer({ kind: 'bytes' }, corpus);
    const broken = { ...corpus, files: undefined } as unknown as typeof corpus;
    const error = await rejection(take(backgroundSequence(broken, tokenizer, options), 1));
    expect(error).not.toBeInstanceOf(ExpectedError);
    expect(error.stack).toContain('dist/data/');
  });
});
