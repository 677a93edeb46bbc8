import { describe, expect, it } from 'vitest';
import { charactersTokenizer } from '../../src/data/tokenizers/characters.ts';
import { initialParameters, parameterTable } from '../../src/model/parameters.ts';
import { openSession } from '../../src/runtime/openSession.ts';
import { openDecoding } from '../../src/sampling/decoding.ts';
import { generate } from '../../src/sampling/generate.ts';
import { inspectTokens } from '../../src/sampling/scoring/inspection.ts';
import { requestsOf } from '../../src/sampling/requests.ts';
import { defaultSettings } from '../../src/sampling/settings.ts';
import { tinyConfig } from '../training/tinyRun.ts';

const tokenizer = charactersTokenizer('abcdefghijklm');
const tokens = tokenizer.vocabularySize;
const rows = tokens + 4;
const config = tinyConfig({ model: { vocabularySize: rows, contextLength: 11 } });
const { model } = config;
const table = parameterTable(model, tokens);

/** A decoder for which a padding row is always the likeliest: of two opposite rows, one has the largest logit. */
async function misledSession() {
  const session = openSession({ mode: 'recorded', precision: 'float32', device: 'cpu' });
  const parameters = initialParameters(table, 3);
  const { values } = parameters[0]!;
  for (let i = 0; i < model.width; i++) {
    values[tokens * model.width + i] = 10 * (i + 1);
    values[(tokens + 1) * model.width + i] = -10 * (i + 1);
  }
  await session.addVariables(parameters);
  return session;
}

describe('padding rows of the vocabulary', () => {
  it('are never sampled, even if they are the likeliest', async () => {
    const session = await misledSession();
    const settings = { ...defaultSettings(config), maxTokens: 9, seed: 5, logProbabilities: 3 };
    const decoding = openDecoding(session, model, table, 2);
    for (const temperature of [0, 3]) {
      const requests = requestsOf(
        { prompt: 'ab', settings: { temperature, topK: null } },
        { settings, tokenizer, contextLength: model.contextLength },
      );
      for await (const event of generate(decoding, tokenizer, requests, { order: 'input' })) {
        if (event.kind !== 'completion') continue;
        const { tokenIds, logProbabilities, alternatives } = event.completion;
        expect(tokenIds).toHaveLength(9);
        expect(Math.max(...tokenIds, ...alternatives!.flat().map(({ tokenId }) => tokenId))).toBeLessThan(tokens);
        expect(Math.max(...logProbabilities!)).toBeLessThan(-3); // padding has nearly all of the probability
      }
    }
    session.close();
  });

  it('count in the loss, and are not listed as alternatives', async () => {
    const session = await misledSession();
    const inspection = await inspectTokens({ session, model, table, tokenizer }, [...tokenizer.encode('abcabc')], 5);
    session.close();
    expect(inspection.loss).toBeGreaterThan(3);
    expect(inspection.loss / inspection.modelLoss).toBeCloseTo(1, 5);
    expect(inspection.uniformLoss).toBe(Math.log(rows));
    for (const listed of inspection.alternatives)
      expect(listed.map(({ tokenId }) => tokenId < tokens)).toEqual(Array(5).fill(true));
  });
});
