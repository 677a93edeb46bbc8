import { describe, expect, it } from 'vitest';
import { bytesTokenizer } from '../../src/data/tokenizers/bytes.ts';
import { parameterTable } from '../../src/model/parameters.ts';
import type { Completion } from '../../src/sampling/completion.ts';
import { openDecoding, type Decoding } from '../../src/sampling/decoding.ts';
import { generate, slideContext, type CompletionRequest } from '../../src/sampling/generate.ts';
import { requestsOf } from '../../src/sampling/requests.ts';
import { completeSettings, defaultSettings } from '../../src/sampling/settings.ts';
import { recordTrainingStep } from '../../src/training/step/step.ts';
import { charactersTokenizer } from '../../src/data/tokenizers/characters.ts';
import { openTinySession, tinyConfig, vocabularySize } from '../training/tinyRun.ts';

const config = tinyConfig({ model: { contextLength: 19 }, training: { microBatchSize: 1 } });
const { model } = config;
const T = model.contextLength;
const table = parameterTable(model, vocabularySize);
const tokenizer = charactersTokenizer('abcdefghijklm');
const defaults = { ...defaultSettings(config), temperature: 0, maxTokens: 12, seed: 1 };
const options = { settings: defaults, tokenizer, contextLength: T };
const ask = (prompt: string, settings: Record<string, unknown> = {}) => requestsOf({ prompt, settings }, options);

async function completions(
  decoding: Decoding,
  requests: CompletionRequest[],
  order: 'input' | 'completed' = 'input',
): Promise<Completion[]> {
  const done: Completion[] = [];
  const texts = new Map<number, string>();
  for await (const event of generate(decoding, tokenizer, requests, { order })) {
    if (event.kind === 'text') texts.set(event.index, (texts.get(event.index) ?? '') + event.text);
    else {
      expect(texts.get(event.index) ?? '').toBe(event.completion.completion); // the streamed text is the whole text
      done.push(event.completion);
    }
  }
  return done;
}

/** A decoding that yields a fixed sequence of bytes, whatever the prompt. */
function scripted(bytes: number[], V = 257): Decoding {
  let at = 0;
  const logits = (): Float32Array => new Float32Array(V).fill(-1).map((_, i) => (i === bytes[at]! ? 1 : -1));
  const next = (): Float32Array => {
    const result = logits();
    at++;
    return result;
  };
  let length = 0;
  return {
    slots: 1,
    contextLength: 1000,
    length: () => length,
    copy: async (_from, _to, copied) => {
      length = copied;
      return true;
    },
    prefill: async (_slot, prompt) => {
      length = prompt.length;
      return next();
    },
    readOn: () => Promise.reject(new Error('not a chat')),
    takeTimes: () => null,
    step: async (map) => {
      length++;
      return new Map([...map.keys()].map((slot) => [slot, next()]));
    },
    free: () => {
      length = 0;
    },
  };
}

describe('completion', () => {
  it('reproduces a sentence it was trained on, up to the context length', async () => {
    const session = await openTinySession(config, 'recorded');
    const step = await recordTrainingStep(session, config, table);
    // A cycle of 13 tokens in an unusual order: each token has one successor.
    const successor = (token: number) => (token * 5 + 3) % vocabularySize;
    const sentence = [2];
    while (sentence.length < 3 * T) sentence.push(successor(sentence.at(-1)!));
    const batch = {
      inputs: Int32Array.from(sentence.slice(0, T)),
      targets: Int32Array.from(sentence.slice(1, T + 1)),
      lossMask: new Float32Array(T).fill(1),
      targetCount: T,
    };
    let loss = Infinity;
    for (let i = 1; i <= 200; i++) ({ loss } = await step([batch], i, 1e-2));
    expect(loss).toBeLessThan(0.01);
    const decoding = openDecoding(session, model, table, 1);
    const [whole] = await completions(decoding, ask('c', { maxTokens: T }));
    expect(whole!.tokenIds).toEqual(sentence.slice(1, T + 1));
    // When the context is full, stop ends the completion and slide continues it.
    const [stopped] = await completions(decoding, ask('c', { maxTokens: 2 * T, beyondContext: 'stop' }));
    expect(stopped).toMatchObject({ tokens: T, finishReason: 'length' });
    const [slid] = await completions(decoding, ask('c', { maxTokens: 2 * T }));
    expect(slid).toMatchObject({ tokens: 2 * T, finishReason: 'length' });
    session.close();
  });

  it.each(['gpt2', 'llama'] as const)(
    'beyond the context equals a completion of the remaining window, %s',
    async (family) => {
      const sliding = tinyConfig({ model: { family, heads: 1, contextLength: 9 } });
      const slidingTable = parameterTable(sliding.model, vocabularySize);
      const session = await openTinySession(sliding, 'recorded');
      const decoding = openDecoding(session, sliding.model, slidingTable, 1);
      const [long] = await completions(
        decoding,
        requestsOf({ prompt: 'abc' }, { ...options, settings: { ...defaults, maxTokens: 30 }, contextLength: 9 }),
      );
      expect(long!.tokens).toBe(30);
      // The expected window of every token: it grows to 9, then keeps 7 (a quarter of 9 is 2) and grows again.
      const text = [0, 1, 2];
      let windowStart = 0;
      let slides = 0;
      for (const tokenId of long!.tokenIds) {
        if (text.length - windowStart > 9) {
          const kept = slideContext({ promptTokenIds: text, tokenIds: [] }, 9);
          windowStart = text.length - kept.length;
          slides++;
        }
        const logits = await decoding.prefill(0, text.slice(windowStart));
        expect(logits.indexOf(Math.max(...logits))).toBe(tokenId);
        text.push(tokenId);
      }
      expect(slides).toBeGreaterThan(5);
      session.close();
    },
  );

  it('depends on the seed, not on the batch or the order', async () => {
    const session = await openTinySession(config, 'recorded');
    const requests = (): CompletionRequest[] =>
      ['a', 'bcd', 'lkjihgfedcba', 'm', 'ab'].flatMap((prompt, i) =>
        ask(prompt, { temperature: 1, samples: 2, seed: 5, maxTokens: 7 + 5 * i }),
      );
    const decodings = [openDecoding(session, model, table, 1)];
    const alone = await completions(decodings[0]!, requests());
    expect(alone).toHaveLength(10);
    expect(alone[0]!.tokenIds).not.toEqual(alone[1]!.tokenIds); // seeds 5 and 6
    expect(alone.map(({ seed }) => seed).slice(0, 4)).toEqual([5, 6, 5, 6]);
    session.close();
    const again = await openTinySession(config, 'recorded');
    const batch = openDecoding(again, model, table, 4);
    const together = await completions(batch, requests());
    expect(together.map(({ prompt, tokenIds }) => [prompt, tokenIds])).toEqual(
      alone.map(({ prompt, tokenIds }) => [prompt, tokenIds]),
    );
    const asCompleted = await completions(batch, requests().reverse(), 'completed');
    expect(asCompleted.map(({ tokens }) => tokens)).not.toEqual(alone.map(({ tokens }) => tokens).reverse());
    const sorted = (list: Completion[]) =>
      list.map(({ prompt, seed, completion }) => `${prompt}/${seed}/${completion}`).sort();
    expect(sorted(asCompleted)).toEqual(sorted(alone));
    again.close();
  });

  it('of many samples reads the prompt once, and each equals the sample alone', async () => {
    const asked = { temperature: 1, samples: 5, seed: 3, maxTokens: 2 * T };
    const texts: unknown[][] = [];
    for (const slots of [1, 3]) {
      const session = await openTinySession(config, 'recorded');
      const decoding = openDecoding(session, model, table, slots);
      let read = 0;
      const counted: Decoding = {
        ...decoding,
        prefill: (slot, tokenIds) => {
          read += Number(tokenIds.length === 4);
          return decoding.prefill(slot, tokenIds);
        },
      };
      const shared = await completions(counted, [...ask('abcd', asked), ...ask('ehbk', { ...asked, maxTokens: 5 })]);
      // sliding has overwritten the prompt, so the next sample reads it again
      expect(read).toBe(slots === 1 ? 6 : 3);
      read = 0;
      const apart = ask('abcd', asked).map((request) => ({ ...request, promptTokenIds: [...request.promptTokenIds] }));
      const alone = await completions(counted, apart);
      expect(read).toBe(5);
      expect(shared.slice(0, 5).map(({ tokenIds }) => tokenIds)).toEqual(alone.map(({ tokenIds }) => tokenIds));
      texts.push(shared.map(({ tokenIds }) => tokenIds));
      expect(await decoding.copy(0, slots - 1, T)).toBe(false);
      session.close();
    }
    expect(texts[0]).toEqual(texts[1]);
    expect(new Set(texts[0]!.map(String)).size).toBe(10);
  });

  it('reads a prompt as long as the context again if another slot has overwritten its end', async () => {
    const session = await openTinySession(config, 'recorded');
    const decoding = openDecoding(session, model, table, 2, { isTraining: true }); // steps are TensorFlow's
    let prefills = 0;
    const prefill: Decoding['prefill'] = (...args) => {
      prefills++;
      return decoding.prefill(...args);
    };
    const counted: Decoding = { ...decoding, prefill };
    const full = 'abcdefghijklmabcdef';
    expect(full.length).toBe(T);
    // The short prompt goes on while the slot of the long one is free, and each step writes into every slot.
    const done = await completions(counted, [...ask('ab'), ...ask(full, { maxTokens: 1, samples: 4, temperature: 1 })]);
    expect(done.map(({ tokenIds }) => tokenIds.length)).toEqual([12, 1, 1, 1, 1]);
    expect(prefills).toBeGreaterThan(2);
    session.close();
  });

  it('ends at a signal with what it has', async () => {
    const session = await openTinySession(config, 'recorded');
    const decoding = openDecoding(session, model, table, 1);
    const stop = new AbortController();
    const done: Completion[] = [];
    let texts = 0;
    for await (const event of generate(decoding, tokenizer, ask('ab', { maxTokens: 500 }), {
      order: 'input',
      signal: stop.signal,
    })) {
      if (event.kind === 'completion') done.push(event.completion);
      else if (++texts === 6) stop.abort();
    }
    expect(done.map(({ tokens }) => tokens)).toEqual([6]);
    session.close();
  });
});

describe('the end of a completion', () => {
  const bytes = bytesTokenizer({ endOfText: true });
  const byteDefaults = { ...defaults, maxTokens: 50 };
  const run = async (said: string | number[], settings: Record<string, unknown> = {}): Promise<Completion> => {
    const ids = typeof said === 'string' ? [...Buffer.from(said)] : said;
    const requests = requestsOf(
      { prompt: 'x', settings },
      { settings: byteDefaults, tokenizer: bytes, contextLength: 1000 },
    );
    let shown = '';
    for await (const event of generate(scripted(ids), bytes, requests, { order: 'input' })) {
      if (event.kind === 'text') shown += event.text;
      else {
        expect(shown).toBe(event.completion.completion);
        return event.completion;
      }
    }
    throw new Error('no completion');
  };

  it('is a stop text, which is not included', async () => {
    expect(await run('one.\n\nQ: two', { stop: ['\n\nQ', 'two'] })).toMatchObject({
      completion: 'one.',
      finishReason: 'stop',
      tokens: 7,
    });
  });

  it('is an end-of-text token or a stop token', async () => {
    expect(await run([97, 98, 256, 99])).toMatchObject({
      completion: 'ab',
      tokenIds: [97, 98, 256],
      tokens: 3,
      finishReason: 'endOfText',
    });
    expect(await run('abc', { stopTokenIds: [99] })).toMatchObject({
      completion: 'ab',
      tokens: 3,
      finishReason: 'stop',
    });
  });

  it('is after maxTokens, and releases held-back text', async () => {
    expect(await run('abcdef', { maxTokens: 3, stop: 'cx' })).toMatchObject({
      completion: 'abc',
      tokens: 3,
      finishReason: 'length',
    });
    expect(await run('ab€', { maxTokens: 4 })).toMatchObject({ completion: 'ab\uFFFD', tokens: 4 });
  });

  it('is not before minTokens', async () => {
    const early = await run([256, 256, 256, 256], { minTokens: 2 });
    expect(early.tokens).toBe(3);
    expect(early.tokenIds.slice(0, 2)).not.toContain(256);
    expect(await run('aaa', { stop: 'a', minTokens: 2 })).toMatchObject({
      completion: 'a',
      tokens: 2,
      finishReason: 'stop',
    });
  });

  it('reports log-probabilities if requested', async () => {
    const { logProbabilities, alternatives } = await run('ab', { maxTokens: 2, logProbabilities: 1 });
    const expected = 1 - Math.log(Math.E + 256 / Math.E);
    logProbabilities!.forEach((value) => expect(value).toBeCloseTo(expected, 9));
    expect(alternatives!.map(([first]) => first!.tokenId)).toEqual([97, 98]);
    expect(Object.keys(await run('ab', { maxTokens: 2 }))).not.toContain('logProbabilities');
  });
});

describe('settings', () => {
  it.each([
    [{ topP: 0 }, /topP must be a number above 0/],
    [{ temperature: -1 }, /temperature must be a number of at least 0, not -1/],
    [{ maxTokens: 1.5 }, /maxTokens must be a whole number of at least 1, not 1\.5/],
    [{ minTokens: 13 }, /minTokens \(13\) is greater than maxTokens \(12\)/],
    [{ stop: [''] }, /stop must be a text or a list of texts/],
    [{ stopTokenIds: [99] }, /99 is not a token id; token ids are 0 … 12/],
    [{ stopTokenIds: [7] }, /stopTokenIds: no token has the id 7/],
    [{ logitBias: { 99: 1 } }, /logitBias: 99 is not a token id/],
    [{ logitBias: { 7: 1 } }, /logitBias: no token has the id 7/],
    [{ logitBias: { '07': 1 } }, /logitBias must be an object with token ids/],
    [{ logitBias: { x: 1 } }, /logitBias must be an object with token ids/],
    [{ topK: 0 }, /topK must be a whole number of at least 1/],
    [{ tempreature: 1 }, /tempreature is not a setting of a completion/],
  ])('%j is refused', (asked, message) => {
    expect(() => completeSettings(defaults, asked, { vocabularySize, unusedIds: [3, 7] })).toThrow(message);
  });

  it('refuse an empty prompt, unknown characters, and with beyondContext stop a prompt longer than the context', () => {
    expect(() => ask('')).toThrow(/is empty/);
    expect(() => ask('xyz')).toThrow(/the prompt: /);
    expect(() => ask('abcdefghijklmabcdefghijklm', { beyondContext: 'stop' })).toThrow(
      /26 tokens, more than the context length of 19/,
    );
    const withEnd = bytesTokenizer({ endOfText: true });
    expect(
      requestsOf({ prompt: '' }, { settings: defaults, tokenizer: withEnd, contextLength: T })[0]!.promptTokenIds,
    ).toEqual([256]);
  });
});
