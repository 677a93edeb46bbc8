/**
 * Measures what clm serve adds to sampling: throughput of 1, 8 and 16 clients, and the time to the first token.
 *
 *   npm run measure -- serving [--rounds 3] [--clients 1,8,16] [--tokens 96] [--layers 12] [--width 512]
 *
 * The model is a decoder of bytes with random weights. For each number of clients, a server with that --batch and the
 * engine of clm sample with the same --batch generate the same completions in turns, because machines drift; the
 * clients stream. Then, on an idle server, the time to the first token of a stream, in turns with `stream` of the
 * JavaScript API. Nothing else may run meanwhile.
 *
 * Time: 1 minute
 */
import { spawn } from 'node:child_process';
import http from 'node:http';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { loadRun, stream } from 'clm';
import { print, root, scratchFolder } from '../lib/clm.mjs';
import { smallChatRun, startServer } from '../lib/server.mjs';
import { median, spread } from '../lib/statistics.mjs';

const text = /** @type {const} */ ({ type: 'string' });
const { values } = parseArgs({
  options: {
    ...{ rounds: { ...text, default: '3' }, clients: { ...text, default: '1,8,16' } },
    ...{ tokens: { ...text, default: '96' }, layers: { ...text, default: '12' }, width: { ...text, default: '512' } },
    run: text,
  },
});
const [rounds, tokens, layers, width] = [values.rounds, values.tokens, values.layers, values.width].map(Number);
const run = values.run ?? smallChatRun(scratchFolder('serving'), { layers, width, heads: 8 });
const promptTokens = 32;

/** The prompt of the i-th client, as scripts/measure/sampling/serve.mjs makes it. @param {number} i */
const promptOf = (i) => Array.from({ length: promptTokens }, (_, at) => (at * 7919 + i * 31) % 256);

/** The engine of clm sample in a process of its own. @param {number} slots */
async function engine(slots) {
  const child = spawn(process.execPath, ['scripts/measure/sampling/serve.mjs', run, 'float32', String(slots)], {
    ...{ cwd: root, stdio: ['pipe', 'pipe', 'inherit'] },
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  await lines.next();
  return {
    seconds: async () => {
      child.stdin.write(`${JSON.stringify({ batch: slots, promptTokens, tokens })}\n`);
      return JSON.parse((await lines.next()).value).seconds;
    },
    stop: () => child.stdin.end(),
  };
}

const agent = new http.Agent({ keepAlive: true });

/**
 * A streamed completion: its text as sent, and when the first token came. By Node's plain client, since the clients
 * share the processors with the server.
 * @param {string} url @param {object} body
 * @returns {Promise<{ text: string, firstMs: number }>}
 */
function ask(url, body) {
  const headers = { 'content-type': 'application/json' };
  const beganMs = performance.now();
  let firstMs = 0;
  return new Promise((resolve, reject) => {
    const request = http.request(`${url}/v1/completions`, { method: 'POST', agent, headers }, (response) => {
      /** @type {Buffer[]} */
      const chunks = [];
      response.on('data', (chunk) => {
        firstMs ||= performance.now() - beganMs;
        chunks.push(chunk);
      });
      response.on('end', () => resolve({ text: Buffer.concat(chunks).toString(), firstMs }));
    });
    request.on('error', reject);
    request.end(JSON.stringify({ temperature: 0, max_tokens: tokens, stream: true, ...body }));
  });
}

/**
 * Seconds until all clients, which begin together, have their whole answers.
 * @param {string} url @param {number} clients
 */
async function served(url, clients) {
  const beganMs = performance.now();
  const answers = Array.from({ length: clients }, async (_, i) => {
    const { text } = await ask(url, { prompt: promptOf(i), stream_options: { include_usage: true } });
    const made = /"completion_tokens":(\d+)/.exec(text)?.[1];
    if (Number(made) !== tokens) throw new Error(`${made} tokens instead of ${tokens}`);
  });
  await Promise.all(answers);
  return (performance.now() - beganMs) / 1000;
}

for (const clients of values.clients.split(',').map(Number)) {
  const [server, sampler] = await Promise.all([startServer([run, '--batch', String(clients)]), engine(clients)]);
  await served(server.url, clients);
  await sampler.seconds();
  /** @type {number[]} */
  const ratios = [];
  /** @type {number[]} */
  const speeds = [];
  for (let round = 0; round < rounds; round++) {
    const alone = await sampler.seconds();
    const seconds = await served(server.url, clients);
    ratios.push(alone / seconds);
    speeds.push((clients * tokens) / seconds);
  }
  print(
    `${clients} clients: ${spread(speeds, 1, 'tokens/s')}; relative to clm sample --batch ${clients}: ` +
      `${spread(ratios, 3, 'times')}`,
  );
  sampler.stop();
  await server.stop();
}

const [server, model] = await Promise.all([startServer([run]), loadRun(run)]);
const asked = 'The road was long and it '; // 25 tokens
const apiMs = async () => {
  const beganMs = performance.now();
  for await (const _ of stream(model, asked, { temperature: 0, maxTokens: 2 })) return performance.now() - beganMs;
  throw new Error('no text');
};
const serverMs = async () => (await ask(server.url, { prompt: asked, max_tokens: 2 })).firstMs;
for (let i = 0; i < 5; i++) await Promise.all([await apiMs(), await serverMs()]);
/** @type {number[][]} */
const [api, overHttp] = [[], []];
for (let i = 0; i < 20 * rounds; i++) {
  api.push(await apiMs());
  overHttp.push(await serverMs());
}
print(`first token by the API: ${spread(api, 1, 'ms')}; by an idle server: ${spread(overHttp, 1, 'ms')}`);
print(`the server adds ${(median(overHttp) - median(api)).toFixed(1)} ms`);
model.close();
await server.stop();
