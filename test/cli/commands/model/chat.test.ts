import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { chat, completeAll, loadRun } from '../../../../src/api.ts';
import { openDecoding } from '../../../../src/sampling/decoding.ts';
import { loadModel } from '../../../../src/sampling/loadModel.ts';
import { seedOfPrompt } from '../../../../src/sampling/requests.ts';
import { clmAtTerminal, ctrlC, ctrlD } from '../../atTerminal.ts';
import { clm, root, type Result } from '../../clm.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'clm-chat-'));
const at = (name: string): string => path.join(folder, name);
const run = at('run');
const objects = ({ stdout }: Result): Record<string, unknown>[] =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

/** A model that answers "yes" and "no" to "a?" and "b?". */
beforeAll(async () => {
  const turn = (i: number) => [
    { role: 'user', content: i % 2 ? 'a?' : 'b?' },
    { role: 'assistant', content: i % 2 ? 'yes' : 'no' },
  ];
  const rows = Array.from({ length: 60 }, (_, i) => JSON.stringify({ messages: [...turn(i), ...turn(i >> 1)] }));
  writeFileSync(at('chats.jsonl'), rows.join('\n'));
  writeFileSync(
    at('chats.yaml'),
    `corpus: { sources: [{ path: chats.jsonl, messages: messages }], validation: { tail: 0.1 }, packing: documents }
tokenizer: { kind: bytes }
model: { layers: 2, heads: 2, width: 32, contextLength: 120 }
training: { microBatchSize: 8, steps: 150 }
optimizer: { learningRate: 1e-2 }
schedule: { warmupSteps: 5 }
evaluation: { everySteps: null }
samples: { everySteps: null, prompt: "u", maxTokens: 9 }
`,
  );
  const { code, stderr } = await clm(['train', at('chats.yaml'), '--run', run]);
  expect({ code, stderr }).toMatchObject({ code: 0 });
});
afterAll(() => rmSync(folder, { recursive: true }));

const user = (content: string) => ({ role: 'user', content });
const assistant = (content: string) => ({ role: 'assistant', content });

describe('clm chat', () => {
  it('answers messages, each with those before it', async () => {
    const text = await clm(['chat', run, '--message', 'a?', '--message', 'b?', '--temperature', '0']);
    expect(text).toEqual({ code: 0, stdout: 'yes\n\n---\nno\n', stderr: '' });
    const json = await clm(['chat', run, '--message', 'a?', '--message', 'b?', '--temperature', '0', '--json']);
    const [first, second] = objects(json);
    expect(first).toMatchObject({
      reply: 'yes',
      messages: [user('a?'), assistant('yes')],
      tokens: 4,
      finishReason: 'endOfText',
      seed: 1337,
      droppedMessages: 0,
    });
    expect(second).toMatchObject({
      reply: 'no',
      messages: [user('a?'), assistant('yes'), user('b?'), assistant('no')],
    });
    expect(second!['seed']).toBe(seedOfPrompt(1337, 1));
  });

  it('has the tokens of the same chats read anew, from a prompt file; and in the API', async () => {
    const args = ['--system', 'c', '--temperature', '1.5', '--max-tokens', '5', '--seed', '3', '--json'];
    const spoken = objects(
      await clm(['chat', run, ...['a?', 'b?', 'a?'].flatMap((text) => ['--message', text]), ...args]),
    );
    expect(spoken).toHaveLength(3);
    const prompts = spoken.map(({ messages, seed }) => ({ messages: (messages as object[]).slice(0, -1), seed }));
    writeFileSync(at('prompts.jsonl'), prompts.map((line) => JSON.stringify(line)).join('\n'));
    const asked = await clm(['sample', run, '--prompts', at('prompts.jsonl'), ...args.slice(2)]);
    const alone = objects(asked);
    expect(alone.map(({ tokenIds }) => tokenIds)).toEqual(spoken.map(({ tokenIds }) => tokenIds));
    expect(alone.map(({ promptTokenIds }) => promptTokenIds)).toEqual(spoken.map((each) => each['promptTokenIds']));

    const model = await loadRun(run);
    let shown = '';
    const settings = { temperature: 1.5, maxTokens: 5, seed: 3 };
    let messages = [{ role: 'system', content: 'c' }];
    for (const [i, text] of ['a?', 'b?', 'a?'].entries()) {
      const reply = await chat(model, [...messages, user(text)], settings, { onText: (part) => void (shown += part) });
      const { tokensPerSecond: _, firstTokenMs: __, ...known } = reply;
      expect(spoken[i]).toMatchObject(known);
      messages = reply.messages;
    }
    expect(shown).toBe(spoken.map(({ reply }) => reply).join(''));
    for await (const { completion } of completeAll(model, [{ messages: [user('a?')], temperature: 0 }]))
      expect(completion).toBe('yes');
    await expect(chat(model, [{ role: 'user', content: 3 as never }])).rejects.toThrow(
      'messages, message 1 has the content 3',
    );
    await expect(chat(model, [user('a?')], { samples: 2 })).rejects.toThrow('chat gives one answer');
    await expect(chat(model, [user('a?')], {}, { signal: AbortSignal.abort('enough') })).rejects.toBe('enough');
    const failing = chat(model, [user('a?')], {}, { onText: () => Promise.reject(new Error('no more')) });
    await expect(failing).rejects.toThrow('no more');
    model.close();
  });

  it('leaves out the oldest messages when the context is full, and says so', async () => {
    const messages = Array.from({ length: 5 }, (_, i) => ['--message', i % 2 ? 'b?' : 'a?']).flat();
    const { code, stdout, stderr } = await clm([
      'chat',
      run,
      '--system',
      'c',
      ...messages,
      '--temperature',
      '0',
      '--json',
    ]);
    expect(code).toBe(0);
    const replies = objects({ code, stdout, stderr });
    expect(replies.map(({ droppedMessages }) => droppedMessages)).toEqual([0, 0, 0, 0, 2]);
    expect(stderr).toContain('the context is full: the model did not see the 2 oldest messages\n');
    const prompt = (replies[4]!['promptTokenIds'] as number[]).length;
    expect(prompt).toBeLessThanOrEqual(120 - 9);
    expect((replies[4]!['messages'] as unknown[]).length).toBe(11);
  });

  it.each([
    [['--message', 'a?'.repeat(80)], /^error: the message has \d+ tokens .* the context of the model has 120/],
    [['--message', 'a?', '--log-probabilities', '1'], /^error: --log-probabilities needs --json/],
    [['--message', 'a?', '--top-k', '0'], /^error: --top-k must be a whole number of at least 1/],
  ])('refuses %j', async (args, message) => {
    const { code, stdout, stderr } = await clm(['chat', run, ...args]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
  });

  it('answers the lines of a pipe, and says by its exit code that one had no answer', () => {
    const input = `a?\n${'b?'.repeat(80)}\nb?\n`;
    const args = [path.join(root, 'dist/cli/main.js'), 'chat', run, '--temperature', '0', '--json'];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { input, encoding: 'utf8' });
    expect(stdout.trim().split('\n')).toHaveLength(2);
    expect(stderr).toContain('the context of the model has 120');
    expect(status).toBe(2);
  });

  it('is typed at in a terminal, with commands, and Ctrl-C stops an answer only', async () => {
    writeFileSync(at('saved.jsonl'), '{}'); // without a line end
    const { code, output } = await clmAtTerminal(
      [
        'chat',
        run,
        '--temperature',
        '0',
        '--min-tokens',
        '60000',
        '--max-tokens',
        '60000',
        '--beyond-context',
        'slide',
      ],
      [
        ['> ', '/help\r'],
        ['/save FILE', 'a?\r'],
        ['yes', ctrlC],
        ['> ', `half a line${ctrlC}`],
        ['Ctrl-D quits', `/save ${at('saved.jsonl')}\r`],
        ['2 messages added', '/save /dev/full\r'],
        ['disk is full', '/reset\r'],
        ['begins again', '/save x\r'],
        ['nothing has been said', '/what\r'],
        ['unknown command /what', ctrlD],
      ],
    );
    expect(code).toBe(0);
    expect(output).toContain('step 150. Type a message');
    const [before, saved, ...rest] = readFileSync(at('saved.jsonl'), 'utf8').trim().split('\n');
    expect([before, rest]).toEqual(['{}', []]);
    const { messages } = JSON.parse(saved!) as { messages: { role: string; content: string }[] };
    expect(messages[0]).toEqual(user('a?'));
    expect(messages[1]!.role).toBe('assistant');
    expect(messages[1]!.content).toMatch(/^yes/);
  });
});

describe('prompts', () => {
  it('mean special tokens where asked for', async () => {
    const ids = async (...args: string[]) =>
      objects(await clm(['sample', run, '--json', '--max-tokens', '1', ...args]))[0]!['promptTokenIds'] as number[];
    const plain = at('plain.jsonl');
    writeFileSync(plain, JSON.stringify({ prompt: 'a<|endoftext|>', specialTokens: true }));
    const [special, ofFile] = [
      await ids('--special-tokens', '--prompt', 'a<|endoftext|>'),
      await ids('--prompts', plain),
    ];
    expect(special).toHaveLength(2);
    expect(ofFile).toEqual(special);
    expect(await ids('--prompt', 'a<|endoftext|>')).toEqual([...Buffer.from('a<|endoftext|>')]);
  });

  it.each([
    ['{"messages":[],"prompt":"a"}', '"prompt" and "messages" are both given; choose one'],
    ['{"messages":[{"role":"user"}]}', '"messages", message 1 has no "content"'],
    ['{}', '"prompt" must be a string, or "messages" a list'],
  ])('of %s are refused by line', async (line, message) => {
    writeFileSync(at('wrong.jsonl'), `${JSON.stringify({ prompt: 'a' })}\n${line}\n`);
    const { code, stderr } = await clm(['sample', run, '--prompts', at('wrong.jsonl'), '--max-tokens', '1', '--json']);
    expect(code).toBe(2);
    expect(stderr).toContain(`wrong.jsonl:2: ${message}`);
  });
});

it('a chat that goes on is read on, with the logits of reading it again', async () => {
  const model = await loadModel(run, { checkpoint: 'last', precision: 'float32' });
  const { session, config, table, tokenizer } = model;
  const decoding = openDecoding(session, config.model, table, 2);
  const steps = vi.spyOn(decoding, 'step');
  const prefills = vi.spyOn(decoding, 'prefill');
  const ids = [...tokenizer.encode('user: a?\n\nassistant: yes', {})];
  const whole = [...ids, ...tokenizer.encode('no?', {})];
  const expected = Float32Array.from(await decoding.prefill(0, whole));
  await decoding.prefill(1, [...ids, ids[0]!, ids[1]!]); // two more tokens, which are not those that follow
  const logits = await decoding.readOn(1, whole);
  expect([steps.mock.calls.length, prefills.mock.calls.length]).toEqual([3, 2]);
  expect(decoding.length(1)).toBe(whole.length);
  expect(Math.max(...logits.map((logit, i) => Math.abs(logit - expected[i]!)))).toBeLessThan(1e-4);
  await decoding.readOn(1, whole.slice(5)); // another text
  expect([steps.mock.calls.length, prefills.mock.calls.length]).toEqual([3, 3]);
  model.close();
});
