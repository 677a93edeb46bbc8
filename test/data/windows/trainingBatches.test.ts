import { writeFile } from 'node:fs/promises';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { trainingBatches } from '../../../src/data/windows/batches.ts';
import type { TrainingBatch, TrainingBatchOptions } from '../../../src/data/windows/batches.ts';
import type { Corpus } from '../../../src/data/files/corpus.ts';
import { parseCursor, startCursor } from '../../../src/data/windows/cursor.ts';
import { prepareTokenizer } from '../../../src/data/tokens/prepareTokenizer.ts';
import { windowOrder } from '../../../src/data/windows/windows.ts';
import type { Tokenizer } from '../../../src/data/tokenizers/tokenizer.ts';
import { tokenChunks } from '../../../src/data/tokens/tokens.ts';
import { windowOffset, windowsPerBlock } from '../../../src/data/windows/windows.ts';
import { ExpectedError } from '../../../src/errors.ts';
import { all, corpusOf, rejection, take } from '../texts.ts';

const contextLength = 5;
const options: TrainingBatchOptions = { seed: 11, contextLength, microBatchSize: 3, shuffleTokens: 23, chunkBytes: 7 };

/** 13 bytes in 8 characters, repeated with a running number, so that windows differ. */
const textOf = (lines: number, first = 0): string =>
  Array.from({ length: lines }, (_, i) => `aé€😀${String(first + i).padStart(2, '0')}\n`).join('');

const mixedCorpus = (): Promise<Corpus> => corpusOf([textOf(7), `\uFEFF${textOf(5, 7)}`, textOf(6, 12)], 0.25);

async function tokensOf(corpus: Corpus, tokenizer: Tokenizer): Promise<number[]> {
  return (await all(tokenChunks(corpus, corpus.training, tokenizer))).flatMap(({ tokenIds }) => [...tokenIds]);
}

/** The windows of the first epochs in training order, made from all tokens at once. */
function expectedWindows(tokens: number[], { seed, shuffleTokens }: TrainingBatchOptions, epochs: number): number[][] {
  const sequence: number[][] = [];
  const perBlock = windowsPerBlock(contextLength, shuffleTokens);
  for (let epoch = 0; epoch < epochs; epoch++) {
    const windows: number[][] = [];
    let start = windowOffset(seed, epoch, contextLength, tokens.length);
    for (; start + contextLength < tokens.length; start += contextLength) {
      windows.push(tokens.slice(start, start + contextLength + 1));
    }
    for (let block = 0; block * perBlock < windows.length; block++) {
      const inBlock = windows.slice(block * perBlock, (block + 1) * perBlock);
      for (const window of windowOrder(seed, epoch, block, inBlock.length)) sequence.push(inBlock[window]!);
    }
  }
  return sequence;
}

/** The windows of micro-batches, put together again from inputs and targets. */
function windowsOf(batches: TrainingBatch[]): number[][] {
  return batches.flatMap(({ inputs, targets }) =>
    Array.from({ length: inputs.length / contextLength }, (_, row) => {
      const [start, end] = [row * contextLength, (row + 1) * contextLength];
      return [...inputs.subarray(start, end), targets[end - 1]!];
    }),
  );
}

describe.each(['characters', 'bytes'] as const)('training on %s', (kind) => {
  test('takes the windows of every epoch in shuffled order, across blocks, epochs and files', async () => {
    const corpus = await mixedCorpus();
    const { tokenizer } = await prepareTokenizer({ kind }, corpus);
    const tokens = await tokensOf(corpus, tokenizer);
    const expected = expectedWindows(tokens, options, 4);
    const batches = await take(trainingBatches(corpus, tokenizer, options), Math.floor(expected.length / 3));
    expect(windowsOf(batches)).toEqual(expected.slice(0, batches.length * 3));

    const { files, training } = corpus;
    expect(files.filter((file) => file.startByte < training.endByte).length).toBeGreaterThan(1);
    const { epoch, block } = batches.at(-1)!.cursor;
    expect(epoch).toBe(3);
    expect(block).toBeGreaterThan(1);
    const runsOn = batches.some(({ cursor }) => cursor.epoch > 0 && cursor.block === 0 && cursor.windowsTaken < 3);
    expect(runsOn).toBe(true); // a micro-batch began in the epoch before
  });

  test('shifts every target by one, and counts it towards the loss', async () => {
    const corpus = await mixedCorpus();
    const { tokenizer } = await prepareTokenizer({ kind }, corpus);
    const text = (await tokensOf(corpus, tokenizer)).join();
    for (const batch of await take(trainingBatches(corpus, tokenizer, options), 29)) {
      const { inputs, targets, lossMask, targetCount } = batch;
      expect([...lossMask]).toEqual(Array(15).fill(1));
      expect(targetCount).toBe(15);
      for (let index = 0; index < 15; index++) {
        if (index % contextLength < contextLength - 1) expect(targets[index]).toBe(inputs[index + 1]);
      }
      for (const window of windowsOf([batch])) expect(text).toContain(window.join());
    }
  });

  test('resumes from the cursor of any micro-batch with exactly the rest', async () => {
    const corpus = await mixedCorpus();
    const { tokenizer } = await prepareTokenizer({ kind }, corpus);
    const batches = await take(trainingBatches(corpus, tokenizer, options), 40);
    const cursors = batches.map(({ cursor }) => cursor);
    for (const [i, cursor] of cursors.slice(0, -6).entries()) {
      const copy = parseCursor(JSON.parse(JSON.stringify(cursor)), 'state.json');
      const rest = await take(trainingBatches(corpus, tokenizer, { ...options, chunkBytes: 1 + (i % 9) }, copy), 6);
      expect(rest).toEqual(batches.slice(i + 1, i + 7));
    }
    expect(new Set(cursors.map(({ epoch }) => epoch)).size).toBeGreaterThan(1);
    expect(cursors.some(({ block, windowsTaken }) => block > 1 && windowsTaken === 4)).toBe(true); // a block's end
    expect(cursors.some(({ block, windowsTaken }) => block > 1 && windowsTaken < 4)).toBe(true);
    const isInsideCharacter = (byte: number) => (Buffer.from(textOf(18))[byte]! & 0xc0) === 0x80;
    expect(cursors.some(({ startByte }) => isInsideCharacter(startByte))).toBe(kind === 'bytes');
  });

  test('is the same on every run, and another one for another seed', async () => {
    const corpus = await mixedCorpus();
    const { tokenizer } = await prepareTokenizer({ kind }, corpus);
    const [first, second, otherChunks, otherSeed] = await Promise.all(
      [options, options, { ...options, chunkBytes: 64 }, { ...options, seed: 12 }].map((options) =>
        take(trainingBatches(corpus, tokenizer, options), 17),
      ),
    );
    expect(second).toEqual(first);
    expect(otherChunks).toEqual(first);
    expect(otherSeed).not.toEqual(first);
    expect(await take(trainingBatches(corpus, tokenizer, options, startCursor(corpus)), 17)).toEqual(first);
  });
});

test('the order of a tiny corpus is the same on every machine', async () => {
  const corpus = await corpusOf(['abcdefghijklmnopqrstuvwxyz'], 0.1);
  const { tokenizer } = await prepareTokenizer({ kind: 'bytes' }, corpus);
  const tiny = { seed: 1337, contextLength: 3, microBatchSize: 2, shuffleTokens: 10 };
  const batches = await take(trainingBatches(corpus, tokenizer, tiny), 8);
  const shown = batches.map(({ inputs, cursor: { epoch, block, startByte, windowsTaken } }) =>
    [tokenizer.decode(inputs), epoch, block, startByte, windowsTaken].join(' '),
  );
  expect(shown).toMatchInlineSnapshot(`
    [
      "defabc 0 0 0 2",
      "ghipqr 0 1 9 1",
      "jklmno 0 1 9 3",
      "stucde 1 0 0 1",
      "fghijk 1 0 0 3",
      "rstlmn 1 1 11 2",
      "opqcde 2 0 0 1",
      "ijkfgh 2 0 0 3",
    ]
  `);
});

test('any corpus resumes from any position with the rest', async () => {
  let epochs = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: 'binary', minLength: 1, maxLength: 17 }), { minLength: 1, maxLength: 3 }),
      fc.constantFrom('characters' as const, 'bytes' as const),
      fc.record({
        seed: fc.nat(),
        contextLength: fc.integer({ min: 1, max: 7 }),
        microBatchSize: fc.integer({ min: 1, max: 5 }),
        shuffleTokens: fc.integer({ min: 1, max: 29 }),
        chunkBytes: fc.integer({ min: 1, max: 19 }),
      }),
      fc.nat(12),
      async (contents, kind, options, position) => {
        const corpus = await corpusOf([...contents, 'at least as long as this']);
        const { tokenizer } = await prepareTokenizer({ kind }, corpus);
        const batches = await take(trainingBatches(corpus, tokenizer, options), 17);
        const { cursor } = batches[position]!;
        const rest = await take(trainingBatches(corpus, tokenizer, options, cursor), 16 - position);
        expect(rest).toEqual(batches.slice(position + 1));
        epochs = Math.max(epochs, batches.at(-1)!.cursor.epoch);
      },
    ),
    { numRuns: 30 },
  );
  expect(epochs).toBeGreaterThan(1);
});

describe('what cannot be trained on', () => {
  test('a corpus whose characters changed is wrong input with the location', async () => {
    const corpus = await corpusOf(['a'.repeat(97)]);
    const { tokenizer } = await prepareTokenizer({ kind: 'characters' }, corpus);
    const path = corpus.files[0]!.path;
    await writeFile(path, `${'a'.repeat(41)}b${'a'.repeat(55)}`);
    const error = await rejection(take(trainingBatches(corpus, tokenizer, options), 9));
    expect(error).toBeInstanceOf(ExpectedError);
    expect(error.message).toBe(
      `The character "b" (U+0062) at byte 41 of ${path} is not in the vocabulary: the model was trained without it. ` +
        'The corpus has changed since its vocabulary was made: restore it, or start a new run.',
    );
  });

  test('a cursor beyond the windows of its block is wrong input', async () => {
    const corpus = await mixedCorpus();
    const { tokenizer } = await prepareTokenizer({ kind: 'bytes' }, corpus);
    const beyond = [
      { ...startCursor(corpus), windowsTaken: 5 },
      { ...startCursor(corpus), block: 40, startByte: corpus.training.endByte - 1 },
    ];
    for (const cursor of beyond) {
      const error = await rejection(take(trainingBatches(corpus, tokenizer, options, cursor), 1));
      expect(error.message).toContain('is outside of the training text');
    }
  });
});
