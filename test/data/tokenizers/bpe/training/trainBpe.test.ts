import { describe, expect, test } from 'vitest';
import { bpeTraining } from '../../../../../src/data/tokenizers/bpe/training/trainBpe.ts';
import { wordCounter } from '../../../../../src/data/tokenizers/bpe/training/wordCounts.ts';
import { fixture } from '../fixtures.ts';

type File = { model: { vocab: Record<string, number>; merges: [string, string][] } };

describe('training a BPE', () => {
  const { trainingTexts, tokenizer } = fixture('gpt2');

  test('yields the merges of Hugging Face’s trainer, including ties', () => {
    const training = bpeTraining();
    for (const text of trainingTexts) training.addChunk(Buffer.from(text), { endsText: true });
    const { model } = training.train(420).toJSON() as File;
    expect(model.merges).toEqual(tokenizer.model.merges);
    expect(model.vocab).toEqual(tokenizer.model.vocab);
  });

  test('does not depend on how the text is cut into chunks', () => {
    const text = 'the cat sat on the mat. '.repeat(8000) + 'x'.repeat(70_000);
    const file = (chunkBytes: number): object => {
      const training = bpeTraining();
      const utf8 = Buffer.from(text);
      let start = 0;
      for (let end = chunkBytes; end < utf8.length; end += chunkBytes)
        start += training.addChunk(utf8.subarray(start, end), { endsText: false });
      training.addChunk(utf8.subarray(start), { endsText: true });
      return training.train(300).toJSON();
    };
    expect(file(7001)).toEqual(file(1e9));
  });

  test.each([
    ['spaces', ' ', 32_768],
    ['Chinese', '中', 30_000],
    ['NUL', '\0', 40_000],
    ['line ends', '\n', 70_000],
  ])('yields a vocabulary of a long run of %s', (_, character, count) => {
    const training = bpeTraining();
    training.addChunk(Buffer.from(character.repeat(count)), { endsText: true });
    const trained = training.train(1000);
    expect(trained.vocabularySize).toBeGreaterThan(265);
    expect(trained.decode(trained.encode(character.repeat(99)))).toBe(character.repeat(99));
  });

  test('ends early if no pair is left', () => {
    const training = bpeTraining();
    training.addChunk(Buffer.from('ab ab ab'), { endsText: true });
    const trained = training.train(1000);
    expect(trained.vocabularySize).toBe(259);
    expect([...trained.encode('ab ab')]).toEqual([257, 258]);
    expect(trained.endOfText).toBe(0);
  });

  test('allows a token called __proto__', () => {
    const training = bpeTraining();
    training.addChunk(Buffer.from('__proto__ '.repeat(50)), { endsText: true });
    const trained = training.train(280);
    expect(trained.encode('__proto__')).toHaveLength(3);
    const vocabulary = (trained.toJSON() as File).model.vocab;
    expect(Object.keys(vocabulary)).toHaveLength(trained.vocabularySize);
  });
});

test('word counting stays within its limits and keeps the frequent words', () => {
  const counter = wordCounter({ words: 100, bytes: 10_000 });
  for (let i = 0; i < 1000; i++) {
    for (const word of ['often', 'again', `rare${i}`]) counter.add(Buffer.from(word), 0, word.length);
  }
  const words = counter.words();
  const counts = new Map<string, number>();
  for (let i = 0; i < words.size; i++) {
    counts.set(Buffer.from(words.bytes.subarray(words.starts[i], words.starts[i + 1])).toString(), words.counts[i]!);
  }
  expect(counts.get('often')).toBe(1000);
  expect(counts.get('again')).toBe(1000);
  expect(words.size).toBeLessThanOrEqual(100);
  expect(words.dropped).toBeGreaterThan(800);
});
