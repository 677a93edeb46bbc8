import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCorpus, type CorpusSettings } from '../../../src/data/files/openCorpus.ts';
import { trainingSequence } from '../../../src/data/windows/mixture.ts';
import { textOrigins } from '../../../src/data/windows/origins.ts';
import { tokenizerFromFile } from '../../../src/data/tokenizers/tokenizerFile.ts';
import { folderOf, take } from '../texts.ts';

const options = { seed: 5, contextLength: 12, microBatchSize: 3, shuffleTokens: 1024 };
const tokenizer = tokenizerFromFile('{"format":"clm-tokenizer","kind":"bytes","version":1}', 'tokenizer.json');

/** Takes `count` micro-batches, then traces the next two; gives both. */
async function traced(settings: Omit<CorpusSettings, 'shuffleTokens'>, count: number) {
  const corpus = await openCorpus({ ...settings, shuffleTokens: options.shuffleTokens });
  const batches = trainingSequence(corpus, tokenizer, options);
  const taken = await take(batches, count + 2);
  const cursor = count === 0 ? undefined : taken[count - 1]!.cursor;
  return { batches: taken.slice(count), origins: await textOrigins(corpus, tokenizer, options, cursor, 2) };
}

/** The text from a location on. */
async function textAt(place: string): Promise<string> {
  const [, byte, file] = /^byte (\d+) of (.*)$/.exec(place)!;
  return (await readFile(file!)).subarray(Number(byte)).toString('latin1');
}

describe('the origins of a step', () => {
  it.each([0, 9])('are the exact bytes of its windows in running text, after %d micro-batches', async (count) => {
    const text = Array.from({ length: 400 }, (_, i) => `word${(i * 7919) % 1000}`).join(' ');
    const path = await folderOf({ 'running.txt': text });
    const { batches, origins } = await traced({ sources: [{ path }], validation: { tail: 0.1 } }, count);
    expect(origins.map(({ microBatch, window }) => [microBatch, window])).toEqual([
      [0, 0],
      [0, 1],
      [0, 2],
      [1, 0],
      [1, 1],
      [1, 2],
    ]);
    for (const { microBatch, window, place, tokens, text } of origins) {
      expect(tokens).toBe(13);
      expect((await textAt(place)).startsWith(text)).toBe(true);
      const row = batches[microBatch]!.inputs.subarray(window * 12, window * 12 + 12);
      expect(text.slice(0, 12)).toBe(String.fromCharCode(...row));
    }
  });

  it('name the line of each document in a window, of packed documents in a mixture', async () => {
    const line = (name: string, i: number) =>
      JSON.stringify({ id: i, text: `${name}${i} says ${'la'.repeat((i * 13) % 11)}` });
    const lines = (name: string) => Array.from({ length: 90 }, (_, i) => line(name, i)).join('\n');
    const path = await folderOf({ 'one.jsonl': lines('one'), 'two.jsonl': lines('two') });
    const sources = [
      { path: join(path, 'one.jsonl'), weight: 2 },
      { path: join(path, 'two.jsonl'), weight: 1 },
    ];
    const { batches, origins } = await traced({ sources, validation: { hash: 0.1 }, packing: 'documents' }, 4);
    expect(new Set(origins.map(({ place }) => place.slice(place.lastIndexOf('/') + 1)))).toEqual(
      new Set(['one.jsonl', 'two.jsonl']),
    );
    expect(origins.length).toBeGreaterThan(6); // some windows hold several documents
    let tokens = 0;
    for (const { place, text, tokens: own } of origins) {
      const [found] = (await textAt(place)).split('\n');
      expect(JSON.parse(found!).text).toContain(text);
      tokens += own;
    }
    // A piece of n tokens has n − 1 targets; the end-of-text put before a document is not part of its text.
    const inputs = batches.reduce((sum, { tokenCount }) => sum + tokenCount, 0);
    expect(tokens).toBeGreaterThanOrEqual(inputs);
  });
});
