import { describe, expect, it } from 'vitest';
import { keepTopK, sampleToken, softmax } from '../../src/sampling/sampler.ts';

const logits = Float32Array.from([0.1, 0.4, 0.2, 0.3], Math.log); // probabilities are the numbers themselves
const all = { temperature: 1, topK: null };

describe('sampleToken', () => {
  it('splits [0, 1) by the probabilities, in the order of the ids', () => {
    expect([0, 0.0999, 0.1001, 0.4999, 0.5001, 0.6999, 0.7001, 0.9999].map((u) => sampleToken(logits, all, u))).toEqual([
      0, 0, 1, 1, 2, 2, 3, 3,
    ]);
  });

  it('is greedy at temperature 0, whatever the number', () => {
    expect([0, 0.5, 0.999].map((u) => sampleToken(logits, { temperature: 0, topK: null }, u))).toEqual([1, 1, 1]);
    expect(sampleToken(Float32Array.of(2, 5, 5), { temperature: 0, topK: null }, 0.9)).toBe(1);
  });

  it('sharpens below temperature 1 and flattens above', () => {
    const squared = softmax(logits, 0.5);
    [0.01, 0.16, 0.04, 0.09].forEach((p, i) => expect(squared[i]).toBeCloseTo(p / 0.3, 6));
    const flat = softmax(logits, 1e6);
    flat.forEach((p) => expect(p).toBeCloseTo(0.25, 5));
  });

  it('keeps the k likeliest, and equals at the border', () => {
    expect(Array.from(keepTopK(logits, 2), Number.isFinite)).toEqual([false, true, false, true]);
    expect(Array.from(keepTopK(Float32Array.of(1, 2, 1, 0), 2), Number.isFinite)).toEqual([true, true, true, false]);
    expect(keepTopK(logits, 9)).toBe(logits);
    const draws = Array.from({ length: 50 }, (_, i) => sampleToken(logits, { temperature: 1, topK: 2 }, i / 50));
    expect(new Set(draws)).toEqual(new Set([1, 3]));
    expect(draws.filter((id) => id === 1)).toHaveLength(29); // 0.4 of 0.7 of fifty
  });

  it('takes a token of probability above zero even where the sum falls short of 1', () => {
    expect(sampleToken(Float32Array.of(0, 0, -1e9), all, 1 - 2 ** -53)).toBe(1);
  });

  it('stands extreme logits', () => {
    expect(sampleToken(Float32Array.of(-3e38, 3e38, 0), all, 0.5)).toBe(1);
  });
});
