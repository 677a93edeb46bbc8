import { describe, expect, it } from 'vitest';
import { decode } from '../../src/model/decoder.ts';
import { parameterTable } from '../../src/model/parameters.ts';
import { complete, recordNextLogits } from '../../src/sampling/completion.ts';
import { recordTrainingStep } from '../../src/training/step.ts';
import { openTinySession, tinyConfig, vocabularySize } from '../training/tinyRun.ts';

const config = tinyConfig({ model: { contextLength: 19 }, training: { microBatchSize: 1 } });
const { model } = config;
const T = model.contextLength;
const table = parameterTable(model, vocabularySize);
const greedy = { temperature: 0, topK: null, seed: 1 };

describe('completion', () => {
  it('sees the same logits whatever the padding, and only the last tokens beyond the context length', async () => {
    const session = await openTinySession(config, 'recorded');
    const whole = session.program('whole', { inputs: { shape: [T], dtype: 'int32' } }, (feeds, variables) => {
      const parameters = Object.fromEntries(table.map(({ name }) => [name, variables.read(name)]));
      return { logits: decode(parameters, feeds['inputs']!, { model, batchSize: 1, positions: T, dropout: null }) };
    });
    const nextLogits = recordNextLogits(session, model, table);
    const tokenIds = Array.from({ length: T + 4 }, (_, i) => (i * i + 1) % vocabularySize);
    const all = (await whole.run({ inputs: Int32Array.from(tokenIds.slice(0, T)) }))['logits']!;
    for (const length of [1, 7, 16, 17, T]) {
      const logits = await nextLogits(tokenIds.slice(0, length));
      const row = all.subarray((length - 1) * vocabularySize, length * vocabularySize);
      logits.forEach((logit, i) => expect(logit).toBeCloseTo(row[i]!, 5));
    }
    expect(await nextLogits(tokenIds)).toEqual(await nextLogits(tokenIds.slice(-T)));
    session.close();
  });

  it('says a sentence it was trained on, past the context length', async () => {
    const session = await openTinySession(config, 'recorded');
    const step = await recordTrainingStep(session, config, table);
    // A cycle of 13 tokens in an order of its own: each token has one successor.
    const successor = (token: number) => (token * 5 + 3) % vocabularySize;
    const sentence = [2];
    while (sentence.length < T + 1) sentence.push(successor(sentence.at(-1)!));
    const batch = {
      inputs: Int32Array.from(sentence.slice(0, -1)),
      targets: Int32Array.from(sentence.slice(1)),
      weights: new Float32Array(T).fill(1),
      targetCount: T,
    };
    let loss = Infinity;
    for (let i = 1; i <= 200; i++) ({ loss } = await step([batch], i, 1e-2));
    expect(loss).toBeLessThan(0.01);
    const completion: number[] = [];
    const nextLogits = recordNextLogits(session, model, table);
    for await (const token of complete(nextLogits, sentence.slice(0, 1), { ...greedy, maxTokens: T })) completion.push(token);
    expect(completion).toEqual(sentence.slice(1));
    session.close();
  });

  it('is decided by the seed', async () => {
    const session = await openTinySession(config, 'recorded');
    const nextLogits = recordNextLogits(session, model, table);
    const draw = async (seed: number) => {
      const tokens: number[] = [];
      for await (const token of complete(nextLogits, [1], { temperature: 1, topK: null, seed, maxTokens: 12 })) tokens.push(token);
      return tokens;
    };
    const once = await draw(5);
    expect(once).toHaveLength(12);
    expect(await draw(5)).toEqual(once);
    expect(await draw(6)).not.toEqual(once);
    session.close();
  });
});
