import { connect } from 'node:net';
import { describe, expect, it, vi } from 'vitest';
import { fakeServer, type CompletionAnswer } from './fakeServer.ts';

const path = '/v1/completions';

/** A gate that lets steps pass only while it is open. */
function gate() {
  let open: () => void = () => {};
  let isOpen = new Promise<void>((resolve) => (open = resolve));
  return {
    pass: () => isOpen,
    open: () => open(),
    shut: () => void (isOpen = new Promise<void>((resolve) => (open = resolve))),
  };
}

const until = (isSo: () => boolean) => vi.waitFor(() => expect(isSo()).toBe(true), { timeout: 10_000, interval: 2 });

describe('continuous batching', () => {
  it('gives a seed the same text alone, in company and streamed, whoever joins and leaves', async () => {
    const fake = await fakeServer({ slots: 3, queue: 60 });
    const asked = Array.from({ length: 24 }, (_, i) => ({
      prompt: `p${i % 7}`,
      seed: i,
      max_tokens: 1 + ((i * 5) % 37),
    }));
    const alone: string[] = [];
    for (const body of asked) alone.push((await fake.complete(body)).choices[0]!.text);
    const stepsAlone = fake.decoding.counts.steps;
    const together = await Promise.all(asked.map((body) => fake.complete(body)));
    expect(together.map(({ choices }) => choices[0]!.text)).toEqual(alone);
    expect(fake.decoding.counts.steps - stepsAlone).toBeLessThan(0.6 * stepsAlone); // they did share steps
    const streamed = await Promise.all(asked.map((body) => fake.stream(path, body)));
    expect(streamed.map((parts) => parts.map(({ choices }) => choices[0].text).join(''))).toEqual(alone);
    await fake.close();
  });

  it('lets requests join those under way: short prompts at once, long ones one between two tokens', async () => {
    const fake = await fakeServer({ slots: 5 });
    const steps = gate();
    fake.decoding.gate = steps.pass;
    const first = fake.complete({ prompt: 'first', max_tokens: 90 });
    await until(() => fake.decoding.counts.prefills === 1);
    const others: Promise<CompletionAnswer>[] = [];
    for (const length of [256, 257, 3, 4]) {
      others.push(fake.complete({ prompt: 'x'.repeat(length), max_tokens: 20 }));
      const inside = (): number => fake.engine.counts().active + fake.engine.counts().waiting;
      await until(() => inside() === 1 + others.length);
    }
    let isOver = false;
    void first.then(() => (isOver = true));
    steps.open();
    for (const other of others) expect((await other).choices[0]!.text).toHaveLength(20);
    expect(isOver).toBe(false);
    expect((await first).choices[0]!.text).toHaveLength(90);
    const [one, two, three, four] = [256, 257, 3, 4].map((length) => fake.decoding.calls.indexOf(`prefill ${length}`));
    expect([two! - one!, three! - two!, four! - three!]).toEqual([2, 2, 1]);
    await fake.close();
  });

  it('refuses what finds no place, and says when to try again', async () => {
    const fake = await fakeServer({ slots: 1, queue: 2 });
    const steps = gate();
    fake.decoding.gate = steps.pass;
    const inside = [0, 1, 2].map((i) => fake.complete({ prompt: `p${i}`, max_tokens: 4 }));
    await until(() => fake.engine.counts().active === 1 && fake.engine.counts().waiting === 2);
    const refused = await fake.post(path, { prompt: 'x' });
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '1']);
    expect(await refused.json()).toMatchObject({ error: { type: 'rate_limit_error', code: 'rate_limit_exceeded' } });
    steps.open();
    expect((await Promise.all(inside)).every(({ choices }) => choices[0]!.text.length === 4)).toBe(true);
    await fake.complete({ prompt: 'x' });
    // Two completions of one request do not fit beside another, though a place for a request is free.
    steps.shut();
    const one = fake.complete({ prompt: 'one', max_tokens: 2 });
    await until(() => fake.engine.counts().active === 1);
    expect((await fake.post(path, { prompt: 'x', n: 3 })).status).toBe(429);
    steps.open();
    await one;
    await fake.close();
  });

  it('frees the slot of a client that has gone at the next token, and forgets one that waits', async () => {
    const fake = await fakeServer({ slots: 1 });
    const steps = gate();
    fake.decoding.gate = steps.pass;
    const leaving = [new AbortController(), new AbortController()];
    const gone = leaving.map(({ signal }, i) =>
      fake
        .post(path, { prompt: 'gone', max_tokens: 150, stream: i === 0 }, {}, signal)
        .then((response) => response.text()),
    );
    const settled = Promise.allSettled(gone);
    await until(() => fake.engine.counts().waiting === 1);
    const staying = fake.complete({ prompt: 'stay', max_tokens: 5, seed: 3 });
    await until(() => fake.engine.counts().waiting === 2);
    for (const each of leaving) each.abort();
    await until(() => fake.facts.length === 2 && fake.engine.counts().waiting === 1);
    expect((await settled).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    steps.open();
    expect((await staying).choices[0]!.text).toHaveLength(5);
    expect(fake.decoding.counts.steps).toBeLessThan(8);
    expect(fake.facts.map(({ status }) => status)).toEqual([499, 499, 200]);
    await fake.close();
  });

  it('ends a request whose time is up, waiting or not', async () => {
    const fake = await fakeServer({ slots: 1, requestTimeoutMs: 150 });
    const steps = gate();
    const [whole, streamed] = await Promise.all([
      (async () => {
        fake.decoding.gate = steps.pass;
        return fake.post(path, { prompt: 'a', max_tokens: 100 });
      })(),
      fake.post(path, { prompt: 'b', max_tokens: 100 }),
    ]);
    for (const response of [whole, streamed]) {
      expect([response.status, response.headers.get('x-should-retry')]).toEqual([504, 'false']);
      expect(await response.json()).toMatchObject({ error: { code: 'request_timeout', type: 'server_error' } });
    }
    steps.open();
    await until(() => fake.engine.counts().active === 0);
    await fake.close();
  });

  it('ends one request that cannot go on, and no other', async () => {
    const fake = await fakeServer({ model: {}, slots: 2 });
    const { tokenizer } = await import('./fakeServer.ts');
    const steps = gate();
    fake.decoding.gate = steps.pass;
    const other = fake.complete({ prompt: 'fine', max_tokens: 10 });
    await until(() => fake.decoding.counts.prefills === 1);
    const all = Array.from({ length: tokenizer.vocabularySize }, (_, id) => id);
    const failing = fake.post(path, { prompt: 'x', min_tokens: 3, max_tokens: 9, stop_token_ids: all });
    steps.open();
    const failed = await failing;
    expect([failed.status, await failed.json()]).toMatchObject([400, { error: { message: /No token may be drawn/ } }]);
    expect((await other).choices[0]!.text).toHaveLength(10);
    expect(fake.engine.counts()).toEqual({ active: 0, waiting: 0 });
    await fake.close();
  });

  it('holds nobody up for a reader that takes nothing, and sends it everything once it reads', async () => {
    const fake = await fakeServer({ slots: 2, queue: 20 });
    const { port } = new URL(fake.server.url);
    const body = JSON.stringify({ prompt: 'slow', max_tokens: 190, n: 8, seed: 4, stream: true, logprobs: 20 });
    const socket = connect({ port: Number(port), host: '127.0.0.1', readableHighWaterMark: 1 } as never);
    socket.pause();
    socket.write(
      `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n` +
        `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
    await until(() => fake.engine.counts().active === 2);
    const quick = await fake.complete({ prompt: 'quick', max_tokens: 7 });
    expect(quick.choices[0]!.text).toHaveLength(7);
    await until(() => fake.engine.counts().active === 0); // all of it is generated
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.resume();
    await new Promise((resolve) => socket.on('close', resolve));
    expect(text).toContain('data: [DONE]');
    const whole = await fake.complete({ prompt: 'slow', max_tokens: 190, n: 8, seed: 4 });
    const parts = [...text.matchAll(/^data: (\{.*\})\r?$/gm)].map(
      ([, json]) => (JSON.parse(json!) as CompletionAnswer).choices[0]!,
    );
    for (const { index, text: own } of whole.choices)
      expect(
        parts
          .filter((part) => part.index === index)
          .map((part) => part.text)
          .join(''),
      ).toBe(own);
    await fake.close();
  });
});

describe('stopping', () => {
  it('finishes what is under way and waiting, refuses what comes, and ends', async () => {
    const fake = await fakeServer({ slots: 1 });
    const steps = gate();
    fake.decoding.gate = steps.pass;
    const inside = [0, 1].map((i) => fake.complete({ prompt: `p${i}`, max_tokens: 20 }));
    await until(() => fake.engine.counts().waiting === 1);
    fake.server.stop(60_000);
    for (const answer of [await fake.post(path, { prompt: 'x' }), await fetch(`${fake.server.url}/health`)]) {
      expect(answer.status).toBe(503);
      expect(await answer.json()).toMatchObject({ error: { code: 'server_stopping' } });
    }
    steps.open();
    expect((await Promise.all(inside)).map(({ choices }) => choices[0]!.text.length)).toEqual([20, 20]);
    await fake.server.ended;
    await expect(fetch(`${fake.server.url}/health`)).rejects.toThrow();
  });

  it('cuts off what takes too long, at once if it is asked a second time', async () => {
    const fake = await fakeServer({ slots: 1 });
    const steps = gate();
    const answer = fake.post(path, { prompt: 'a', max_tokens: 180, stream: true });
    await until(() => fake.decoding.counts.steps > 2);
    fake.decoding.gate = steps.pass;
    fake.server.stop(60_000);
    fake.server.stop(60_000);
    const text = await (await answer).text();
    expect(JSON.parse(text.trimEnd().split('\n\n').at(-1)!.slice(6))).toMatchObject({
      error: { code: 'server_stopping' },
    });
    steps.open();
    await fake.server.ended;
  });

  it('tells everybody, and the caller, if the model fails', async () => {
    const fake = await fakeServer({ slots: 1 });
    fake.decoding.gate = async () => {
      await until(() => fake.engine.counts().waiting === 1);
      throw new Error('at /home/somebody/secret.ts');
    };
    const ended = fake.server.ended.catch((error: Error) => error.message);
    const [one, two] = await Promise.all([fake.post(path, { prompt: 'a' }), fake.post(path, { prompt: 'b' })]);
    for (const response of [one, two]) {
      expect(response.status).toBe(500);
      expect(await response.text()).not.toMatch(/secret|\.ts|at /);
    }
    expect(await ended).toContain('secret');
  });
});
