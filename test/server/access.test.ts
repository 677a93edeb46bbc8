import { request } from 'node:http';
import { connect } from 'node:net';
import { afterAll, describe, expect, it } from 'vitest';
import { isLoopback } from '../../src/server/access.ts';
import { largestBody } from '../../src/server/body.ts';
import { fakeServer } from './fakeServer.ts';

const open = await fakeServer();
const keyed = await fakeServer({ apiKeys: ['first-key', 'second-key'], origins: ['http://localhost:3000'] });
afterAll(async () => {
  await open.close();
  await keyed.close();
});

type Headers = Record<string, string>;

/** A request by Node's own client, which sends any header and reads an answer that comes before the body is sent. */
function send(url: string, method: string, headers: Headers, body: string | Buffer = '') {
  return new Promise<{ status: number; headers: Headers; body: string }>((resolve, reject) => {
    const sent = request(url, { method, headers }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () =>
        resolve({ status: response.statusCode!, headers: response.headers as Headers, body: text }),
      );
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/** What a socket answers to these bytes until it is closed. */
function raw({ server }: typeof open, bytes: string): Promise<string> {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  socket.write(bytes);
  return new Promise((resolve) => {
    socket.on('error', () => {});
    socket.on('close', () => resolve(text));
  });
}

describe('API keys', () => {
  it('open the server, any of them; a wrong one does not, nor does none', async () => {
    const status = async (authorization?: string) =>
      (await send(`${keyed.server.url}/v1/models`, 'GET', { ...(authorization && { authorization }) })).status;
    expect(await Promise.all(['Bearer first-key', 'bearer second-key '].map(status))).toEqual([200, 200]);
    const wrong = [undefined, 'Bearer', 'Bearer first', 'Bearer first-key2', 'Basic first-key', 'first-key'];
    expect(await Promise.all(wrong.map(status))).toEqual(wrong.map(() => 401));
    const { headers, body } = await send(`${keyed.server.url}/v1/completions`, 'POST', {}, '{}');
    expect(headers['www-authenticate']).toBe('Bearer');
    expect(JSON.parse(body)).toMatchObject({ error: { code: 'invalid_api_key', type: 'authentication_error' } });
    expect((await send(`${keyed.server.url}/health`, 'GET', {})).status).toBe(200);
    expect((await send(`${open.server.url}/v1/models`, 'GET', { authorization: 'Bearer anything' })).status).toBe(200);
  });
});

describe('web pages', () => {
  it('cannot reach a server on this machine by a name of their own', async () => {
    const status = async (host: string) => (await send(`${open.server.url}/v1/models`, 'GET', { host })).status;
    const own = ['localhost:80', 'LOCALHOST', '127.0.0.1', '127.1.2.3:9', '[::1]:8080'];
    expect(await Promise.all(own.map(status))).toEqual(own.map(() => 200));
    const others = [
      'evil.example',
      'localhost.evil.example',
      '127.0.0.1.evil.example',
      '10.0.0.1',
      'evil.example:8080',
    ];
    expect(await Promise.all(others.map(status))).toEqual(others.map(() => 403));
    // With a key they lack the key.
    const named = { host: 'proxied.example', authorization: 'Bearer first-key' };
    expect((await send(`${keyed.server.url}/v1/models`, 'GET', named)).status).toBe(200);
  });

  it('read answers only from an origin that is named', async () => {
    const preflight = (url: string, origin: string) =>
      send(`${url}/v1/completions`, 'OPTIONS', {
        origin,
        'access-control-request-headers': 'authorization,x-stainless-os',
      });
    const allowed = await preflight(keyed.server.url, 'http://localhost:3000');
    expect(allowed).toMatchObject({
      status: 204,
      headers: {
        'access-control-allow-origin': 'http://localhost:3000',
        'access-control-allow-headers': 'authorization,x-stainless-os',
      },
    });
    for (const refused of [
      await preflight(keyed.server.url, 'http://localhost:3001'),
      await preflight(open.server.url, 'http://localhost:3000'),
    ]) {
      expect(refused.status).toBeGreaterThan(400);
      expect(refused.headers).not.toHaveProperty('access-control-allow-origin');
    }
    const get = { origin: 'http://localhost:3000', authorization: 'Bearer first-key' };
    const answer = await send(`${keyed.server.url}/v1/models`, 'GET', get);
    expect(answer.headers['access-control-allow-origin']).toBe('http://localhost:3000');
    expect(answer.headers['vary']).toBe('origin');
    // A form or a page without permission can send no JSON: the browser would have to ask first.
    const plain = await send(`${open.server.url}/v1/completions`, 'POST', { 'content-type': 'text/plain' }, '{}');
    expect(plain.status).toBe(415);
  });
});

describe('senders', () => {
  const json = { 'content-type': 'application/json' };
  const url = `${open.server.url}/v1/completions`;

  it.each([
    ['{"prompt": "x"', /not valid JSON/],
    ['[1]', /must be a JSON object/],
    ['null', /must be a JSON object/],
    ['', /not valid JSON/],
    ['['.repeat(100_000), /not valid JSON/],
    [`{"stop":${'['.repeat(100_000)}${']'.repeat(100_000)}}`, /not a deeply nested value/],
    [`{"modalities":[${'['.repeat(100_000)}${']'.repeat(100_000)}]}`, /not supported/],
    [Buffer.from([0x22, 0xff, 0x22]), /not valid UTF-8/],
  ])('are told that %.30s is wrong', async (body, message) => {
    const answer = await send(url, 'POST', json, body);
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.body)).toMatchObject({ error: { message: expect.stringMatching(message) } });
  });

  it('of too much are cut off, announced or not, and others are served meanwhile', async () => {
    const { port } = new URL(open.server.url);
    const head = `POST /v1/completions HTTP/1.1\r\nhost: localhost:${port}\r\ncontent-type: application/json\r\n`;
    const announced = raw(open, `${head}content-length: ${largestBody + 1}\r\n\r\n{`);
    const chunked = raw(open, `${head}transfer-encoding: chunked\r\n\r\n200000\r\n${'x'.repeat(0x200000)}\r\n`);
    const asking = raw(open, `${head}expect: 100-continue\r\ncontent-length: ${largestBody + 1}\r\n\r\n`);
    expect((await open.complete({ prompt: 'x' })).choices).toHaveLength(1);
    for (const answer of await Promise.all([announced, chunked, asking])) {
      expect(answer).toMatch(/^HTTP\/1\.1 413 /);
      expect(answer).toContain('connection: close');
      expect(answer).not.toContain('100 Continue');
    }
    const body = JSON.stringify({ prompt: 'x', max_tokens: 3 });
    const patient = raw(
      open,
      `${head}connection: close\r\nexpect: 100-continue\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    expect(await patient).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/);
    expect((await send(url, 'POST', { ...json, 'content-encoding': 'gzip' }, 'x')).status).toBe(415);
  });

  it('of what is not HTTP, or of endless headers, get an error in the same shape', async () => {
    expect(await raw(open, 'hello\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 [^]*"invalid_request_error"/);
    expect(await raw(open, `GET / HTTP/1.1\r\nx: ${'y'.repeat(20_000)}\r\n`)).toMatch(/^HTTP\/1\.1 431 /);
    expect((await open.complete({ prompt: 'x' })).choices).toHaveLength(1);
  });
});

describe('loopback', () => {
  it('is this machine alone', () => {
    expect(['localhost', '127.0.0.1', '127.9.9.9', '::1'].map(isLoopback)).toEqual([true, true, true, true]);
    expect(['0.0.0.0', '::', '10.0.0.1', '127.example.org', 'example.org', ''].some(isLoopback)).toBe(false);
  });
});
