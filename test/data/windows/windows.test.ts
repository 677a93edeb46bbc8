import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { ExpectedError } from '../../../src/errors.ts';
import { bytesTokenizer } from '../../../src/data/tokenizers/bytes.ts';
import {
  epochBlocks,
  windowOffset,
  windowOrder,
  windowsInEpoch,
  windowsPerBlock,
} from '../../../src/data/windows/windows.ts';
import type { TokenChunk } from '../../../src/data/tokens/tokens.ts';
import { all, rejection } from '../texts.ts';

const tokenizer = bytesTokenizer();

/** Ids `from`, `from` + 1, … at byte positions equal to the ids, in chunks of this size. */
async function* counting(from: number, tokens: number, chunkTokens: number): AsyncGenerator<TokenChunk, void, void> {
  for (let start = from; start < tokens; start += chunkTokens) {
    const length = Math.min(chunkTokens, tokens - start);
    yield {
      startByte: start,
      tokenIds: Int32Array.from({ length }, (_, i) => start + i),
      lossMask: null,
      startsDocument: false,
      endsDocument: false,
      isExact: true,
    };
  }
}

const blocksOf = (tokens: number, chunkTokens: number, contextLength: number, shuffleTokens: number, epoch = 0) => {
  const options = { seed: 7, epoch, contextLength, shuffleTokens, firstBlock: 0, maximumTokens: tokens };
  return all(epochBlocks(counting(0, tokens, chunkTokens), tokenizer, options));
};

describe('window offset', () => {
  test('takes every value below the context length, differing from epoch to epoch', () => {
    const offsets = Array.from({ length: 200 }, (_, epoch) => windowOffset(7, epoch, 5, 1000));
    expect(new Set(offsets)).toEqual(new Set([0, 1, 2, 3, 4]));
    expect(new Set(Array.from({ length: 200 }, (_, seed) => windowOffset(seed, 0, 5, 1000))).size).toBe(5);
  });

  test('leaves every epoch a window even if the text is hardly longer than one', () => {
    for (const tokens of [6, 7, 9, 10, 11]) {
      const windows = Array.from({ length: 50 }, (_, epoch) => windowsInEpoch(7, epoch, 5, tokens));
      expect(Math.min(...windows)).toBe(1);
      expect(Math.max(...windows)).toBe(tokens === 11 ? 2 : 1);
    }
  });
});

describe('blocks', () => {
  test('hold the windows that fit in shuffleTokens, at least one', () => {
    expect([21, 22, 23, 28, 29].map((tokens) => windowsPerBlock(7, tokens))).toEqual([2, 3, 3, 3, 4]);
    expect(windowsPerBlock(4096, 1024)).toBe(1);
  });

  test('contain every window of the epoch once, in order, with the right positions', async () => {
    const small = { min: 1, max: 13 };
    let blocksSeen = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          contextLength: fc.integer(small),
          extraTokens: fc.integer({ min: 0, max: 97 }),
          chunkTokens: fc.integer(small),
          shuffleTokens: fc.integer({ min: 1, max: 43 }),
          epoch: fc.nat(100),
        }),
        async ({ contextLength, extraTokens, chunkTokens, shuffleTokens, epoch }) => {
          const tokens = contextLength + 1 + extraTokens;
          const blocks = await blocksOf(tokens, chunkTokens, contextLength, shuffleTokens, epoch);
          const offset = windowOffset(7, epoch, contextLength, tokens);
          const full = windowsPerBlock(contextLength, shuffleTokens);
          let start = offset;
          for (const [i, block] of blocks.entries()) {
            expect(block.index).toBe(i);
            expect(block.startByte).toBe(i === 0 ? 0 : start);
            expect(block.windows).toBe(Math.min(full, Math.floor((tokens - start - 1) / contextLength)));
            const ids = block.tokenIds.subarray(0, block.windows * contextLength + 1);
            expect([...ids]).toEqual(Array.from(ids, (_, i) => start + i));
            start += block.windows * contextLength;
          }
          expect(tokens - start).toBeLessThanOrEqual(contextLength); // what is left fills no window
          const windows = blocks.reduce((sum, block) => sum + block.windows, 0);
          expect(windows).toBe(windowsInEpoch(7, epoch, contextLength, tokens));
          blocksSeen = Math.max(blocksSeen, blocks.length);
        },
      ),
      { numRuns: 200 },
    );
    expect(blocksSeen).toBeGreaterThan(5);
  });

  test('can be resumed from the start of any of them', async () => {
    const tokens = 101;
    const blocks = await blocksOf(tokens, 7, 5, 23);
    expect(blocks.length).toBe(5);
    for (const { index, startByte } of blocks.slice(1)) {
      const options = { seed: 7, epoch: 0, contextLength: 5, shuffleTokens: 23, firstBlock: index };
      const chunks = counting(startByte, tokens, 11);
      const rest = await all(epochBlocks(chunks, tokenizer, { ...options, maximumTokens: tokens - startByte }));
      expect(rest).toEqual(blocks.slice(index));
    }
  });

  test('do not overwrite each other', async () => {
    const blocks = await blocksOf(101, 7, 5, 23);
    expect(new Set(blocks.map((block) => block.tokenIds.buffer)).size).toBe(blocks.length);
  });

  test('of a text that is shorter than a window are wrong input', async () => {
    const error = await rejection(blocksOf(5, 7, 5, 1024));
    expect(error).toBeInstanceOf(ExpectedError);
    expect(error.message).toBe(
      'The training text has 5 tokens, fewer than one window of model.contextLength + 1 = 6. ' +
        'Shorten model.contextLength or add text to corpus.sources.',
    );
    expect(await blocksOf(6, 7, 5, 1024)).toHaveLength(1);
  });
});

describe('window order', () => {
  test('is the same on every machine', () => {
    expect(windowOrder(1337, 0, 0, 11).join(' ')).toBe('3 4 2 1 7 6 9 10 8 0 5');
  });

  test('is a permutation, another one for every seed, epoch and block', () => {
    const orders = [
      windowOrder(1, 0, 0, 101),
      windowOrder(2, 0, 0, 101),
      windowOrder(1, 1, 0, 101),
      windowOrder(1, 0, 1, 101),
    ];
    for (const order of orders) expect([...order].sort((a, b) => a - b)).toEqual([...Array(101).keys()]);
    expect(new Set(orders.map(String)).size).toBe(4);
  });

  test('is uniform over all permutations', () => {
    const runs = 6000;
    const counts = new Map<string, number>();
    for (let seed = 0; seed < runs; seed++) {
      const order = windowOrder(seed, 0, 0, 3).join();
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    // Standard deviation of a count: √(6000 · 1/6 · 5/6) = 29.
    for (const count of counts.values()) expect(Math.abs(count - runs / 6)).toBeLessThan(5 * 29);
  });

  test('of one window or none is trivial', () => {
    expect([...windowOrder(1, 0, 0, 1)]).toEqual([0]);
    expect([...windowOrder(1, 0, 0, 0)]).toEqual([]);
  });
});
