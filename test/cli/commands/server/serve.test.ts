import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commands } from '../../../../src/cli/commands.ts';
import { parseArguments } from '../../../../src/cli/parseArguments.ts';
import { nameOf } from '../../../../src/cli/usage.ts';
import { clm, type Result } from '../../clm.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'clm-serve-'));
const at = (name: string): string => path.join(folder, name);
const run = at('run');
const contextLength = 70; // the cache grows from 64 while texts are under way

/** A model that has hardly been trained: what it writes is as random as it gets. */
beforeAll(async () => {
  writeFileSync(at('text.txt'), 'The cat sat on the mat. '.repeat(90));
  writeFileSync(
    at('small.yaml'),
    `corpus: { sources: [{ path: text.txt }] }
tokenizer: { kind: bytes }
model: { layers: 2, heads: 2, width: 24, contextLength: ${contextLength} }
training: { microBatchSize: 2, steps: 1 }
evaluation: { everySteps: null }
samples: { everySteps: null, prompt: "The", maxTokens: 9, temperature: 0.9 }
`,
  );
  const { code, stderr } = await clm(['train', at('small.yaml'), '--run', run]);
  expect({ code, stderr }).toMatchObject({ code: 0 });
});
afterAll(() => rmSync(folder, { recursive: true }));

const lines = (text: string): any[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);

/** `clm serve --json` on a free port, and how it ended. */
async function serving(...args: string[]): Promise<{ url: string; child: ChildProcess; ended: Promise<Result> }> {
  let child: ChildProcess | undefined;
  let listening: (url: string) => void = () => {};
  const url = new Promise<string>((resolve) => (listening = resolve));
  const ended = clm(['serve', run, '--port', '0', '--json', ...args], undefined, (started) => {
    child = started;
    let stdout = '';
    started.stdout!.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
      const found = /"url":"([^"]+)"/.exec(stdout)?.[1];
      if (found !== undefined) listening(found);
    });
  });
  const failed = ended.then(({ stderr }) => {
    throw new Error(`it ended: ${stderr}`);
  });
  failed.catch(() => {});
  return { url: await Promise.race([url, failed]), child: child!, ended };
}

const post = (url: string, body: object): Promise<Response> =>
  fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
const textOf = async (response: Response): Promise<string> =>
  ((await response.json()) as any).choices[0].text as string;

describe('clm serve', () => {
  it('writes what clm sample writes with the same seed, and ends in order', async () => {
    const asked = Array.from({ length: 12 }, (_, i) => ({
      ...{ prompt: 'The cat'.repeat(1 + (i % 5)), seed: i, maxTokens: 5 + ((i * 7) % 30) },
      ...(i % 3 === 0 && { temperature: 0, frequencyPenalty: 0.5 }),
    }));
    writeFileSync(at('prompts.jsonl'), asked.map((line) => JSON.stringify(line)).join('\n'));
    const sample = ['sample', run, '--beyond-context', 'stop', '--json', '--batch', '1'];
    const [sampled, plain, { url, child, ended }] = await Promise.all([
      clm([...sample, '--prompts', at('prompts.jsonl')]),
      clm([...sample, '--prompt', 'The cat']),
      serving('--batch', '5'),
    ]);
    const expected = lines(sampled.stdout).map(({ completion }) => completion as string);
    expect(expected).toHaveLength(12);
    expect(await textOf(await post(url, { prompt: 'The cat' }))).toBe(lines(plain.stdout)[0].completion);
    const bodies = asked.map(({ prompt, seed, maxTokens, temperature, frequencyPenalty }) => ({
      ...{ prompt, seed, max_tokens: maxTokens, temperature, frequency_penalty: frequencyPenalty },
    }));
    const together = await Promise.all(bodies.map(async (body) => textOf(await post(url, body))));
    expect(together).toEqual(expected);
    const streamed = await Promise.all(
      bodies.map(async (body) => {
        const text = await (await post(url, { ...body, stream: true })).text();
        return [...text.matchAll(/^data: (\{.*)$/gm)].map(([, json]) => JSON.parse(json!).choices[0].text).join('');
      }),
    );
    expect(streamed).toEqual(expected);
    // The log-probabilities of a prompt are those of clm score.
    const scored = (await (
      await post(url, { prompt: 'The cat', echo: true, logprobs: 1, max_tokens: 0 })
    ).json()) as any;
    const score = lines((await clm(['score', run, '--text', 'The cat', '--json'])).stdout)[0];
    score.logProbabilities.forEach((value: number, i: number) =>
      expect(scored.choices[0].logprobs.token_logprobs[i + 1]).toBeCloseTo(value, 4),
    );

    // A signal while answers are under way.
    const last = bodies.slice(0, 6).map(async (body) => textOf(await post(url, body)));
    await Promise.race(last);
    child.kill('SIGTERM');
    expect(await Promise.all(last)).toEqual(expected.slice(0, 6));
    const { code, stdout, stderr } = await ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: 'SIGTERM: finishing the requests under way\n' });
    const [listening, ...requests] = lines(stdout);
    expect(listening).toEqual({
      ...{ kind: 'listening', url, model: 'small', contextLength, batch: 5, queue: 64 },
      cacheBytes: 5 * contextLength * 2 * 2 * 24 * 4,
      requestBytes: 69 * 2 ** 20,
    });
    expect(
      requests.every(({ kind, path, status }) => kind === 'request' && path === '/v1/completions' && status === 200),
    ).toBe(true);
    expect(requests).toHaveLength(1 + 12 + 12 + 1 + 6);
    expect(requests[0]).toMatchObject({ promptTokens: 7, tokens: 9 });
  });

  it.each([
    [['--host', '0.0.0.0'], /--host 0\.0\.0\.0 serves other machines: give --api-key-file/],
    [['--api-key-file', at('empty.txt')], /has no API key/],
    [['--api-key-file', at('key.txt')], /key 1 has a space/],
    [['--api-key-file', at('none.txt')], /none\.txt: it does not exist/],
    [['--cors', 'localhost'], /must be an origin/],
    [['--port', '65536'], /--port must be at most 65535/],
    [['--batch', '0'], /--batch must be a whole number of at least 1/],
    [['--queue', '-1'], /--queue must be a whole number of at least 0/],
    [['--request-timeout', 'soon'], /--request-timeout must be a duration/],
  ])('refuses %j', async (args, message) => {
    writeFileSync(at('empty.txt'), '\n\n');
    writeFileSync(at('key.txt'), 'a key\n');
    const serve = commands.find((command) => nameOf(command) === 'serve')!;
    await expect(parseArguments(serve, [run, ...args], serve.run)).rejects.toThrow(message);
  });

  it('says that a port is in use, and what the model cannot do', async () => {
    const listener = createServer().listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const { port } = listener.address() as AddressInfo;
    const [taken, long] = await Promise.all([
      clm(['serve', run, '--port', String(port)]),
      clm(['serve', run, '--context-length', '71']),
    ]);
    expect(taken).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/Port \d+ of 127\.0\.0\.1 is in use; choose/),
    });
    expect(long).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--context-length is 71; the model has 70'),
    });
    listener.close();
  });
});
