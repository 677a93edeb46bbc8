import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { charactersTokenizer } from '../../src/data/tokenizers/characters.ts';
import { parameterTable } from '../../src/model/parameters.ts';
import { evaluateTokens } from '../../src/sampling/scoring/perplexity.ts';
import { inspectTokens } from '../../src/sampling/scoring/inspection.ts';
import { scoreChoices, scoreText } from '../../src/sampling/scoring/textScores.ts';
import { lossesOfText, overlappingWindows } from '../../src/sampling/scoring/overlappingWindows.ts';
import { openTokenLosses } from '../../src/sampling/scoring/tokenLosses.ts';
import { openTinySession, tinyConfig, vocabularySize } from '../training/tinyRun.ts';

const config = tinyConfig({ model: { contextLength: 7 } });
const { model } = config;
const table = parameterTable(model, vocabularySize);
const tokenizer = charactersTokenizer('abcdefghijklm');
const text = 'abacadaeafagahbbbcbdcjcklmdefghi';

async function* inChunks(tokenIds: Int32Array, size: number) {
  for (let at = 0; at < tokenIds.length; at += size)
    yield { tokenIds: tokenIds.subarray(at, at + size), lossMask: null };
}

describe('overlapping windows', () => {
  it('score every token but the first once, with the overlap as context', async () => {
    const sizes = fc.record({
      n: fc.integer({ min: 0, max: 40 }),
      T: fc.integer({ min: 1, max: 9 }),
      chunk: fc.integer({ min: 1, max: 12 }),
    });
    const cases = sizes.chain(({ n, T, chunk }) =>
      fc.record({
        n: fc.constant(n),
        T: fc.constant(T),
        chunk: fc.constant(chunk),
        overlap: fc.integer({ min: 0, max: T - 1 }),
      }),
    );
    await fc.assert(
      fc.asyncProperty(cases, async ({ n, T, chunk, overlap }) => {
        const ids = Int32Array.from({ length: n }, (_, i) => i);
        const scored: number[] = [];
        for await (const { tokenIds, context } of overlappingWindows(inChunks(ids, chunk), T, overlap)) {
          expect(tokenIds.length).toBeLessThanOrEqual(T + 1);
          expect([...tokenIds]).toEqual(Array.from({ length: tokenIds.length }, (_, i) => tokenIds[0]! + i));
          if (scored.length > 0) expect(context).toBe(overlap + 1);
          scored.push(...tokenIds.subarray(context));
        }
        expect(scored).toEqual([...ids.subarray(1)]);
      }),
    );
  });
});

describe('scoring', () => {
  it('gives every token the loss of the window it is scored in, whatever the batch and padding', async () => {
    const session = await openTinySession(config, 'recorded');
    const tokenLosses = openTokenLosses(session, model, table, vocabularySize);
    const ids = tokenizer.encode(text);
    const n = ids.length;
    // Reference: one token at a time, with the context that the stride leaves it.
    const alone = async (from: number, token: number): Promise<number> =>
      (await tokenLosses.ofWindows([ids.subarray(from, token + 1)]))[0]!.at(-1)!;
    for (const overlap of [0, 3, 6]) {
      let sum = 0;
      for (let token = 1; token < n; token++) {
        const stride = 7 - overlap;
        const windowIndex = token <= 7 ? 0 : Math.ceil((token - 7) / stride);
        sum += await alone(windowIndex * stride, token);
      }
      const evaluation = await evaluateTokens(tokenLosses, inChunks(ids, 5), tokenizer, overlap);
      expect(evaluation).toMatchObject({ tokens: n - 1, bytes: n - 1 });
      expect(evaluation!.loss).toBeCloseTo(sum / (n - 1), 5);
      expect(evaluation!.perplexity).toBeCloseTo(Math.exp(sum / (n - 1)), 4);
      expect(evaluation!.bitsPerByte).toBeCloseTo(sum / (n - 1) / Math.LN2, 5);
    }
    expect(await evaluateTokens(tokenLosses, inChunks(ids.subarray(0, 1), 1), tokenizer, 0)).toBeNull();
    session.close();
  });

  it('counts only tokens inside the loss mask, and bytes by the tokens', async () => {
    const session = await openTinySession(config, 'recorded');
    const tokenLosses = openTokenLosses(session, model, table, vocabularySize);
    const tokenIds = Int32Array.of(1, 2, 3, 4, 5);
    const pairs = async function* () {
      yield { tokenIds, lossMask: Uint8Array.of(0, 0, 1, 0, 1) };
    };
    const [losses] = await tokenLosses.ofWindows([tokenIds]);
    const evaluation = await evaluateTokens(
      tokenLosses,
      pairs(),
      { byteLengths: Uint16Array.from({ length: 13 }, (_, i) => i) },
      0,
    );
    expect(evaluation).toMatchObject({ tokens: 2, bytes: 3 + 5 });
    expect(evaluation!.loss).toBeCloseTo((losses![1]! + losses![3]!) / 2, 6);
    session.close();
  });

  it('scores texts and choices: a choice is scored by the tokens it adds', async () => {
    const session = await openTinySession(config, 'recorded');
    const tools = { tokenLosses: openTokenLosses(session, model, table, vocabularySize), tokenizer };
    const whole = await scoreText(tools, 'abcde');
    expect(whole).toMatchObject({ tokens: 4, bytes: 4, tokenIds: [1, 2, 3, 4] });
    const prompt = await scoreText(tools, 'abc');
    const { choices, best, bestPerByte } = await scoreChoices(tools, 'abc', ['de', 'e', 'dm']);
    expect(choices[0]!.logProbability).toBeCloseTo(whole.logProbability - prompt.logProbability, 5);
    expect(choices.map(({ tokens }) => tokens)).toEqual([2, 1, 2]);
    expect(best).toBe(1); // to an untrained model one token is likelier than two
    const perByte = choices.map(({ logProbability, bytes }) => logProbability / bytes);
    expect(perByte[bestPerByte]).toBe(Math.max(...perByte));
    expect(await lossesOfText(tools.tokenLosses, tokenizer.encode(text))).toHaveLength(text.length - 1);
    await expect(scoreText(tools, 'a')).rejects.toThrow(/fewer than two tokens/);
    await expect(scoreChoices(tools, '', ['a'])).rejects.toThrow(/prompt is empty/);
    session.close();
  });
});

describe('inspection', () => {
  it('shows the losses whose mean is the loss of training', async () => {
    const session = await openTinySession(config, 'recorded');
    const inspection = await inspectTokens({ session, model, table, tokenizer }, [...tokenizer.encode('gabcd')], 3);
    expect(inspection).toMatchObject({
      tokenIds: [6, 0, 1, 2, 3],
      texts: ['g', 'a', 'b', 'c', 'd'],
      startBytes: [0, 1, 2, 3, 4],
      targetIds: [0, 1, 2, 3],
      uniformLoss: Math.log(13),
    });
    const { losses, loss, modelLoss, probabilities, ranks, alternatives } = inspection;
    expect(loss).toBe(losses.reduce((sum, each) => sum + each, 0) / 4);
    expect(Math.abs(loss - modelLoss)).toBeLessThan(2 ** -22 * loss); // equal except for the last bit of float32
    const [scored] = await openTokenLosses(session, model, table, vocabularySize).ofWindows([inspection.tokenIds]);
    losses.forEach((each, t) => {
      expect(each).toBeCloseTo(scored![t]!, 5);
      expect(probabilities[t]).toBeCloseTo(Math.exp(-each), 12);
    });
    expect(alternatives.map((list) => list.length)).toEqual([3, 3, 3, 3, 3]);
    for (const [t, list] of alternatives.slice(0, 4).entries()) {
      const rank = list.findIndex(({ tokenId }) => tokenId === inspection.targetIds[t]);
      if (ranks[t]! <= 3) expect(rank).toBe(ranks[t]! - 1);
      else expect(rank).toBe(-1);
    }
    await expect(inspectTokens({ session, model, table, tokenizer }, [...tokenizer.encode('a')], 1)).rejects.toThrow(
      /one token/,
    );
    await expect(
      inspectTokens({ session, model, table, tokenizer }, [...tokenizer.encode('abcdefgh')], 1),
    ).rejects.toThrow(/8 tokens, more than the context length of 7/);
    session.close();
  });
});
