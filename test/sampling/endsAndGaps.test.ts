import { expect, test } from 'vitest';
import { characterOfByte } from '../../src/data/tokenizers/bpe/byteAlphabet.ts';
import { gpt2File } from '../../src/data/tokenizers/bpe/files/gpt2File.ts';
import { tokenizerFromFile } from '../../src/data/tokenizers/tokenizerFile.ts';
import { startCompletion } from '../../src/sampling/completion.ts';
import { defaultPrompt, requestsOf } from '../../src/sampling/requests.ts';
import { alternatives } from '../../src/sampling/sampler.ts';
import { defaultSettings } from '../../src/sampling/settings.ts';
import { fixture } from '../data/tokenizers/bpe/fixtures.ts';
import { tinyConfig } from '../training/tinyRun.ts';

const defaults = { ...defaultSettings(tinyConfig()), maxTokens: 50, seed: 1 };
const bytes = Object.fromEntries(characterOfByte.map((character, byte) => [character, byte]));
const end = { '<|endoftext|>': 400 };
const gappedText = JSON.stringify(gpt2File({ vocabulary: { ...bytes, ...end }, merges: [], endOfTextId: 400 }));
const gapped = tokenizerFromFile(gappedText, 't.json'); // no token has the ids 256 … 399
const likely = (V: number, ...ids: number[]) => new Float32Array(V).map((_, id) => (ids.includes(id) ? 50 : 0));

test.each([
  ['by temperature', { temperature: 1 }],
  ['greedily', { temperature: 0 }],
  ['with a bias', { temperature: 0, logitBias: { 256: 100 } }],
  ['with a minimum of tokens', { temperature: 1, minTokens: 50 }],
  ['with filters', { temperature: 5, topK: 3, minP: 0.5, repetitionPenalty: 2 }],
])('an id that no token has is never drawn: %s', (_, settings) => {
  const completion = startCompletion('a', [97], { ...defaults, ...settings, logProbabilities: 5 }, gapped);
  while (completion.finishReason === null) completion.sampleNext(likely(401, 98, 300, 301));
  expect(completion.tokenIds.filter((id) => id > 255 && id < 400)).toEqual([]);
  const listed = completion.result(0, 0).alternatives!.flat();
  expect(listed.filter(({ tokenId }) => tokenId > 255 && tokenId < 400)).toEqual([]);
});

test('gaps are not listed, and the first token of a vocabulary is one that exists', () => {
  expect(alternatives(likely(401, 300, 400), 2, gapped).map(({ tokenId }) => tokenId)).toEqual([400, 0]);
  const noNewline = Object.fromEntries(Object.entries(bytes).filter(([, id]) => id > 15));
  const text = JSON.stringify(gpt2File({ vocabulary: { ...noNewline, ...end }, merges: [], endOfTextId: 400 }));
  const prompt = defaultPrompt(
    { samples: { ...tinyConfig().samples, prompt: '\n' } },
    tokenizerFromFile(text, 't.json'),
  );
  expect(prompt).toBe('\u0010');
});

test('every end token ends a completion, special or not', () => {
  const tokenizer = tokenizerFromFile(gappedText, 't.json', undefined, [65, 66]);
  for (const id of [400, 65, 66]) {
    const completion = startCompletion('a', [97], { ...defaults, temperature: 0 }, tokenizer);
    expect(completion.sampleNext(likely(401, id))).toBe('');
    expect([completion.tokenIds, completion.finishReason]).toEqual([[id], 'endOfText']);
    const later = startCompletion('a', [97], { ...defaults, temperature: 0, minTokens: 1, maxTokens: 1 }, tokenizer);
    later.sampleNext(likely(401, id));
    expect(later.tokenIds).not.toEqual([id]);
  }
});

test('after an empty prompt the space that SentencePiece puts before a text is left out', () => {
  const tokenizer = tokenizerFromFile(JSON.stringify(fixture('llama2').tokenizer), 't.json');
  const [, space] = tokenizer.encode('you');
  for (const [prompt, text] of [
    ['', ''],
    ['a', ' '],
  ] as const) {
    const [request] = requestsOf(
      { prompt },
      { settings: { ...defaults, temperature: 0, maxTokens: 1 }, tokenizer, contextLength: 64 },
    );
    const completion = startCompletion(prompt, request!.promptTokenIds, request!.settings, tokenizer);
    expect(completion.sampleNext(likely(tokenizer.vocabularySize, space!))).toBe(text);
  }
});

test.each([0, 1])('logits that are not numbers end a completion by name, at temperature %d', (temperature) => {
  const completion = startCompletion('a', [97], { ...defaults, temperature }, gapped);
  expect(() => completion.sampleNext(new Float32Array(401).fill(NaN))).toThrow('The model computes NaN');
});
