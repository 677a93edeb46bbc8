import { describe, expect, it } from 'vitest';
import { randomStream } from '../../src/random.ts';
import { keepMinP, keepTopK, keepTopP, kthLargest, penaliseRepetition, softmax } from '../../src/sampling/filters.ts';
import { alternatives, filteredScores, logProbability, sampleToken } from '../../src/sampling/sampler.ts';

const logits = Float32Array.from([0.1, 0.4, 0.2, 0.3], Math.log); // the numbers are the probabilities
const all = {
  temperature: 1,
  topK: null,
  topP: null,
  minP: null,
  repetitionPenalty: 1,
  logitBias: new Map<number, number>(),
};
const scores = (...values: number[]): Float64Array => Float64Array.from(values, Math.log);
const kept = (values: Float64Array): number[] => Array.from(values.keys()).filter((i) => values[i]! > -Infinity);

describe('sampleToken', () => {
  it('splits [0, 1) by the probabilities, in the order of the ids', () => {
    expect([0, 0.0999, 0.1001, 0.4999, 0.5001, 0.6999, 0.7001, 0.9999].map((u) => sampleToken(logits, all, u))).toEqual(
      [0, 0, 1, 1, 2, 2, 3, 3],
    );
  });

  it('is greedy at temperature 0, whatever the number', () => {
    const greedy = { ...all, temperature: 0 };
    expect([0, 0.5, 0.999].map((u) => sampleToken(logits, greedy, u))).toEqual([1, 1, 1]);
    expect(sampleToken(Float32Array.of(2, 5, 5), greedy, 0.9)).toBe(1);
    expect(sampleToken(logits, { ...greedy, logitBias: new Map([[0, 2]]) }, 0)).toBe(0);
    expect(sampleToken(logits, greedy, 0, { seen: [], forbidden: [1] })).toBe(3);
  });

  it('draws from the tokens that top-k keeps, by their shares', () => {
    const draws = Array.from({ length: 50 }, (_, i) => sampleToken(logits, { ...all, topK: 2 }, i / 50));
    expect(new Set(draws)).toEqual(new Set([1, 3]));
    expect(draws.filter((id) => id === 1)).toHaveLength(29); // 0.4/0.7 of fifty
  });

  it('draws a token of probability above zero even if rounding makes the sum less than 1', () => {
    expect(sampleToken(Float32Array.of(0, 0, -1e9), all, 1 - 2 ** -53)).toBe(1);
  });

  it('accepts extreme logits', () => {
    expect(sampleToken(Float32Array.of(-3e38, 3e38, 0), all, 0.5)).toBe(1);
  });
});

describe('the filters', () => {
  it('temperature sharpens below 1 and flattens above', () => {
    const squared = softmax(filteredScores(logits, { ...all, temperature: 0.5 }));
    [0.01, 0.16, 0.04, 0.09].forEach((p, i) => expect(squared[i]).toBeCloseTo(p / 0.3, 6));
    softmax(filteredScores(logits, { ...all, temperature: 1e6 })).forEach((p) => expect(p).toBeCloseTo(0.25, 5));
  });

  it('top-k keeps the k likeliest, and tokens equal to the k-th', () => {
    expect(kept(keepTopK(scores(0.1, 0.4, 0.2, 0.3), 2))).toEqual([1, 3]);
    expect(kept(keepTopK(Float64Array.of(1, 2, 1, 0), 2))).toEqual([0, 1, 2]);
    expect(kept(keepTopK(scores(0.1, 0.9), 9))).toEqual([0, 1]);
  });

  it('top-p keeps the smallest set whose sum is at least p, and at least one token', () => {
    expect(kept(keepTopP(scores(0.125, 0.5, 0.125, 0.25), 0.51))).toEqual([1, 3]);
    expect(kept(keepTopP(scores(0.125, 0.5, 0.125, 0.25), 0.49))).toEqual([1]);
    expect(kept(keepTopP(scores(0.125, 0.5, 0.125, 0.25), 0.8))).toEqual([1, 2, 3]); // of equals, higher ids
    expect(kept(keepTopP(scores(0.5, 0.5), 0.5))).toEqual([1]); // its probability equals p
    expect(kept(keepTopP(scores(0.5, 0.5), 1e-9))).toEqual([1]);
    expect(kept(keepTopP(scores(0.5, 0.5), 1))).toEqual([0, 1]);
  });

  it('min-p keeps tokens that are likely enough relative to the likeliest', () => {
    expect(kept(keepMinP(scores(0.1, 0.4, 0.2, 0.3), 0.5))).toEqual([1, 2, 3]);
    expect(kept(keepMinP(scores(0.1, 0.4, 0.2, 0.3), 1))).toEqual([1]);
  });

  it('the repetition penalty pulls both signs down, once for each token', () => {
    expect([...penaliseRepetition(Float64Array.of(2, -2, 3, 0), 2, new Set([0, 1, 3]))]).toEqual([1, -4, 3, 0]);
  });

  it('are applied in the order of transformers: bias, penalty, temperature, top-k, top-p, min-p', () => {
    const values = Float32Array.of(1, 3, -1, 2);
    const settings = {
      temperature: 0.5,
      topK: 3,
      topP: 0.85,
      minP: 0.01,
      repetitionPenalty: 2,
      logitBias: new Map([
        [0, 3],
        [2, -1],
      ]),
    };
    // bias: 4 3 −2 2; penalty on 0 and 2: 2 3 −4 2; temperature: 4 6 −8 4; top-k: 4 6 · 4; p: 0.107 0.787 · 0.107, of
    // equals the higher id
    const result = filteredScores(values, settings, { seen: [0, 2], forbidden: [] });
    expect([...result]).toEqual([-Infinity, 6, -Infinity, 4]);
  });
});

describe('log-probabilities', () => {
  it('are those before any filter', () => {
    [0.1, 0.4, 0.2, 0.3].forEach((p, i) => expect(logProbability(logits, i)).toBeCloseTo(Math.log(p), 6));
    expect(alternatives(logits, 2).map(({ tokenId }) => tokenId)).toEqual([1, 3]);
    expect(alternatives(logits, 2)[1]!.logProbability).toBeCloseTo(Math.log(0.3), 6);
    expect(alternatives(Float32Array.of(1, 2, 2, 0), 3).map(({ tokenId }) => tokenId)).toEqual([1, 2, 0]);
    expect(alternatives(logits, 9)).toHaveLength(4);
    expect(alternatives(logits, 0)).toEqual([]);
  });
});

describe('filters of many tokens, some of them equal', () => {
  const cases = Array.from({ length: 60 }, (_, i) => {
    const stream = randomStream(5, 'scores', i);
    const V = 1 + stream.below(1200);
    return {
      V,
      p: 0.02 + 0.97 * stream.uniform(),
      k: 1 + stream.below(V),
      values: Float64Array.from({ length: V }, () => Math.round(3 * stream.normal() * (1 + (i % 3)))),
    };
  });

  it('top-p keeps the same tokens as sorting the whole vocabulary', () => {
    let mostKept = 0;
    const flat = Array.from({ length: 8 }, (_, i) => {
      const stream = randomStream(5, 'flat scores', i);
      return { V: 700, p: 0.1 + 0.1 * i, values: Float64Array.from({ length: 700 }, () => stream.uniform()) };
    });
    for (const { p, values } of [...cases, ...flat]) {
      const probabilities = softmax(values);
      const ascending = [...probabilities.keys()].sort((a, b) => probabilities[a]! - probabilities[b]!);
      let cumulative = 0;
      const gone = new Set(ascending.slice(0, -1).filter((id) => (cumulative += probabilities[id]!) <= 1 - p));
      expect(kept(keepTopP(Float64Array.from(values), p))).toEqual([...values.keys()].filter((id) => !gone.has(id)));
      mostKept = Math.max(mostKept, values.length - gone.size);
    }
    expect(mostKept).toBeGreaterThan(64); // more than the first bound selects
    expect(cases.some(({ V }) => V > 600)).toBe(true);
  });

  it('the k-th largest is that of the sorted values', () => {
    for (const { V, k, values } of cases) expect(kthLargest(values, k) === values.toSorted()[V - k]).toBe(true);
  });
});
