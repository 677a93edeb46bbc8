/** Preference pairs: two rows each, completions alone scored, whole pairs shuffled, and nothing left out unsaid. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { learntExamples } from '../../../src/data/check/learntExample.ts';
import type { Corpus, SourceSettings } from '../../../src/data/files/corpus.ts';
import { openCorpus } from '../../../src/data/files/openCorpus.ts';
import { prepareTokenizer } from '../../../src/data/tokens/prepareTokenizer.ts';
import { validationBatches, type MicroBatch } from '../../../src/data/windows/batches.ts';
import { trainingSequence } from '../../../src/data/windows/mixture.ts';
import { trainingSupply } from '../../../src/data/windows/trainingSupply.ts';
import { all, folderOf, rejection, take } from '../texts.ts';

const end = 256; // end of text, of `bytes`
const fields = { prompt: 'prompt', chosen: 'chosen', rejected: 'rejected' };
const lines = (rows: object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

async function pairsIn(rows: object[], settings: Partial<SourceSettings> = fields, name = 'a.jsonl') {
  const path = join(await folderOf({ [name]: lines(rows), 'v.jsonl': lines(rows.slice(0, 1)) }), name);
  const validation = { path: join(path, '../v.jsonl') };
  const opened = await openCorpus({ sources: [{ path, ...settings }], validation, shuffleTokens: 1024 });
  return prepareTokenizer({ kind: 'bytes' }, opened);
}

interface ShownRow {
  text: string;
  scored: string;
}

/** The rows of a micro-batch as text; end of text is $. */
function rowsOf({ inputs, targets, lossMask }: MicroBatch, contextLength: number): ShownRow[] {
  const spell = (ids: number[]) => ids.map((id) => (id === end ? '$' : String.fromCharCode(id))).join('');
  return Array.from({ length: inputs.length / contextLength }, (_, row) => {
    const at = (t: number): number => row * contextLength + t;
    const places = Array.from({ length: contextLength }, (_, t) => at(t)).filter((i) => targets[i] !== 0);
    const scored = places.filter((i) => lossMask[i] === 1).map((i) => targets[i]!);
    return { text: spell([inputs[at(0)]!, ...places.map((i) => targets[i]!)]), scored: spell(scored) };
  });
}

const numbered = (count: number): object[] =>
  Array.from({ length: count }, (_, i) => ({
    prompt: `${i}?`,
    chosen: 'yes'.slice(0, 1 + (i % 3)),
    rejected: 'nope'.slice(0, 1 + (i % 4)),
  }));

describe('texts', () => {
  test('a pair is two rows from the start of the prompt; the completions and their ends count', async () => {
    const { corpus, tokenizer } = await pairsIn([{ prompt: 'Q:', chosen: 'good', rejected: 'bad' }]);
    const batches = await all(validationBatches(corpus, tokenizer, { contextLength: 8, microBatchSize: 2 }));
    expect(batches.length).toBe(1);
    expect(rowsOf(batches[0]!, 8).slice(0, 2)).toEqual([
      { text: 'Q:good$', scored: 'good$' },
      { text: 'Q:bad$', scored: 'bad$' },
    ]);
    expect(batches[0]!.inputs.length).toBe(2 * 2 * 8); // the second pair is padding
    expect(batches[0]!.targetCount).toBe(9);
  });

  test('without a prompt, what both begin with is the prompt', async () => {
    const { corpus, tokenizer } = await pairsIn([{ chosen: 'The sky is blue', rejected: 'The sky is black' }], {
      chosen: 'chosen',
      rejected: 'rejected',
    });
    const [batch] = await all(validationBatches(corpus, tokenizer, { contextLength: 20, microBatchSize: 1 }));
    expect(rowsOf(batch!, 20).map(({ scored }) => scored)).toEqual(['ue$', 'ack$']);
  });

  test('columns of CSV are read by the same names', async () => {
    const path = join(await folderOf({ 'a.csv': 'q,good,bad\n1+1=,2,3\n2+2=,4,5\n' }), 'a.csv');
    const source = { path, prompt: 'q', chosen: 'good', rejected: 'bad' };
    const opened = await openCorpus({ sources: [source], validation: { tail: 0.5 }, shuffleTokens: 1024 });
    const { corpus, tokenizer } = await prepareTokenizer({ kind: 'bytes' }, opened);
    const [batch] = await all(validationBatches(corpus, tokenizer, { contextLength: 8, microBatchSize: 1 }));
    expect(rowsOf(batch!, 8)).toEqual([
      { text: '2+2=4$', scored: '4$' },
      { text: '2+2=5$', scored: '5$' },
    ]);
  });
});

describe('messages', () => {
  const user = (content: string) => ({ role: 'user', content });
  const assistant = (content: string) => ({ role: 'assistant', content });

  test('are rendered by the template; the completion begins after the beginning of the turn', async () => {
    const row = { prompt: [user('Hi')], chosen: [assistant('Hello')], rejected: [assistant('No')] };
    const implicit = { chosen: [user('Hi'), assistant('Hello')], rejected: [user('Hi'), assistant('No')] };
    const shown = [];
    for (const [rows, settings] of [
      [[row], fields],
      [[implicit], { chosen: 'chosen', rejected: 'rejected' }],
    ] as const) {
      const { corpus, tokenizer } = await pairsIn([...rows], settings);
      const [batch] = await all(validationBatches(corpus, tokenizer, { contextLength: 40, microBatchSize: 1 }));
      shown.push(rowsOf(batch!, 40));
      const [chosen, rejected] = await learntExamples(corpus, tokenizer);
      expect(chosen!.parts.filter(({ learnt }) => learnt)[0]!.text).toMatch(/^Hello/);
      expect(rejected!.parts.filter(({ learnt }) => learnt)[0]!.text).toMatch(/^No/);
    }
    expect(shown[0]![0]!.text).toBe('user:\nHi\n\nassistant:\nHello$\n\n');
    expect(shown[0]!.map(({ scored }) => scored)).toEqual(['Hello$\n\n', 'No$\n\n']);
    expect(shown[1]).toEqual(shown[0]);
  });

  test.each([
    [{ prompt: 'Hi', chosen: [assistant('a')], rejected: [assistant('b')] }, /chosen and rejected are lists of mess/],
    [
      { prompt: 'Hi', chosen: 5, rejected: 'b' },
      /^line 1 [^:]*: chosen is 5, neither a text nor a list of messages\.$/,
    ],
    [{ prompt: 'Hi', chosen: 'a' }, /line 1 .* has no field "rejected" \(it has prompt, chosen\)/],
    [{ prompt: [], chosen: [assistant('a')], rejected: [assistant('b')] }, /prompt is an empty list of messages/],
  ])('what is not a pair is refused with its line: %j', async (row, message) => {
    expect((await rejection(pairsIn([row]))).message).toMatch(message);
  });
});

describe('long pairs', () => {
  const rows = [
    { prompt: 'abc', chosen: 'x', rejected: 'y' },
    { prompt: 'abc', chosen: 'x'.repeat(9), rejected: 'y' },
    { prompt: 'abcdefgh', chosen: 'x', rejected: 'y' },
  ];

  test('are cut at the context, and left out if the prompt fills it, with a count', async () => {
    const { corpus, tokenizer, sourceTokens } = await pairsIn(rows);
    const options = { seed: 1, contextLength: 7, shuffleTokens: 1024 };
    const supply = await trainingSupply(corpus, tokenizer, options, sourceTokens);
    expect(supply).toMatchObject({ windows: 2, truncatedPairs: 1, omittedPairs: 1 });
    // 4 of the cut completion and its end; all 20 of the pair left out.
    expect(supply.leftoverTokens).toBe(5 + 20);
    expect(supply.tokens).toBe(10 + 18 + 20);
    expect(supply.places).toBe(4 + 4 + 7 + 4);
    const batches = await take(trainingSequence(corpus, tokenizer, { ...options, microBatchSize: 2 }), 1);
    const texts = rowsOf(batches[0]!, 7).map(({ text }) => text);
    expect(texts.sort()).toEqual(['abcx$', 'abcxxxxx', 'abcy$', 'abcy$']);
  });

  test('a corpus in which all are left out is refused', async () => {
    const { corpus, tokenizer, sourceTokens } = await pairsIn(rows.slice(2));
    const options = { seed: 1, contextLength: 7, shuffleTokens: 1024 };
    expect((await rejection(trainingSupply(corpus, tokenizer, options, sourceTokens))).message).toMatch(/No token/);
  });
});

describe('the training sequence', () => {
  const options = { seed: 3, contextLength: 9, shuffleTokens: 60, microBatchSize: 2 };
  const count = 13;

  test('holds every pair once an epoch, in another order each epoch, in several blocks', async () => {
    const { corpus, tokenizer } = await pairsIn(numbered(count));
    const batches = await take(trainingSequence(corpus, tokenizer, options), count);
    const texts = batches.flatMap((batch) => rowsOf(batch, 9).map(({ text }) => text));
    const epochs = [texts.slice(0, 2 * count), texts.slice(2 * count)];
    expect(new Set(batches.map(({ cursor }) => cursor.block)).size).toBeGreaterThan(2);
    expect(epochs[0]).not.toEqual(epochs[1]);
    expect([...epochs[0]!].sort()).toEqual([...epochs[1]!].sort());
    for (let i = 0; i < texts.length; i += 2) expect(texts[i]!.split('?')[0]).toBe(texts[i + 1]!.split('?')[0]);
  });

  test.each([null, 'cache'])('continues exactly from every cursor (token cache: %s)', async (cache) => {
    const settings: [object[], Partial<SourceSettings>] = [numbered(count), fields];
    const { corpus: plain, tokenizer } = await pairsIn(...settings);
    const corpus: Corpus =
      cache === null ? plain : (await prepareTokenizer({ kind: 'bytes' }, plain, { cache: await folderOf({}) })).corpus;
    expect(corpus.tokenCache === undefined).toBe(cache === null);
    const batches = await take(trainingSequence(corpus, tokenizer, options), 16);
    for (let at = 0; at < 15; at += 2) {
      const [next] = await take(trainingSequence(corpus, tokenizer, options, batches[at]!.cursor), 1);
      expect(next).toEqual(batches[at + 1]);
    }
  });

  test('a mixture takes whole pairs of each source by weight', async () => {
    const folder = await folderOf({
      'a.jsonl': lines(numbered(12)),
      'b.jsonl': lines([{ ...numbered(1)[0], prompt: 'b?' }]),
    });
    const sources = [
      { path: join(folder, 'a.jsonl'), weight: 1, ...fields },
      { path: join(folder, 'b.jsonl'), weight: 1, ...fields },
    ];
    const validation = { path: join(await folderOf({ 'v.jsonl': lines(numbered(1)) }), 'v.jsonl') };
    const opened = await openCorpus({ sources, validation, shuffleTokens: 1024 });
    const { corpus, tokenizer } = await prepareTokenizer({ kind: 'bytes' }, opened);
    const batches = await take(trainingSequence(corpus, tokenizer, options), 20);
    const first = batches.flatMap((batch) => rowsOf(batch, 9).map(({ text }) => text[0]!));
    const ofB = first.filter((letter) => letter === 'b').length / first.length;
    expect(ofB).toBeGreaterThan(0.4);
    expect(ofB).toBeLessThan(0.7);
    for (let i = 0; i < first.length; i += 2) expect(first[i]).toBe(first[i + 1]);
  });
});
