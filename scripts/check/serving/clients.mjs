/**
 * Lets OpenAI's own clients for Node and Python and curl use clm serve: all must get the texts of clm sample.
 *
 *   npm run check -- clients [--python PYTHON]
 *
 * Installs the npm package openai and, in an environment made by PYTHON, the Python package of the same name into a
 * temporary folder. Completions and chats, whole and streamed, several choices, token ids, log-probabilities, echo,
 * usage, models, and the errors that the clients raise for refusals and wrong keys.
 *
 * Time: 1 minute
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { clm, jsonLines, print, run, scratchFolder } from '../../lib/clm.mjs';
import { smallChatRun, startServer } from '../../lib/server.mjs';

const npmVersion = '7.59.0';
const pythonVersion = '3.57.0';

const { python } = parseArgs({ options: { python: { type: 'string', default: 'python3' } } }).values;
const scratch = scratchFolder('clients');
writeFileSync(path.join(scratch, 'package.json'), '{"private": true}');
run('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', `openai@${npmVersion}`], { cwd: scratch });
const environment = path.join(scratch, 'python');
run(python, ['-m', 'venv', environment]);
const venvPython = path.join(environment, 'bin/python');
run(venvPython, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', `openai==${pythonVersion}`]);
print(`openai ${npmVersion} of npm and ${pythonVersion} of PyPI are installed`);

const model = smallChatRun(scratch);
writeFileSync(path.join(scratch, 'keys.txt'), 'one-key\nkey-of-the-check\n');
const server = await startServer([model, '--api-key-file', path.join(scratch, 'keys.txt')]);
const baseURL = `${server.url}/v1`;
const apiKey = 'key-of-the-check';

/** What every client asks for; the seeds are those of clm sample. */
const prompt = 'It is';
const messages = [
  { role: 'developer', content: 'Be brief.' },
  {
    role: 'user',
    content: [
      { type: 'text', text: 'Is it ' },
      { type: 'text', text: 'far?' },
    ],
  },
];
const spoken = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: 'Is it far?' },
];

/** The same with clm sample. */
const prompts = path.join(scratch, 'prompts.jsonl');
writeFileSync(
  prompts,
  [
    { prompt, seed: 5, samples: 2, maxTokens: 20 },
    { messages: spoken, seed: 6, maxTokens: 20 },
    { prompt: 'Not', seed: 5, maxTokens: 20, temperature: 0, frequencyPenalty: 1, stop: ['e'] },
  ]
    .map((line) => JSON.stringify(line))
    .join('\n'),
);
const sampled = jsonLines(clm('sample', model, '--prompts', prompts, '--json', '--beyond-context', 'stop'));
const [first, second, chatted, penalised] = sampled.map(({ completion }) => completion);
const expected = {
  models: ['small'],
  model: 'small',
  completion: first,
  choices: [first, second],
  ids: first,
  streamed: first,
  usage: [prompt.length, sampled[0].tokens],
  penalised,
  echo: prompt + first,
  scoredText: prompt + first,
  firstLogprob: null,
  chat: chatted,
  chatStreamed: chatted,
  chatUsage: [sampled[2].promptTokenIds.length, sampled[2].tokens],
  chatLogprobs: sampled[2].tokens,
  errors: ['400 context_length_exceeded', '400 unsupported_parameter', '404 model_not_found', '401 invalid_api_key'],
};

/** By openai of npm. */
async function byNode() {
  const { default: OpenAI } = createRequire(path.join(scratch, 'package.json'))('openai');
  const client = new OpenAI({ baseURL, apiKey });
  const complete = (/** @type {object} */ body) =>
    client.completions.create({ model: 'small', prompt, seed: 5, max_tokens: 20, ...body });
  const chat = (/** @type {object} */ body) =>
    client.chat.completions.create({ model: 'small', messages, seed: 6, max_completion_tokens: 20, ...body });
  const one = await complete({});
  const echo = await complete({ echo: true, logprobs: 3 });
  let streamed = '';
  let usage;
  for await (const part of await complete({ stream: true, stream_options: { include_usage: true } })) {
    streamed += part.choices[0]?.text ?? '';
    usage = part.usage ?? usage;
  }
  const talk = await chat({ logprobs: true, top_logprobs: 2 });
  let chatStreamed = '';
  for await (const part of await chat({ stream: true })) chatStreamed += part.choices[0]?.delta.content ?? '';
  const models = [];
  for await (const each of client.models.list()) models.push(each.id);
  const failing = [
    () => complete({ max_tokens: 1000 }),
    () => chat({ tools: [{ type: 'function', function: { name: 'f' } }] }),
    () => complete({ model: 'other' }),
    () => new OpenAI({ baseURL, apiKey: 'wrong' }).models.list(),
  ];
  const errors = [];
  for (const fail of failing)
    errors.push(await fail().then(String, (/** @type {any} */ error) => `${error.status} ${error.code}`));
  return {
    models,
    model: (await client.models.retrieve('small')).id,
    completion: one.choices[0].text,
    choices: (await complete({ n: 2 })).choices.map((/** @type {any} */ { text }) => text),
    ids: (await complete({ prompt: [...Buffer.from(prompt)] })).choices[0].text,
    streamed,
    usage: [usage.prompt_tokens, usage.completion_tokens],
    penalised: (await complete({ prompt: 'Not', temperature: 0, frequency_penalty: 1, stop: ['e'] })).choices[0].text,
    echo: echo.choices[0].text,
    scoredText: textOf(echo.choices[0].logprobs.tokens),
    firstLogprob: echo.choices[0].logprobs.token_logprobs[0],
    chat: talk.choices[0].message.content,
    chatStreamed,
    chatUsage: [talk.usage.prompt_tokens, talk.usage.completion_tokens],
    chatLogprobs: talk.choices[0].logprobs.content.length,
    errors,
  };
}

/** The text of tokens, of which some are spelled by their bytes. @param {string[]} tokens */
const textOf = (tokens) =>
  Buffer.concat(
    tokens.map((token) =>
      token.startsWith('bytes:') ? Buffer.from(token.replaceAll(/bytes:|\\x/g, ''), 'hex') : Buffer.from(token),
    ),
  ).toString();

/** By curl; what it prints, parsed. @param {string} path @param {object} body */
const curl = (path, body) =>
  run('curl', [
    ...['-sS', '--no-buffer', `${baseURL}${path}`, '-H', 'Content-Type: application/json'],
    ...['-H', `Authorization: Bearer ${apiKey}`, '-d', JSON.stringify(body)],
  ]);

assert.deepEqual(await byNode(), expected);
print(`openai of npm: ${Object.keys(expected).length} results as expected`);

const script = path.join(import.meta.dirname, 'clients/openaiClient.py');
const asked = JSON.stringify({ baseURL, apiKey, prompt, messages });
assert.deepEqual(JSON.parse(run(venvPython, [script, asked])), expected);
print(`openai of PyPI: ${Object.keys(expected).length} results as expected`);

const whole = JSON.parse(curl('/completions', { prompt, seed: 5, max_tokens: 20 }));
assert.equal(whole.choices[0].text, first);
const events = curl('/chat/completions', { messages, seed: 6, max_tokens: 20, stream: true }).trim().split('\n\n');
assert.equal(events.pop(), 'data: [DONE]');
const parts = events.map((event) => JSON.parse(event.slice('data: '.length)).choices[0].delta.content ?? '');
assert.equal(parts.join(''), chatted);
print('curl: whole and streamed as expected');
assert.equal(await server.stop(), 0);
