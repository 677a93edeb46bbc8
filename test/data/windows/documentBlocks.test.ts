/** `packing: documents`: every document's tokens are targets exactly once, in windows whose documents do not meet. */
import { join } from 'node:path';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { trainingBatches, validationBatches } from '../../../src/data/windows/batches.ts';
import type { MicroBatch, TrainingBatch } from '../../../src/data/windows/batches.ts';
import { openCorpus } from '../../../src/data/files/openCorpus.ts';
import type { Corpus, SourceSettings } from '../../../src/data/files/corpus.ts';
import { parseCursor } from '../../../src/data/windows/cursor.ts';
import { trainingSequence } from '../../../src/data/windows/mixture.ts';
import { prepareTokenizer } from '../../../src/data/tokens/prepareTokenizer.ts';
import { trainingSupply } from '../../../src/data/windows/trainingSupply.ts';
import { all, folderOf, rejection, take } from '../texts.ts';

const endOfText = 256; // of `bytes`

const jsonLines = (documents: object[]): string =>
  documents.map((document) => `${JSON.stringify(document)}\n`).join('');

async function corpusOfDocuments(
  documents: string[],
  settings: { tail?: number; source?: Omit<SourceSettings, 'path'> } = {},
): Promise<Corpus> {
  const path = join(await folderOf({ 'a.jsonl': jsonLines(documents.map((text) => ({ text }))) }), 'a.jsonl');
  return openCorpus({
    sources: [{ path, ...settings.source }],
    validation: { tail: settings.tail ?? 0.2 },
    packing: 'documents',
    shuffleTokens: 1024,
  });
}

interface PlacedToken {
  input: number;
  target: number;
  hasLoss: boolean;
}

/** The pieces in the rows of a micro-batch, found by their positions alone; padding is checked to bear no loss. */
function piecesIn({ inputs, targets, lossMask, positions }: MicroBatch, contextLength: number): PlacedToken[][] {
  const pieces: PlacedToken[][] = [];
  for (let index = 0; index < inputs.length; index++) {
    const t = positions![index]!;
    const isPadding = t === 0 && lossMask[index] === 0 && inputs[index] === 0 && targets[index] === 0;
    if (isPadding) continue;
    if (t === 0) pieces.push([]);
    else expect(index % contextLength).toBeGreaterThanOrEqual(t); // no piece goes on in the next row
    expect(pieces.at(-1)!.length).toBe(t);
    pieces.at(-1)!.push({ input: inputs[index]!, target: targets[index]!, hasLoss: lossMask[index] === 1 });
  }
  return pieces;
}

const textOf = (piece: PlacedToken[]): string => [piece[0]!.input, ...piece.map(({ target }) => target)].join(' ');

/** The pieces that documents are cut into, by the definition. */
function expectedPieces(documents: string[], contextLength: number): string[] {
  return documents.flatMap((document) => {
    const ids = [endOfText, ...Buffer.from(document), endOfText];
    const pieces: string[] = [];
    for (let start = 0; start < ids.length - 1; start += contextLength)
      pieces.push(ids.slice(start, start + contextLength + 1).join(' '));
    return pieces;
  });
}

describe('packed documents', () => {
  test('are in every epoch once, whole or cut, with every token a target exactly once', async () => {
    const seen = { shared: 0, cut: 0, padded: 0, blocks: 0 };
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }), { minLength: 3, maxLength: 12 }),
        fc.record({
          seed: fc.nat(99),
          contextLength: fc.integer({ min: 1, max: 13 }),
          shuffleTokens: fc.integer({ min: 1, max: 90 }),
          chunkBytes: fc.integer({ min: 1, max: 19 }),
        }),
        async (texts, options) => {
          const { contextLength } = options;
          const corpus = await corpusOfDocuments([
            ...texts,
            'the one that validates, whatever else there is to be trained on',
          ]);
          const { tokenizer, sourceTokens } = await prepareTokenizer({ kind: 'bytes' }, corpus);
          const supply = await trainingSupply(corpus, tokenizer, options, sourceTokens);
          const rows = await take(
            trainingBatches(corpus, tokenizer, { ...options, microBatchSize: 1 }),
            2 * supply.windows,
          );
          const validation = await all(validationBatches(corpus, tokenizer, { contextLength, microBatchSize: 1 }));
          const epochs = [rows.slice(0, supply.windows), rows.slice(supply.windows)];
          for (const epoch of epochs) {
            const pieces = [...epoch, ...validation].flatMap((row) => piecesIn(row, contextLength).map(textOf));
            expect(pieces.sort()).toEqual(
              expectedPieces(
                [...texts, 'the one that validates, whatever else there is to be trained on'],
                contextLength,
              ).sort(),
            );
          }
          expect(epochs.map((epoch) => epoch.reduce((sum, { tokenCount }) => sum + tokenCount, 0))).toEqual([
            supply.places,
            supply.places,
          ]);
          expect(supply).toMatchObject({ learntTokens: supply.tokens, leftoverTokens: 0 });
          seen.shared += rows.filter((row) => piecesIn(row, contextLength).length > 1).length;
          seen.cut += supply.splitDocuments;
          seen.padded += supply.windows * contextLength - supply.places;
          seen.blocks = Math.max(seen.blocks, rows.at(-1)!.cursor.block);
        },
      ),
      { numRuns: 25 },
    );
    expect(Math.min(...Object.values(seen))).toBeGreaterThan(3);
  });

  test('never have a target of another document, nor lose the first token of a text as a target', async () => {
    const documents = Array.from({ length: 20 }, (_, i) => String.fromCharCode(97 + i).repeat(1 + ((i * 5) % 17)));
    const corpus = await corpusOfDocuments(documents);
    const { tokenizer } = await prepareTokenizer({ kind: 'bytes' }, corpus);
    const options = { seed: 4, contextLength: 7, microBatchSize: 2, shuffleTokens: 64 };
    const pieces = (await take(trainingBatches(corpus, tokenizer, options), 30)).flatMap((batch) => piecesIn(batch, 7));
    for (const piece of pieces) {
      const letters = new Set(piece.flatMap(({ input, target }) => [input, target]).filter((id) => id !== endOfText));
      expect(letters.size).toBe(1);
      expect(piece.every(({ hasLoss }) => hasLoss)).toBe(true);
    }
    expect(pieces.some(([first]) => first!.input === endOfText && first!.target !== endOfText)).toBe(true);
    expect(pieces.some((piece) => piece.at(-1)!.target === endOfText)).toBe(true);
  });

  const rest = async (corpus: Corpus, options: Parameters<typeof trainingSequence>[2], count: number) => {
    const { tokenizer } = await prepareTokenizer({ kind: 'bytes' }, corpus);
    const batches = await take(trainingSequence(corpus, tokenizer, options), count);
    for (let i = 0; i < count - 4; i++) {
      const cursor = parseCursor(JSON.parse(JSON.stringify(batches[i]!.cursor)), 'state.json');
      expect(await take(trainingSequence(corpus, tokenizer, options, cursor), 3)).toEqual(batches.slice(i + 1, i + 4));
    }
    return batches as TrainingBatch[];
  };

  test('resume from the cursor of any micro-batch with exactly the rest, inside a document too', async () => {
    const documents = Array.from({ length: 12 }, (_, i) => `${i}:${'aé€😀'.repeat(1 + ((i * 7) % 9))}`);
    const options = { seed: 11, contextLength: 5, microBatchSize: 2, shuffleTokens: 47 };
    for (const contextLength of [1, 5]) {
      const batches = await rest(
        await corpusOfDocuments(documents),
        { ...options, contextLength },
        contextLength === 1 ? 300 : 70,
      );
      expect(batches.at(-1)!.cursor.epoch).toBeGreaterThan(0);
      expect(batches.some(({ cursor }) => cursor.insideDocument)).toBe(true);
      if (contextLength === 5)
        expect(batches.some(({ cursor }) => cursor.block > 0 && !cursor.insideDocument)).toBe(true);
    }
    const folder = await folderOf({ 'a.txt': 'a'.repeat(700), 'b.txt': 'b'.repeat(30), 'c.txt': 'c'.repeat(300) });
    const files = await openCorpus({
      sources: [{ path: folder, documents: 'file' }],
      validation: { tail: 0.1 },
      packing: 'documents',
      shuffleTokens: 1024,
    });
    const batches = await rest(files, { ...options, chunkBytes: 64 }, 60);
    expect(batches.some(({ cursor }) => cursor.insideDocument && cursor.startByte > 64)).toBe(true);
  });

  test('are mixed by shares of tokens, although windows contain different numbers of them', async () => {
    const folder = await folderOf({
      'a.jsonl': jsonLines(Array(40).fill({ text: 'aaaa' })),
      'b.jsonl': jsonLines(Array(40).fill({ text: 'b'.repeat(9) })),
    });
    const sources = ['a', 'b'].map((name) => ({ path: join(folder, `${name}.jsonl`), weight: 1 }));
    const corpus = await openCorpus({ sources, validation: { tail: 0.2 }, packing: 'documents', shuffleTokens: 1024 });
    const options = { seed: 11, contextLength: 14, microBatchSize: 2, shuffleTokens: 61 };
    const batches = await rest(corpus, options, 40);
    const [a, b] = batches.at(-1)!.cursor.mixture!;
    expect([5 * 2, 10]).toContain(a!.tokens! / a!.windows); // two documents a window, with padding
    expect(b!.tokens! / b!.windows).toBe(10);
    expect(Math.abs(a!.tokens! - b!.tokens!)).toBeLessThan(14);
    const letters = batches.flatMap((batch) => piecesIn(batch, 14).flat()).filter(({ target }) => target !== endOfText);
    const share = letters.filter(({ target }) => target === 97).length / letters.length;
    expect(share).toBeCloseTo(0.5, 1);
  });

  test('count only completions towards the loss; prompts without one are left out and counted', async () => {
    const pairs = Array.from({ length: 12 }, (_, i) => ({
      q: 'q'.repeat(1 + i),
      a: i % 3 === 2 ? '' : 'A'.repeat(1 + (i % 4)),
    }));
    const path = await folderOf({ 'a.jsonl': jsonLines(pairs) });
    const corpus = await openCorpus({
      sources: [{ path, prompt: 'q', completion: 'a' }],
      validation: { tail: 0.1 },
      packing: 'documents',
      shuffleTokens: 1024,
    });
    const { tokenizer, sourceTokens, trainingTokens } = await prepareTokenizer({ kind: 'bytes' }, corpus);
    const options = { seed: 1, contextLength: 16, microBatchSize: 1, shuffleTokens: 1024 };
    const supply = await trainingSupply(corpus, tokenizer, options, sourceTokens);
    const pieces = (await take(trainingBatches(corpus, tokenizer, options), supply.windows)).flatMap((batch) =>
      piecesIn(batch, 16),
    );
    for (const piece of pieces) {
      expect(piece[0]!.input).toBe(113); // q: a prompt needs nothing before it
      for (const { target, hasLoss } of piece) expect(hasLoss).toBe(target !== 113);
    }
    const lossTokens = pieces.flat().filter(({ hasLoss }) => hasLoss).length;
    expect(supply).toMatchObject({ learntTokens: lossTokens, places: pieces.flat().length });
    const left = pairs
      .slice(0, 11)
      .filter(({ a }) => a === '')
      .reduce((sum, { q }) => sum + q.length + 1, 0);
    expect(left).toBeGreaterThan(0);
    expect(supply.leftoverTokens).toBe(left);
    expect(supply.places + pieces.length + left).toBe(trainingTokens); // the first token of a prompt is no target
  });

  test('need documents', async () => {
    const path = await folderOf({ 'a.txt': 'one running text' });
    const error = await rejection(
      openCorpus({ sources: [{ path }], validation: { tail: 0.1 }, packing: 'documents', shuffleTokens: 1024 }),
    );
    expect(error.message).toBe(
      'corpus.packing: documents packs documents, but the corpus is one running text. Set documents: file or ' +
        'a separator in corpus.sources, or use packing: concatenate.',
    );
  });
});

test.each(['concatenate', 'documents'] as const)(
  'a corpus in which no token counts towards the loss is refused at once, by %s',
  async (packing) => {
    const path = await folderOf({ 'a.jsonl': jsonLines(Array(40).fill({ q: 'why', a: '' })) });
    const corpus = await openCorpus({
      sources: [{ path, prompt: 'q', completion: 'a' }],
      validation: { tail: 0.2 },
      packing,
      shuffleTokens: 1024,
    });
    const { tokenizer, sourceTokens } = await prepareTokenizer({ kind: 'bytes' }, corpus);
    const options = { seed: 1, contextLength: 4, microBatchSize: 2, shuffleTokens: 1024 };
    const message = 'No token of the training text counts towards the loss: its completions are empty';
    expect((await rejection(trainingSupply(corpus, tokenizer, options, sourceTokens))).message).toContain(message);
    expect((await rejection(take(trainingBatches(corpus, tokenizer, options), 1))).message).toContain(message);
  },
);
