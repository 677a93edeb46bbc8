/**
 * Sends thousands of mixed requests to clm serve, many of whose clients vanish: nothing may be lost or mixed up.
 *
 *   npm run check -- crowd [--requests N] [--rounds N]
 *
 * Each of 3 rounds sends 1000 requests, up to 60 at a time: completions and chats, whole and streamed, of one prompt
 * and of several, with echo and log-probabilities; wrong ones; clients that vanish before and during an answer, and
 * that read slowly. Every answer must equal that of the same request alone, every refusal must be a 4xx, all slots
 * must be free at the end, and memory may not grow from the first round to the last. Then senders that never finish
 * must be cut off, and at SIGTERM what is under way must be finished, with exit code 0.
 *
 * Time: 2 minutes
 */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { print, scratchFolder } from '../../lib/clm.mjs';
import { post, smallChatRun, startServer } from '../../lib/server.mjs';

const { values } = parseArgs({
  options: { requests: { type: 'string', default: '1000' }, rounds: { type: 'string', default: '3' } },
});
const [requests, rounds] = [Number(values.requests), Number(values.rounds)];
const atOnce = 60;

const model = smallChatRun(scratchFolder('crowd'));
const server = await startServer([model, '--batch', '8', '--queue', '300']);
const paths = { completion: `${server.url}/v1/completions`, chat: `${server.url}/v1/chat/completions` };

/** The i-th kind of request, with a seed. @param {number} i @returns {{ url: string, body: Record<string, any> }} */
function asked(i) {
  const length = 1 + ((i * 37) % 90);
  const text = (/** @type {number} */ salt) => 'Is it far? Not very. A mile. '.repeat(6).slice(salt, salt + length);
  const common = { seed: i, max_tokens: 1 + ((i * 53) % 60), temperature: i % 7 === 0 ? 0 : 0.9 };
  if (i % 5 === 0) return { url: paths.chat, body: { ...common, messages: [{ role: 'user', content: text(i % 9) }] } };
  if (i % 5 === 1) return { url: paths.completion, body: { ...common, prompt: [text(1), text(2)], n: 2 } };
  if (i % 5 === 2) return { url: paths.completion, body: { ...common, prompt: text(3), echo: true, logprobs: 3 } };
  return { url: paths.completion, body: { ...common, prompt: text(i % 11), stop: ['q', 'zz'] } };
}

/** What counts of an answer. @param {any} answer */
const contentOf = (answer) =>
  answer.choices.map((/** @type {any} */ { text, message, finish_reason, logprobs }) => ({
    text: text ?? message.content,
    finish_reason,
    tokens: logprobs?.tokens?.length ?? 0,
  }));

/** Reads a stream to its end. @param {Response} response @param {number} pauseMs after each piece */
async function streamed(response, pauseMs) {
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of /** @type {any} */ (response.body)) {
    text += decoder.decode(chunk, { stream: true });
    if (pauseMs > 0) await sleep(pauseMs);
  }
  const events = text.trimEnd().split('\n\n');
  assert.equal(events.pop(), 'data: [DONE]');
  /** @type {{ text: string, finish_reason: string | null, tokens: number }[]} */
  const choices = [];
  for (const event of events) {
    for (const { index, text, delta, finish_reason, logprobs } of JSON.parse(event.slice(6)).choices) {
      choices[index] ??= { text: '', finish_reason: null, tokens: 0 };
      choices[index].text += text ?? delta.content ?? '';
      choices[index].finish_reason ??= finish_reason;
      choices[index].tokens += logprobs?.tokens?.length ?? 0;
    }
  }
  return choices;
}

const kinds = 40;
/** @type {any[]} */
const alone = [];
for (let i = 0; i < kinds; i++) {
  const { url, body } = asked(i);
  alone.push(contentOf(await (await post(url, body)).json()));
}
print(`${kinds} kinds of requests, alone: ${JSON.stringify(alone).length} bytes of answers`);

/** @type {Record<string, number>} */
const counts = {};
const count = (/** @type {string} */ what) => void (counts[what] = (counts[what] ?? 0) + 1);

/** One client. @param {number} i */
async function client(i) {
  const kind = (i * 7919) % kinds;
  const { url, body } = asked(kind);
  const manner = i % 10;
  if (manner === 0) {
    const wrong = [{ ...body, max_tokens: 5000 }, { ...body, tools: [{}] }, { ...body, seed: 'x' }, '{'][(i / 10) % 4];
    const { status } = await post(url, /** @type {object} */ (wrong));
    assert.ok(status >= 400 && status < 500, `a wrong request got ${status}`);
    return count('refused');
  }
  if (manner === 1 || manner === 2) {
    const controller = new AbortController();
    const vanishing = post(url, { ...body, max_tokens: 100, stream: manner === 2 }, controller.signal)
      .then((response) => response.text())
      .then(
        () => count('answered before they vanished'),
        () => count('vanished'),
      );
    await sleep(i % 23);
    controller.abort();
    return vanishing;
  }
  const response = await post(url, { ...body, stream: manner % 2 === 0 });
  assert.equal(response.status, 200, `request ${i}`);
  const answer = manner % 2 === 0 ? await streamed(response, manner === 4 ? 3 : 0) : contentOf(await response.json());
  assert.deepEqual(answer, alone[kind], `request ${i}, of kind ${kind}`);
  count(manner % 2 === 0 ? 'streamed' : 'whole');
}

/** @returns {Promise<any>} */
const health = async () => (await fetch(`${server.url}/health`)).json();
const residentMB = [];
for (let round = 0; round < rounds; round++) {
  let next = 0;
  const worker = async () => {
    while (next < requests) await client(next++);
  };
  const beganMs = performance.now();
  await Promise.all(Array.from({ length: atOnce }, worker));
  for (let tries = 0; tries < 100 && (await health()).active > 0; tries++) await sleep(20);
  assert.deepEqual(await health(), { status: 'ok', model: 'small', active: 0, waiting: 0 });
  residentMB.push(Math.round(server.residentBytes() / 1e6));
  print(
    `round ${round + 1}: ${requests} requests in ${((performance.now() - beganMs) / 1000).toFixed(1)} s, ` +
      `${JSON.stringify(counts)}, ${residentMB.at(-1)} MB`,
  );
}
assert.equal(
  Object.values(counts).reduce((a, b) => a + b, 0),
  requests * rounds,
);
const growth = /** @type {number} */ (residentMB.at(-1)) - /** @type {number} */ (residentMB[0]);
assert.ok(growth < 40, `memory grew by ${growth} MB`);

/** What a sender that stops in the middle is told before it is cut off, and when. @param {string} bytes */
function cutOff(bytes) {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
  const beganMs = performance.now();
  let answer = '';
  socket.on('data', (chunk) => (answer += chunk));
  socket.on('error', () => {});
  socket.write(bytes);
  return new Promise((resolve) =>
    socket.on('close', () =>
      resolve(`${answer.slice(9, 12)} after ${((performance.now() - beganMs) / 1000).toFixed(0)} s`),
    ),
  );
}
const head = 'POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n';
const [headers, slowBody] = await Promise.all([cutOff(head), cutOff(`${head}content-length: 1000\r\n\r\n{`)]);
print(`senders that stop: in the headers ${headers}, in the body ${slowBody}`);
assert.match(headers, /^408 after 1\d s$/);
assert.match(slowBody, /^(408)? after 3\d s$/);
assert.equal((await health()).active, 0);

const long = { prompt: 'Is it far?', seed: 4, max_tokens: 240, stream: true };
const [whole] = await streamed(await post(paths.completion, long), 0);
// The headers come with the first token, so all of them are under way.
const underWay = await Promise.all(Array.from({ length: 8 }, () => post(paths.completion, long)));
const code = server.stop();
for (const response of underWay) assert.deepEqual(await streamed(response, 0), [whole]);
assert.equal(await code, 0);
print('SIGTERM: what was under way was finished, exit code 0');
