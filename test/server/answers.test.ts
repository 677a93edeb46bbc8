import { afterAll, describe, expect, it } from 'vitest';
import { chatPrompt } from '../../src/sampling/chatPrompt.ts';
import { logProbability, sampleToken } from '../../src/sampling/sampler.ts';
import { randomStream } from '../../src/random.ts';
import { completionBody } from '../../src/server/fields.ts';
import { contextLength, fakeServer, logitsAfter, tokenizer } from './fakeServer.ts';

const fake = await fakeServer();
const { post, complete, stream } = fake;
afterAll(() => fake.close());

const settings = {
  ...{ temperature: 1, topK: null, topP: null, minP: null, repetitionPenalty: 1 },
  logitBias: new Map(),
};

/** What a model with these logits writes, computed without server and engine. */
function expected(prompt: readonly number[], seed: number, count: number): number[] {
  const drawn: number[] = [];
  for (let i = 0; i < count; i++) {
    const uniform = randomStream(seed, 'completion', i).uniform();
    drawn.push(sampleToken(logitsAfter([...prompt, ...drawn]), settings, uniform));
  }
  return drawn;
}
const ids = (text: string): number[] => [...Buffer.from(text)];

describe('/v1/completions', () => {
  it('draws with the seed of the request, and of each of n completions', async () => {
    const answer = await complete({ model: 'fake', prompt: 'one', seed: 7, n: 2, max_tokens: 9 });
    expect(answer).toMatchObject({ object: 'text_completion', model: 'fake', system_fingerprint: 'clm-fake' });
    expect(answer.choices).toEqual(
      [7, 8].map((seed, index) => ({
        ...{ index, logprobs: null, finish_reason: 'length' },
        text: tokenizer.decode(expected(ids('one'), seed, 9)),
      })),
    );
    expect(answer.usage).toEqual({ prompt_tokens: 3, completion_tokens: 18, total_tokens: 21 });
    expect(fake.decoding.counts).toMatchObject({ prefills: 1, copies: 1 }); // the prompt was read once
  });

  it('takes texts, token ids and lists of both; the seed is the same for each prompt', async () => {
    const [one, two] = [expected(ids('one'), 3, 12), expected(ids('two'), 3, 12)].map((drawn) =>
      tokenizer.decode(drawn),
    );
    for (const prompt of [
      ['one', 'two'],
      [ids('one'), ids('two')],
    ]) {
      const { choices, usage } = await complete({ prompt, seed: 3 });
      expect(choices.map(({ index, text }) => [index, text])).toEqual([
        [0, one],
        [1, two],
      ]);
      expect(usage).toEqual({ prompt_tokens: 6, completion_tokens: 24, total_tokens: 30 });
    }
    expect((await complete({ prompt: ids('two'), seed: 3 })).choices[0]!.text).toBe(two);
  });

  it('leaves what a request leaves out to the run, with another seed for each request', async () => {
    const own = await fakeServer({ defaults: { maxTokens: 4, stop: ['q'], seed: 5 } });
    const [first, second] = [
      await own.complete({ prompt: 'one' }),
      await own.complete({ prompt: 'one', max_tokens: null }),
    ];
    expect(first.choices[0]!.text).toBe(tokenizer.decode(expected(ids('one'), 5, 4)).split('q')[0]);
    expect(second.choices[0]!.text).not.toBe(first.choices[0]!.text);
    expect(second.usage.completion_tokens).toBeLessThanOrEqual(4);
    await own.close();
  });

  it('streams the same text, and at the end the number of tokens', async () => {
    const body = { prompt: ['one', 'two'], n: 2, seed: 11, max_tokens: 30, stop: ['e', 'xyz'] };
    const whole = await complete(body);
    const parts = await stream('/v1/completions', { ...body, stream_options: { include_usage: true } });
    expect(parts.pop()).toMatchObject({ choices: [], usage: whole.usage });
    expect(
      parts.every(({ usage, object, id }) => usage === null && object === 'text_completion' && id === parts[0].id),
    ).toBe(true);
    const texts = [0, 1, 2, 3].map((index) =>
      parts.flatMap(({ choices }) => choices).filter((each) => each.index === index),
    );
    expect(texts.map((each) => each.map(({ text }) => text).join(''))).toEqual(whole.choices.map(({ text }) => text));
    expect(texts.map((each) => each.at(-1).finish_reason)).toEqual(whole.choices.map((each) => each.finish_reason));
    expect(texts.some((each) => each.length > 2)).toBe(true);
    expect(whole.choices.some(({ finish_reason }) => finish_reason === 'stop')).toBe(true);
  });

  it('scores tokens: those shown, before any filter, and with echo those of the prompt', async () => {
    const body = { prompt: 'aé', echo: true, logprobs: 2, max_tokens: 40, seed: 2, stop: 'e', temperature: 0.7 };
    const { choices, usage } = await complete(body);
    const { text, logprobs, finish_reason } = choices[0]!;
    expect(finish_reason).toBe('stop');
    expect(text.startsWith('aé')).toBe(true);
    const { tokens, token_logprobs, top_logprobs, text_offset } = logprobs!;
    expect(tokens.slice(0, 3)).toEqual(['a', 'bytes:\\xc3', 'bytes:\\xa9']);
    expect(tokens.slice(3).join('')).toBe(text.slice(2)); // without the stop text
    expect(usage.completion_tokens).toBe(tokens.length - 3 + 1);
    expect(text_offset.slice(0, 5)).toEqual([0, 1, 1, 2, 3]);
    expect(token_logprobs[0]).toBeNull();
    expect(top_logprobs[0]).toBeNull();
    const all = [...ids('aé'), ...ids(text.slice(2))];
    for (let i = 1; i < all.length; i++) {
      expect(token_logprobs[i]).toBeCloseTo(logProbability(logitsAfter(all.slice(0, i)), all[i]!), 6);
      expect(top_logprobs[i]![tokens[i]!]).toBe(token_logprobs[i]);
      expect([2, 3]).toContain(Object.keys(top_logprobs[i]!).length);
    }
    const parts = await stream('/v1/completions', body);
    const streamed = parts.flatMap((part) => part.choices[0].logprobs ?? []);
    expect(streamed.length).toBeGreaterThan(1); // tokens that come fast share an event
    for (const key of ['tokens', 'token_logprobs', 'top_logprobs', 'text_offset'] as const)
      expect(streamed.flatMap((each) => each[key])).toEqual(logprobs![key]);
  });

  it('repeats and scores a prompt without a completion', async () => {
    const { choices, usage } = await complete({ prompt: ['ab', 'c'], echo: true, logprobs: 0, max_tokens: 0 });
    expect(choices.map(({ text }) => text)).toEqual(['ab', 'c']);
    expect(choices[0]!.logprobs!.token_logprobs).toEqual([
      null,
      expect.closeTo(logProbability(logitsAfter([97]), 98), 6),
    ]);
    expect(usage).toEqual({ prompt_tokens: 3, completion_tokens: 0, total_tokens: 3 });
  });

  it('follows biases, penalties, top_p, top_k and the least number of tokens', async () => {
    const text = async (body: object) =>
      (await complete({ prompt: 'x', seed: 1, max_tokens: 20, ...body })).choices[0]!.text;
    expect(await text({ logit_bias: { 65: 100 } })).toBe('A'.repeat(20));
    const unequal = { logit_bias: { 65: 60, 66: 55 }, temperature: 0 };
    expect(await text(unequal)).toBe('A'.repeat(20));
    for (const penalties of [{ frequency_penalty: 1 }, { presence_penalty: -2, frequency_penalty: 1.5 }])
      expect(await text({ ...unequal, ...penalties })).toMatch(/^A[AB]*AB[AB]*BA[AB]*$/);
    expect(await text({ ...unequal, presence_penalty: 2 })).toMatch(/^A[AB]*$/);
    const greedy = await text({ temperature: 0 });
    expect(await text({ top_p: 0 })).toBe(greedy);
    expect(await text({ top_k: 1 })).toBe(greedy);
    const ended = { logit_bias: { [tokenizer.endOfText!]: 100 } };
    expect(await text(ended)).toBe('');
    expect((await text({ ...ended, min_tokens: 5 })).length).toBe(5);
  });

  it('says why it ended', async () => {
    const { endOfText } = tokenizer;
    const { choices } = await complete({ prompt: 'x', logit_bias: { [endOfText!]: 100 } });
    expect(choices[0]).toMatchObject({ text: '', finish_reason: 'stop' });
    const full = await complete({ prompt: 'x'.repeat(contextLength - 3), max_tokens: null });
    expect(full.usage.completion_tokens).toBe(3); // what is left of the context
  });

  it.each([
    [{ prompt: 'x', foo: 1 }, 'foo', 'unknown_parameter', /'foo'/],
    [{ prompt: 'x', __proto__x: 1 }, '__proto__x', 'unknown_parameter', /unknown/i],
    [{ prompt: 'x', toString: 1 }, 'toString', 'unknown_parameter', /unknown/i],
    [{ prompt: 'x', tools: [{}] }, 'tools', 'unsupported_parameter', /tools/],
    [{ prompt: 'x', suffix: 'y' }, 'suffix', 'unsupported_parameter', /suffix/],
    [{ prompt: 'x', best_of: 3 }, 'best_of', 'unsupported_parameter', /best_of/],
    [{ prompt: 'x', temperature: 'hot' }, 'temperature', null, /a number of at least 0, not "hot"/],
    [{ prompt: 'x', temperature: -1 }, 'temperature', null, /not -1/],
    [{ prompt: 'x', presence_penalty: 3 }, 'presence_penalty', null, /from -2 to 2/],
    [{ prompt: 'x', n: 0 }, 'n', null, /from 1 to 128/],
    [{ prompt: 'x', n: 9 }, 'n', null, /9 completions; at most 8/],
    [{ prompt: 'x', seed: 1.5 }, 'seed', null, /whole number/],
    [{ prompt: 'x', seed: 2 ** 53 }, 'seed', null, /from 0 to 9007199254740991, not 9007199254740992/],
    [{ prompt: 'x', seed: 2 ** 53 - 1, n: 3 }, 'seed', null, /at most 9007199254740989 with n 3/],
    [{ prompt: 'x', stop: [''] }, 'stop', null, /none of them empty/],
    [{ prompt: 'x', logit_bias: { a: 1 } }, 'logit_bias', null, /token ids as keys/],
    [{ prompt: 'x', logit_bias: { 999: 1 } }, null, null, /'logit_bias': 999 is not a token id/],
    [{ prompt: 'x', logprobs: 21 }, 'logprobs', null, /from 0 to 20/],
    [{ prompt: 'x', max_tokens: 0 }, 'max_tokens', null, /echo/],
    [{ prompt: 'x', stream_options: {} }, 'stream_options', null, /stream/],
    [{ prompt: 'x', stream: true, stream_options: { a: 1 } }, 'stream_options', null, /include_usage/],
    [{ prompt: 'x', model: 'gpt-5' }, 'model', 'model_not_found', /gpt-5/],
    [{ prompt: [] }, 'prompt', null, /empty/],
    [{ prompt: [[]] }, 'prompt', null, /empty/],
    [{ prompt: ['a', 3] }, 'prompt', null, /must be a text/],
    [{ prompt: [3, 999] }, 'prompt', null, /no token has the id 999/],
    [{ prompt: '\ud800' }, 'prompt', null, /lone surrogate/],
    [{ prompt: 'x'.repeat(contextLength) }, 'prompt', 'context_length_exceeded', /maximum context length is 300/],
    [{ prompt: 'xx', max_tokens: contextLength - 1 }, 'prompt', 'context_length_exceeded', /2 in the prompt and 299/],
    [
      { prompt: 'x', min_tokens: 5, max_tokens: 4 },
      null,
      null,
      /'min_tokens' \(5\) is greater than 'max_tokens' \(4\)/,
    ],
    [{ prompt: 'x', min_tokens: 13 }, 'min_tokens', null, /is 13, and without 'max_tokens' .* at most 12 tokens/],
  ])('refuses %j', async (body, param, code, message) => {
    const response = await post('/v1/completions', body);
    const { error } = (await response.json()) as { error: object };
    expect({ status: response.status, error }).toEqual({
      status: code === 'model_not_found' ? 404 : 400,
      error: { message: expect.stringMatching(message), type: 'invalid_request_error', param, code },
    });
  });

  it.each([
    ['{ "max_tokens": 1e400 }', "'max_tokens' must be a whole number from 0 to 9007199254740991, not Infinity."],
    ['{ "prompt": [-1e400] }', 'or a list of such lists, not [-Infinity].'],
    ['{ "seed": "Infinity" }', 'not "Infinity".'],
  ])('names a number that is too large: %s', (json, message) => {
    expect(() => completionBody(JSON.parse(json))).toThrow(message);
  });

  it('takes what asks for nothing else than happens anyway', async () => {
    const harmless = { user: 'u', metadata: { a: 'b' }, store: true, service_tier: 'auto', best_of: 1, suffix: null };
    const off = {
      tools: [],
      tool_choice: 'none',
      response_format: { type: 'text' },
      modalities: ['text'],
      audio: null,
    };
    const answer = await complete({
      prompt: 'one',
      seed: 3,
      ...harmless,
      ...off,
      stop: null,
      logit_bias: null,
      n: null,
    });
    expect(answer.choices[0]!.text).toBe(tokenizer.decode(expected(ids('one'), 3, 12)));
  });
});

describe('/v1/chat/completions', () => {
  const chat = '/v1/chat/completions';
  const messages = [
    { role: 'developer', content: 'Be brief.' },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'a' },
        { type: 'text', text: 'b' },
      ],
      name: null,
    },
    { role: 'assistant', content: 'yes', refusal: null, tool_calls: [] },
    { role: 'user', content: 'c' },
  ];
  const prompt = chatPrompt(tokenizer, null, [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'ab' },
    { role: 'assistant', content: 'yes' },
    { role: 'user', content: 'c' },
  ]);

  it('answers by the chat template, whole and streamed', async () => {
    const body = { messages, seed: 4, max_completion_tokens: 8, logprobs: true, top_logprobs: 1 };
    const whole = (await (await post(chat, body)).json()) as any;
    const drawn = expected(prompt.tokenIds, 4, 8);
    expect(whole).toMatchObject({
      object: 'chat.completion',
      choices: [
        { index: 0, message: { role: 'assistant', content: tokenizer.decode(drawn) }, finish_reason: 'length' },
      ],
      usage: { prompt_tokens: prompt.tokenIds.length, completion_tokens: 8 },
    });
    const scores = whole.choices[0].logprobs.content;
    expect(scores.map(({ bytes }: { bytes: number[] }) => bytes[0])).toEqual(drawn);
    expect(scores[0].top_logprobs).toHaveLength(1);
    const parts = await stream(chat, body);
    expect(parts[0]).toMatchObject({ object: 'chat.completion.chunk', choices: [{ delta: { role: 'assistant' } }] });
    expect(parts[0]).not.toHaveProperty('usage');
    expect(parts.map(({ choices }) => choices[0].delta.content ?? '').join('')).toBe(whole.choices[0].message.content);
    expect(parts.flatMap(({ choices }) => choices[0].logprobs?.content ?? [])).toEqual(scores);
    expect(parts.at(-1).choices[0]).toMatchObject({ delta: {}, finish_reason: 'length' });
  });

  const user = (content: unknown, more = {}) => ({ messages: [{ role: 'user', content, ...more }] });
  it.each([
    [{}, 'messages', /missing/],
    [{ messages: [] }, 'messages', /not empty/],
    [{ messages: ['hi'] }, 'messages[0]', /not "hi"/],
    [{ messages: [{ role: 'tool', content: 'x' }] }, 'messages[0].role', /tool calls are not supported/],
    [
      { messages: [{ role: 'boss', content: 'x' }] },
      'messages[0].role',
      /system, developer, user, assistant, not "boss"/,
    ],
    [user(null), 'messages[0].content', /must be a text/],
    [user([{ type: 'image_url', image_url: {} }]), 'messages[0].content[0]', /"image_url" are not supported/],
    [user([{ type: 'text' }]), 'messages[0].content[0]', /must be/],
    [user('x', { tool_calls: [{}] }), 'messages[0]', /tool_calls' is not supported/],
    [user('x', { foo: 1 }), 'messages[0]', /foo' is unknown/],
    [{ ...user('x'), response_format: { type: 'json_object' } }, 'response_format', /not supported/],
    [{ ...user('x'), top_logprobs: 1 }, 'top_logprobs', /needs 'logprobs'/],
    [{ ...user('x'), max_tokens: 3, max_completion_tokens: 4 }, 'max_tokens', /differ/],
    [{ ...user('x'), prompt: 'x' }, 'prompt', /Unknown/],
    [{ ...user('x'.repeat(300)) }, 'messages', /maximum context length/],
  ])('refuses %j', async (body, param, message) => {
    const response = await post(chat, body);
    expect({ status: response.status, ...((await response.json()) as object) }).toMatchObject({
      ...{ status: 400, error: { message: expect.stringMatching(message), type: 'invalid_request_error', param } },
    });
  });

  it('is refused by name without a chat template, and with the template’s own words if it refuses', async () => {
    const plain = await fakeServer({ model: { tokenizer: { ...tokenizer, chat: null } } });
    const answer = await (await plain.post(chat, { messages })).json();
    expect(answer).toMatchObject({
      error: { code: 'no_chat_template', message: expect.stringContaining('/v1/completions') },
    });
    await plain.close();
    const template = "{{ raise_exception('no ' ~ messages[0].role) }}";
    const strict = await fakeServer({ model: { tokenizer: { ...tokenizer, chat: { template, specialTokens: {} } } } });
    const refused = await (await strict.post(chat, { messages })).json();
    expect(refused).toMatchObject({
      error: { message: expect.stringMatching(/it says "no system"$/), param: 'messages' },
    });
    await strict.close();
  });
});

describe('other paths', () => {
  it('lists the model and says how it is', async () => {
    const get = async (path: string) => (await fetch(fake.server.url + path)).json();
    const model = { id: 'fake', object: 'model', created: 1234, owned_by: 'clm' };
    expect(await get('/v1/models')).toEqual({ object: 'list', data: [model] });
    expect(await get('/v1/models/fake')).toEqual(model);
    expect(await get('/v1/models/fake2')).toMatchObject({ error: { code: 'model_not_found' } });
    expect(await get('/health?x=1')).toEqual({ status: 'ok', model: 'fake', active: 0, waiting: 0 });
    expect(await get('/v1/nothing')).toMatchObject({ error: { message: 'There is nothing at /v1/nothing.' } });
    const put = await fetch(`${fake.server.url}/v1/models`, { method: 'PUT' });
    expect([put.status, put.headers.get('allow')]).toEqual([405, 'GET']);
    expect((await fetch(`${fake.server.url}/v1/completions`)).status).toBe(405);
  });
});
