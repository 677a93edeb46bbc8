import { noCounts } from '../../../src/data/files/utf8Chunks.ts';
import { createHash } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { openCorpus } from '../../../src/data/files/openCorpus.ts';
import type { Corpus, CorpusPart } from '../../../src/data/files/corpus.ts';
import { backgroundSequence } from '../../../src/data/windows/backgroundSequence.ts';
import { trainingSequence } from '../../../src/data/windows/mixture.ts';
import { openTokenizingWorkers } from '../../../src/data/tokens/tokenizingWorkers.ts';
import type { TokenizingWorkers } from '../../../src/data/tokens/tokenizingWorkers.ts';
import { charactersTokenizer } from '../../../src/data/tokenizers/characters.ts';
import { bpeTraining } from '../../../src/data/tokenizers/bpe/training/trainBpe.ts';
import { tokenChunks } from '../../../src/data/tokens/tokens.ts';
import type { TokenChunk } from '../../../src/data/tokens/tokens.ts';
import { ExpectedError } from '../../../src/errors.ts';
import { all, corpusOf, folderOf, rejection, take } from '../texts.ts';

const words = Array.from(
  { length: 40_000 },
  (_, i) => `word${(i * 7919) % 4001} é${i % 13}${i % 50 === 0 ? '\n' : ''} `,
).join('');
const training = bpeTraining();
training.addChunk(Buffer.from(words), { endsText: true });
const bpe = training.train(400);
const characters = charactersTokenizer([...new Set(words)].sort().join(''), { endOfText: true });

const lines = words
  .trim()
  .split('\n')
  .map((text, i) => JSON.stringify({ text, prompt: text.slice(0, 200), completion: `answer ${i}` }));
const corpusOfLines = async (source: object = {}, rows = lines): Promise<Corpus> => {
  const path = `${await folderOf({ 'rows.jsonl': rows.join('\n') })}/rows.jsonl`;
  return openCorpus({ sources: [{ path, ...source }], validation: { tail: 0.1 }, shuffleTokens: 1024 });
};

/** The chunks, with a hash in place of the numbers: comparing those one by one takes the longest. */
const hashed = async (chunks: AsyncIterable<TokenChunk>): Promise<object[]> => {
  const hash = (numbers: Int32Array | Uint8Array): string => createHash('sha1').update(numbers).digest('hex');
  return (await all(chunks)).map(({ tokenIds, lossMask, ...chunk }) => ({
    ...chunk,
    tokens: tokenIds.length,
    tokenIds: hash(tokenIds),
    lossMask: lossMask && hash(lossMask),
  }));
};

const open = new Map<string, TokenizingWorkers>();
beforeAll(() => {
  for (const count of [1, 3]) {
    open.set(`bpe ${count}`, openTokenizingWorkers(bpe, count));
    open.set(`characters ${count}`, openTokenizingWorkers(characters, count));
  }
});
afterAll(async () => {
  for (const workers of open.values()) await workers.close();
});

describe.each([1, 3])('%i tokenizing workers', (count) => {
  test.each([
    ['running text', 'bpe', () => corpusOf([words, words.slice(7)])],
    ['documents', 'bpe', () => corpusOfLines()],
    ['documents', 'characters', () => corpusOfLines()],
    ['pairs', 'bpe', () => corpusOfLines({ prompt: 'prompt', completion: 'completion' })],
  ] as const)('give the tokens and places of one thread: %s in %s', async (_, kind, make) => {
    const corpus = await make();
    const tokenizer = kind === 'bpe' ? bpe : characters;
    const workers = open.get(`${kind} ${count}`)!;
    const read = (part: CorpusPart, options: object = {}) =>
      hashed(tokenChunks(corpus, part, tokenizer, { chunkBytes: 100_000, ...options }));
    const expected = await read(corpus.training);
    expect(expected.length).toBeGreaterThan(4);
    expect(await read(corpus.training, { workers })).toEqual(expected);
    const [, , , fourth] = await take(tokenChunks(corpus, corpus.training, tokenizer, { chunkBytes: 100_000 }), 4);
    const middle = { ...corpus.training, startByte: fourth!.startByte, skipTokens: 5 };
    expect(await read(middle, { workers })).toEqual(await read(middle));
  });

  test('name the location of an unknown character, after the tokens before it', async () => {
    const corpus = await corpusOfLines({}, [...lines, JSON.stringify({ text: 'word ж' }), ...lines]);
    const workers = open.get(`characters ${count}`)!;
    const failing = async (options: object) => {
      const tokens: number[] = [];
      const error = await rejection(
        (async () => {
          for await (const { tokenIds } of tokenChunks(corpus, corpus.training, characters, options))
            tokens.push(tokenIds.length);
        })(),
      );
      return { error, tokens };
    };
    const here = await failing({});
    const aside = await failing({ workers });
    expect(here.error.message).toContain(`"ж" (U+0436) at line ${lines.length + 1} `);
    expect(aside.error).toBeInstanceOf(ExpectedError);
    expect(aside.error.message).toBe(here.error.message);
    expect(aside.tokens).toEqual(here.tokens);
    expect(aside.tokens.length).toBe(lines.length);
  });

  test('report an unreadable line after the tokens before it', async () => {
    const corpus = await corpusOfLines({}, [...lines, '{"text": 1}', ...lines]);
    const chunks = tokenChunks(corpus, corpus.training, bpe, { workers: open.get(`bpe ${count}`)! });
    expect((await take(chunks, lines.length)).length).toBe(lines.length);
    const error = await rejection(
      all(tokenChunks(corpus, corpus.training, bpe, { workers: open.get(`bpe ${count}`)! })),
    );
    expect(error.message).toContain(`line ${lines.length + 1} (byte `);
  });

  test('are at most two jobs each ahead of the tokens in use', async () => {
    const empty = JSON.stringify({ text: '' });
    const rows = Array.from({ length: 10 }, () => lines.flatMap((line) => [line, empty])).flat();
    const corpus = await corpusOfLines({}, rows);
    const counts = noCounts();
    const chunks = tokenChunks(corpus, corpus.training, bpe, { counts, workers: open.get(`bpe ${count}`)! });
    await chunks.next();
    await new Promise((resolve) => setTimeout(resolve, 50));
    const bytesRead = counts.emptyDocuments * lines[0]!.length;
    expect(bytesRead).toBeGreaterThan(0);
    expect(bytesRead).toBeLessThan((2 * count + 1) * 256 * 1024);
    await chunks.return();
  });
});

test('the background sequence is the same with three workers, from any cursor', async () => {
  const corpus = await corpusOfLines();
  const options = { seed: 3, contextLength: 32, microBatchSize: 2, shuffleTokens: 1200 };
  const expected = await take(trainingSequence(corpus, bpe, options), 60);
  expect(await take(backgroundSequence(corpus, bpe, { ...options, tokenizingWorkers: 3 }), 60)).toEqual(expected);
  expect(
    await take(backgroundSequence(corpus, bpe, { ...options, tokenizingWorkers: 2 }, expected[40]!.cursor), 9),
  ).toEqual(expected.slice(41, 50));
  expect(expected.at(-1)!.cursor.block).toBeGreaterThan(1);
});

test("a worker's bug comes with its stack, and an end is told to all who wait", async () => {
  const workers = openTokenizingWorkers(bpe, 1);
  const broken = {
    utf8: undefined,
    ends: Uint32Array.of(1),
    startsText: Uint8Array.of(1),
    isChat: new Uint8Array(9),
  } as never;
  const error = await rejection(workers.encode(broken));
  expect(error).not.toBeInstanceOf(ExpectedError);
  expect(error.stack).toContain('dist/data/tokens/tokenizingWorker');
  const text = {
    utf8: Buffer.from(words),
    ends: Uint32Array.of(Buffer.byteLength(words)),
    startsText: Uint8Array.of(1),
    isChat: new Uint8Array(9),
  };
  expect([...(await workers.encode(text))!.tokenIds]).toEqual([...bpe.encode(words)]);
  const waiting = rejection(workers.encode(text));
  await workers.close();
  expect((await waiting).message).toContain('a tokenizing worker ended');
  expect((await rejection(workers.encode(text))).message).toContain('a tokenizing worker ended');
});
