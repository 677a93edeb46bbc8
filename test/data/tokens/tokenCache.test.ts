import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { openCorpus } from '../../../src/data/files/openCorpus.ts';
import type { Corpus, CorpusPart } from '../../../src/data/files/corpus.ts';
import { backgroundSequence } from '../../../src/data/windows/backgroundSequence.ts';
import { trainingSequence } from '../../../src/data/windows/mixture.ts';
import { countCorpus } from '../../../src/data/tokens/prepareTokenizer.ts';
import { cachedCorpus, tokenFileOf } from '../../../src/data/tokens/tokenCache.ts';
import { bytesTokenizer } from '../../../src/data/tokenizers/bytes.ts';
import { charactersTokenizer } from '../../../src/data/tokenizers/characters.ts';
import { bpeTraining } from '../../../src/data/tokenizers/bpe/training/trainBpe.ts';
import { renderTokenizer } from '../../../src/data/tokenizers/tokenizerFile.ts';
import { countTokens, tokenChunks } from '../../../src/data/tokens/tokens.ts';
import { all, folderOf, take } from '../texts.ts';

const words = Array.from(
  { length: 25_000 },
  (_, i) => `wörd${(i * 7919) % 4001} €${i % 13}${i % 40 === 0 ? '\n' : ''} `,
).join('');
const training = bpeTraining();
training.addChunk(Buffer.from(words.slice(0, 50_000)), { endsText: true });
const bpe = training.train(300);
const characters = charactersTokenizer([...new Set(words)].sort().join(''), { endOfText: true });
const lines = words
  .trim()
  .split('\n')
  .map((text, i) => JSON.stringify({ text, prompt: text.slice(0, 90), completion: `answer ${i}` }));

async function opened(
  content: string,
  { hash, ...source }: { hash?: number; [key: string]: unknown } = {},
): Promise<Corpus> {
  const name = content.startsWith('{') ? 'rows.jsonl' : 'a.txt';
  const validation = hash === undefined ? { tail: 0.1 } : { hash };
  return openCorpus({
    sources: [{ path: `${await folderOf({ [name]: content })}/${name}`, ...source }],
    validation,
    shuffleTokens: 1024,
  });
}

const hash = (numbers: Int32Array | Uint8Array): string => createHash('sha1').update(numbers).digest('hex');
/** The chunks, with a hash in place of the numbers. */
const chunksOf = async (
  corpus: Corpus,
  part: CorpusPart,
  tokenizer: typeof bpe,
  options: object = {},
): Promise<object[]> =>
  (await all(tokenChunks(corpus, part, tokenizer, options))).map(({ tokenIds, lossMask, ...chunk }) => ({
    ...chunk,
    tokens: tokenIds.length,
    tokenIds: hash(tokenIds),
    lossMask: lossMask && hash(lossMask),
  }));
const tokensOf = (corpus: Corpus, part: CorpusPart, tokenizer: typeof bpe, options: object = {}) =>
  all(tokenChunks(corpus, part, tokenizer, options)).then((chunks) =>
    hash(Buffer.concat(chunks.map(({ tokenIds }) => Buffer.from(Int32Array.from(tokenIds).buffer)))),
  );

const kinds: [string, () => Promise<Corpus>, typeof bpe][] = [
  ['running text, bpe', () => opened(words), bpe],
  ['running text, characters', () => opened(words), characters],
  ['running text, bytes', () => opened(words), bytesTokenizer()],
  ['documents, bpe', () => opened(lines.join('\n')), bpe],
  ['documents by hash, characters', () => opened(lines.join('\n'), { hash: 0.3 }), characters],
  ['pairs, bpe', () => opened(lines.join('\n'), { prompt: 'prompt', completion: 'completion' }), bpe],
];

describe.each(kinds)('%s', (_, make, tokenizer) => {
  test('yields the chunks, counts and positions of the text', async () => {
    const corpus = await make();
    const cached = await cachedCorpus(corpus, tokenizer, await folderOf({}));
    expect(statSync(tokenFileOf(cached.corpus, corpus.training)!).size).toBeGreaterThan(cached.trainingTokens);
    for (const [part, tokens] of [
      [corpus.training, cached.trainingTokens],
      [corpus.validation, cached.validationTokens],
    ] as const) {
      expect(tokens).toBe(await countTokens(corpus, part, tokenizer));
      expect(await chunksOf(cached.corpus, part, tokenizer)).toEqual(await chunksOf(corpus, part, tokenizer));
    }
  });

  test('resumes from every cursor like the text, also in the background', async () => {
    const corpus = await make();
    const { corpus: cached } = await cachedCorpus(corpus, tokenizer, await folderOf({}));
    const options = { seed: 5, contextLength: 16, microBatchSize: 2, shuffleTokens: 4000 };
    const expected = await take(trainingSequence(corpus, tokenizer, options), 500);
    expect(expected.some(({ cursor }) => cursor.block > 1)).toBe(true);
    const equals = (batches: object[], start: number) =>
      JSON.stringify(batches) === JSON.stringify(expected.slice(start, start + batches.length));
    expect(equals(await take(trainingSequence(cached, tokenizer, options), 500), 0)).toBe(true);
    for (const at of [0, 3, 100, 301, 490]) {
      expect(equals(await take(trainingSequence(cached, tokenizer, options, expected[at]!.cursor), 5), at + 1)).toBe(
        true,
      );
    }
    expect(
      equals(
        await take(
          backgroundSequence(cached, tokenizer, { ...options, tokenizingWorkers: 2 }, expected[200]!.cursor),
          5,
        ),
        201,
      ),
    ).toBe(true);
  });
});

describe('a cache of several blocks', async () => {
  const corpus = await opened(words);
  const tokenizer = bytesTokenizer();
  const { corpus: cached } = await cachedCorpus(corpus, tokenizer, await folderOf({}));
  const file = tokenFileOf(cached, corpus.training)!;
  const whole = readFileSync(file);
  const expected = await tokensOf(corpus, corpus.training, tokenizer);

  test('starts at every position of an exact text', async () => {
    expect(corpus.training.endByte).toBeGreaterThan(2 ** 18);
    for (const startByte of [1, 2, 77_777, 262_143, 262_144, 262_145, 300_000, corpus.training.endByte - 1]) {
      const part = { ...corpus.training, startByte };
      const [first] = await take(tokenChunks(cached, part, tokenizer), 1);
      expect(first!.startByte).toBe(startByte);
      expect(await tokensOf(cached, part, tokenizer)).toBe(await tokensOf(corpus, part, tokenizer));
    }
  });

  test('detects any damage, warns, reads the text instead and removes the file', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: whole.length - 1 }), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const damaged = Buffer.from(whole);
        damaged[at]! ^= change;
        writeFileSync(file, damaged);
        const warnings: string[] = [];
        const onWarning = (message: string) => void warnings.push(message);
        expect(await tokensOf(cached, corpus.training, tokenizer, { onWarning })).toBe(expected);
        expect(warnings).toEqual([expect.stringContaining(`${file} is damaged`)]);
        expect(() => statSync(file)).toThrow('ENOENT');
      }),
      {
        numRuns: 25,
        examples: [
          [0, 1],
          [whole.length - 1, 1],
          [whole.length - 16, 1],
          [whole.length - 40, 1],
          [8, 64],
        ],
      },
    );
  });

  test('detects a file that is truncated anywhere', async () => {
    for (const bytes of [0, 5, 16, 400_000, whole.length - 1]) {
      writeFileSync(file, whole);
      truncateSync(file, bytes);
      expect(await tokensOf(cached, corpus.training, tokenizer), String(bytes)).toBe(expected);
    }
    const again = await cachedCorpus(corpus, tokenizer, path.dirname(path.dirname(file)));
    expect(again.corpus.tokenCache).toBe(cached.tokenCache);
    expect(readFileSync(file).equals(whole)).toBe(true);
  });
});

describe('what the tokens depend on', () => {
  const text = words.slice(0, 20_000);
  const folderName = ({ tokenCache }: Corpus): string => path.basename(tokenCache!);

  test('depends on text, split, way of reading and tokenizer, but not on the place of the text', async () => {
    const folder = await folderOf({ 'a.txt': text });
    const file = path.join(folder, 'a.txt');
    const keyOf = async (
      tokenizer = bpe,
      { tail = 0.1, ...source }: { tail?: number; [key: string]: unknown } = {},
      errors: 'error' | 'skip' = 'error',
    ) =>
      folderName(
        (
          await cachedCorpus(
            await openCorpus({
              sources: [{ path: file, ...source }],
              validation: { tail },
              shuffleTokens: 1024,
              encodingErrors: errors,
            }),
            tokenizer,
            path.join(folder, 'cache'),
          )
        ).corpus,
      );
    const keys = [
      await keyOf(),
      await keyOf(characters),
      await keyOf(bpe, { tail: 0.2 }),
      await keyOf(bpe, { separator: '\n' }),
      await keyOf(bpe, {}, 'skip'),
    ];
    writeFileSync(file, text.replace('ö', 'ü'));
    keys.push(await keyOf());
    expect(new Set(keys).size).toBe(6);
    writeFileSync(file, text);
    expect(await keyOf()).toBe(keys[0]);
    const elsewhere = path.join(await folderOf({ 'b.txt': text }), 'b.txt');
    expect(await keyOf(bpe, { path: elsewhere })).toBe(keys[0]);
  });

  test('depends on the time of a long file, whose content is only sampled', async () => {
    const folder = await folderOf({ 'a.txt': text.repeat(80) });
    const file = path.join(folder, 'a.txt');
    const key = async () =>
      folderName(
        (
          await cachedCorpus(
            await openCorpus({ sources: [{ path: file }], validation: { tail: 0.1 }, shuffleTokens: 1024 }),
            bytesTokenizer(),
            path.join(folder, 'cache'),
          )
        ).corpus,
      );
    const before = await key();
    expect(statSync(file).size).toBeGreaterThan(2 ** 20);
    expect(await key()).toBe(before);
    utimesSync(file, 1000, 1000);
    expect(await key()).not.toBe(before);
  });

  test('does not exist for standard input, which is not cached', async () => {
    const corpus = await opened(text);
    const fromInput = { ...corpus, files: corpus.files.map((file) => ({ ...file, source: { path: '-' } })) };
    const counted = await countCorpus(fromInput, bpe, { cache: await folderOf({}) });
    expect(counted.corpus.tokenCache).toBeUndefined();
    expect(counted.trainingTokens).toBe(await countTokens(corpus, corpus.training, bpe));
  });
});

test('is not written twice, and unfinished files of killed processes are removed', async () => {
  const folder = await folderOf({});
  const corpus = await opened(words);
  const { corpus: cached } = await cachedCorpus(corpus, bpe, folder);
  const file = tokenFileOf(cached, corpus.training)!;
  const { mtimeMs, ino } = statSync(file);
  await cachedCorpus(corpus, bpe, folder);
  expect(statSync(file)).toMatchObject({ mtimeMs, ino });
  const [old, young] = ['1-a-0', '2-b-0'].map((name) =>
    path.join(path.dirname(file), `.${path.basename(file)}.clm-unfinished-${name}`),
  );
  for (const left of [old!, young!]) writeFileSync(left, 'half of it');
  utimesSync(old!, Date.now() / 1000 - 7200, Date.now() / 1000 - 7200);
  writeFileSync(file, 'damaged');
  await cachedCorpus(corpus, bpe, folder);
  expect(readdirSync(path.dirname(file)).filter((name) => name.includes('unfinished'))).toEqual([
    path.basename(young!),
  ]);
  expect(await chunksOf(cached, corpus.training, bpe)).toEqual(await chunksOf(corpus, corpus.training, bpe));
});

test('processes that write it at the same time all read it complete', async () => {
  const folder = await folderOf({ 'tokenizer.json': renderTokenizer(bpe), 'a.txt': words.repeat(3) });
  const dist = new URL('../../../dist/data/', import.meta.url).href;
  const program = `
    const { openCorpus } = await import('${dist}files/openCorpus.js');
    const { cachedCorpus } = await import('${dist}tokens/tokenCache.js');
    const { tokenChunks } = await import('${dist}tokens/tokens.js');
    const { readTokenizerFile } = await import('${dist}tokenizers/tokenizerFile.js');
    const corpus = await openCorpus({ sources: [{ path: 'a.txt' }], validation: { tail: 0.1 }, shuffleTokens: 1024 });
    const tokenizer = await readTokenizerFile('tokenizer.json');
    const { corpus: cached, trainingTokens } = await cachedCorpus(corpus, tokenizer, 'cache');
    let tokens = 0;
    const warnings = [];
    const onWarning = (message) => warnings.push(message);
    const chunks = tokenChunks(cached, corpus.training, tokenizer, { onWarning });
    for await (const { tokenIds } of chunks) tokens += tokenIds.length;
    console.log(JSON.stringify({ trainingTokens, tokens, warnings, folder: cached.tokenCache }));`;
  const run = () => promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], { cwd: folder });
  const made = (await Promise.all([run(), run(), run()])).map(({ stdout }) => JSON.parse(stdout));
  expect(new Set(made.map((each) => JSON.stringify(each))).size).toBe(1);
  expect(made[0]).toMatchObject({ tokens: made[0].trainingTokens, warnings: [] });
  expect(readdirSync(path.join(folder, made[0].folder)).sort()).toEqual([
    expect.stringMatching(/^to-\d+\.tokens$/),
    expect.stringMatching(/^to-\d+\.tokens$/),
  ]);
});
