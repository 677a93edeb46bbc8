import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { scoredText, validationBatches } from '../../../src/data/windows/batches.ts';
import type { MicroBatch } from '../../../src/data/windows/batches.ts';
import { prepareTokenizer } from '../../../src/data/tokens/prepareTokenizer.ts';
import { tokenChunks } from '../../../src/data/tokens/tokens.ts';
import { ExpectedError } from '../../../src/errors.ts';
import { all, corpusOf, rejection } from '../texts.ts';

/** The [input, target] pairs of a micro-batch that count towards the loss. */
const scored = ({ inputs, targets, lossMask }: MicroBatch): number[][] =>
  Array.from(inputs, (input, index) => [input, targets[index]!]).filter((_, index) => lossMask[index] === 1);

describe('validation', () => {
  test('scores every token but the first once, in order, after the one before it', async () => {
    const endings = new Set<string>();
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('characters' as const, 'bytes' as const),
        fc.string({ unit: 'binary', minLength: 8, maxLength: 61 }),
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 19 }),
        async (kind, text, contextLength, microBatchSize, chunkBytes) => {
          const corpus = await corpusOf(['a', text], 0.7);
          const { tokenizer, validationTokens } = await prepareTokenizer({ kind }, corpus);
          const tokens = (await all(tokenChunks(corpus, corpus.validation, tokenizer))).flatMap((c) => [...c.tokenIds]);
          expect(tokens).toHaveLength(validationTokens);
          const options = { contextLength, microBatchSize, chunkBytes };
          const batches = await all(validationBatches(corpus, tokenizer, options));
          expect(batches.flatMap(scored)).toEqual(tokens.slice(1).map((target, i) => [tokens[i], target]));

          let bytes = 0;
          for (const batch of batches) {
            expect(batch.inputs).toHaveLength(microBatchSize * contextLength);
            expect(batch.targetCount).toBe(scored(batch).length);
            expect(batch.targetCount).toBeGreaterThan(0);
            const padding = Array.from(batch.lossMask.keys()).filter((index) => batch.lossMask[index] === 0);
            for (const index of padding) expect([batch.inputs[index], batch.targets[index]]).toEqual([0, 0]);
            const text = scoredText(batch, tokenizer);
            expect(text.tokens).toBe(batch.targetCount);
            bytes += text.bytes;
          }
          const { startByte, endByte } = corpus.validation;
          expect(bytes).toBe(endByte - startByte - tokenizer.byteLengths[tokens[0]!]!);
          const last = batches.at(-1)!.targetCount;
          endings.add(last % contextLength > 0 ? 'short window' : 'whole window');
          endings.add(last <= (microBatchSize - 1) * contextLength ? 'empty rows' : 'no empty rows');
        },
      ),
      { numRuns: 40 },
    );
    expect(endings).toEqual(new Set(['short window', 'whole window', 'empty rows', 'no empty rows']));
  });

  test('pads the last window and the last micro-batch, masked out of the loss', async () => {
    const corpus = await corpusOf(['...abcdefgh'], 8 / 11);
    const { tokenizer } = await prepareTokenizer({ kind: 'bytes' }, corpus);
    const batches = await all(validationBatches(corpus, tokenizer, { contextLength: 3, microBatchSize: 2 }));
    expect(batches.map(({ inputs }) => tokenizer.decode(inputs))).toEqual(['abcdef', 'g\0\0\0\0\0']);
    expect(batches.map(({ targets }) => tokenizer.decode(targets))).toEqual(['bcdefg', 'h\0\0\0\0\0']);
    expect(batches.map(({ lossMask }) => lossMask.join(''))).toEqual(['111111', '100000']);
    expect(batches.map(({ targetCount }) => targetCount)).toEqual([6, 1]);
  });

  test('of one token is wrong input', async () => {
    const corpus = await corpusOf(['aaab'], 0.25);
    const { tokenizer } = await prepareTokenizer({ kind: 'characters' }, corpus);
    const error = await rejection(all(validationBatches(corpus, tokenizer, { contextLength: 3, microBatchSize: 2 })));
    expect(error).toBeInstanceOf(ExpectedError);
    expect(error.message).toBe(
      'No token of the validation text counts towards the loss. Add text: raise corpus.validation.tail or hash, ' +
        'or name a longer file in corpus.validation.path.',
    );
  });
});
