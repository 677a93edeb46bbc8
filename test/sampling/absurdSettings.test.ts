import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { softmax } from '../../src/sampling/filters.ts';
import { filteredScores, sampleToken } from '../../src/sampling/sampler.ts';

const vocabulary = 9;
const plain = {
  temperature: 1,
  topK: null,
  topP: null,
  minP: null,
  repetitionPenalty: 1,
  logitBias: new Map<number, number>(),
};

const positive = fc.oneof(
  fc.double({ min: Number.MIN_VALUE, max: Number.MAX_VALUE, noNaN: true }),
  fc.constantFrom(Number.MIN_VALUE, 1e-300, 1e-10, 0.8, 1, 1e10, 1e300, Number.MAX_VALUE),
);
const share = fc.double({ min: Number.MIN_VALUE, max: 1, noNaN: true });
const logit = fc.oneof(
  fc.float({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(-3.4e38, -10, -1, 0, 1, 10, 3.4e38),
);
const tokenId = fc.nat(vocabulary - 1);
const bias = fc.double({ min: -Number.MAX_VALUE, max: Number.MAX_VALUE, noNaN: true });
const settings = fc.record({
  temperature: fc.oneof(fc.constant(0), positive),
  topK: fc.option(fc.integer({ min: 1, max: 2 * vocabulary })),
  topP: fc.option(share),
  minP: fc.option(fc.oneof(fc.constant(0), share)),
  repetitionPenalty: positive,
  logitBias: fc.array(fc.tuple(tokenId, bias)).map((pairs) => new Map(pairs)),
});
const logits = fc.array(logit, { minLength: vocabulary, maxLength: vocabulary }).map((all) => Float32Array.from(all));
const uniform = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const someTokens = fc.uniqueArray(tokenId, { maxLength: vocabulary - 1 });

describe('whatever the settings', () => {
  it('a token is drawn, and none that is forbidden or filtered out', () => {
    fc.assert(
      fc.property(logits, settings, uniform, someTokens, fc.uniqueArray(tokenId), (values, set, u, forbidden, seen) => {
        const state = { seen, forbidden };
        const drawn = sampleToken(values, set, u, state);
        const scores = filteredScores(values, set, state);
        expect(scores.some(Number.isNaN)).toBe(false);
        expect(softmax(scores).some(Number.isNaN)).toBe(false);
        expect(scores[drawn]).toBeGreaterThan(-Infinity);
        expect(forbidden).not.toContain(drawn);
      }),
      { numRuns: 3000 },
    );
  });

  it('a temperature close to 0 draws a likeliest token, as temperature 0 does', () => {
    fc.assert(
      fc.property(logits, fc.constantFrom(Number.MIN_VALUE, 1e-320, 1e-300), uniform, (values, temperature, u) => {
        // Bitwise different logits differ by more than 1e-290, unless they are both tiny.
        const apart = values.map((value) => (Math.abs(value) < 1e-3 ? 0 : value));
        const greedy = sampleToken(apart, { ...plain, temperature: 0 }, u);
        expect(apart[sampleToken(apart, { ...plain, temperature }, u)]).toBe(apart[greedy]);
      }),
      { numRuns: 1000 },
    );
  });

  it('a very large penalty draws no token of the text while there is another', () => {
    const values = Float32Array.of(5, 4, 3, -1, -2);
    const absurd = { ...plain, repetitionPenalty: 1e300 };
    expect(sampleToken(values, { ...absurd, temperature: 0 }, 0, { seen: [3, 4], forbidden: [] })).toBe(0);
    expect(sampleToken(values, absurd, 0.999, { seen: [3, 4], forbidden: [] })).toBe(2);
    // All of them in the text, and all below zero: the penalty may not exclude every token.
    const below = Float32Array.of(-3e38, -2e38, -3e38);
    const probabilities = softmax(filteredScores(below, absurd, { seen: [0, 1, 2], forbidden: [] }));
    expect(probabilities.reduce((sum, each) => sum + each)).toBeCloseTo(1, 10);
  });

  it('is refused if every token is forbidden', () => {
    for (const temperature of [0, 1])
      expect(() =>
        sampleToken(Float32Array.of(1, 2), { ...plain, temperature }, 0, { seen: [], forbidden: [0, 1] }),
      ).toThrow('No token may be drawn');
  });
});
