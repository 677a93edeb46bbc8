/** Against transformers: fixtures/chats.json, made by scripts/fixtures/chats.py. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { plainFormat } from '../../../src/data/chat/chatFormats.ts';
import { chatTemplate } from '../../../src/data/chat/chatTemplate.ts';
import { chatText, lossByteSpans, type LossOn } from '../../../src/data/chat/chatText.ts';
import { lossMaskOf } from '../../../src/data/chat/lossMask.ts';
import { chatMessages, type ChatMessage } from '../../../src/data/chat/messages.ts';
import { bytesTokenizer } from '../../../src/data/tokenizers/bytes.ts';
import { renderTokenizer, tokenizerFromFile, withChat } from '../../../src/data/tokenizers/tokenizerFile.ts';

interface Case {
  template: string;
  chat: string;
  messages: ChatMessage[];
  refusal?: string;
  text: string;
  prompt: string;
  tokenIds: number[];
  mask?: number[];
}
const fixtures = JSON.parse(readFileSync(path.join(import.meta.dirname, 'fixtures/chats.json'), 'utf8')) as {
  date: string;
  specialTokens: Record<string, string>;
  templates: Record<string, string>;
  tokenizer: object;
  cases: Case[];
};
const tokenizer = tokenizerFromFile(JSON.stringify(fixtures.tokenizer), 'tokenizer.json');
const { date, specialTokens } = fixtures;
const templateOf = (template: string) => chatTemplate({ template, path: 'a.jinja', specialTokens, date });
const names = fixtures.cases.map(({ template, chat }) => [`${template}, ${chat}`] as const);
const caseOf = (name: string): Case => fixtures.cases.find((one) => `${one.template}, ${one.chat}` === name)!;

/** Token ids and loss mask of a chat. */
function encoded(template: string, messages: readonly ChatMessage[], lossOn: LossOn = 'assistant') {
  const chat = chatText(templateOf(template), messages, lossOn);
  const { text } = chat;
  const tokenIds = tokenizer.encode(text, { isChat: true });
  const spans = lossByteSpans(chat);
  const mask = lossMaskOf(Buffer.from(text), tokenIds, spans, tokenizer, () => '');
  return { text, tokenIds: [...tokenIds], mask: [...mask] };
}
const template = (name: string): string => fixtures.templates[name]!;

describe('a chat is rendered and tokenized as by transformers', () => {
  it.each(names)('%s', (name) => {
    const { messages, refusal, text, prompt, tokenIds, mask, ...one } = caseOf(name);
    if (refusal !== undefined) {
      expect(() => encoded(template(one.template), messages)).toThrow(`the chat template of a.jinja fails: it says`);
      return;
    }
    expect(encoded(template(one.template), messages, 'all')).toMatchObject({ text, tokenIds });
    expect(templateOf(template(one.template)).render(messages, true).text).toBe(prompt);
    if (mask !== undefined) expect(encoded(template(one.template), messages).mask).toEqual(mask);
    expect(mask === undefined).toBe(['turns', 'brackets'].includes(one.template));
  });

  it('without marks, the turns found by rendering prefixes are those of the same template with marks', () => {
    const chats = fixtures.cases.filter((one) => one.template === 'marked');
    expect(chats).toHaveLength(5);
    for (const { messages, mask } of chats) expect(encoded(template('turns'), messages).mask).toEqual(mask);
  });

  it('and a turn without marks that changes with what follows is refused by the way on', () => {
    const changing =
      "{% for m in messages %}{{ '<|from|>' + m.role + (' (last)' if loop.last else '') + m.content }}{% endfor %}" +
      "{{ '<|from|>assistant' if add_generation_prompt else '' }}";
    const messages = chatMessages(caseOf('turns, a system and three turns').messages, 'here');
    expect(() => encoded(changing, messages)).toThrow(
      /renders message 3 differently .* marks as tokenizer\.chatTemplate/,
    );
    expect(encoded(changing, messages, 'all').mask).not.toContain(0);
  });
});

describe('lossOn', () => {
  const { messages } = caseOf('marked, a system and three turns');
  it.each(['turns', 'marked'])('last counts the last turn of the assistant, with %s', (name) => {
    const all = encoded(template(name), messages, 'assistant').mask;
    const last = encoded(template(name), messages, 'last').mask;
    const firstEnd = all.indexOf(0, all.indexOf(1));
    expect(all.slice(0, firstEnd)).toContain(1);
    expect(last.slice(0, firstEnd)).not.toContain(1);
    expect(last.slice(firstEnd)).toEqual(all.slice(firstEnd));
  });
});

describe('a template', () => {
  const { messages } = caseOf('turns, one turn');
  const render = (text: string): string => templateOf(text).render(messages, false).text;

  it.each<[string, RegExp]>([
    ['{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}', /more than 300000 steps/],
    ['{{ range(100000000) }}', /is too long/],
    [
      "{% set n = namespace(x='aaaa') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
      /a text longer than/,
    ],
    ['{{ messages | tojson(indent=1000000000) }}', /the chat template of a\.jinja fails/],
    ["{{ strftime_now('%Q') }}", /does not know %Q/],
    ["{{ raise_exception('not like this') }}", /it says "not like this"/],
    ['{% for m in messages %}', /the chat template of a\.jinja cannot be read/],
    ["{{ ''.constructor('return process')() }}", /not a function/],
    ['{{ messages[9].content }}', /it reads an attribute of messages\[9\], which is not defined/],
    ['{{ mesages.content }}', /an attribute of mesages, which is not defined/],
    ['{{ none }}', /it writes none, which is not a text but a Null/],
    ["{{ 'x' ~ true }}", /it writes true, which is not a text but a Boolean/],
    ['{% if true %}{{ messages }}{% endif %}', /it writes messages, which is not a text but a Array/],
  ])('has limits: %s', (text, message) => {
    expect(() => render(text)).toThrow(message);
  });

  it('sees nothing but what it is given', () => {
    const seen = ['process', 'globalThis', 'require', 'messages.constructor', 'messages.__proto__', 'env'];
    expect(render(seen.map((name) => `{{ ${name} }}`).join(''))).toBe('');
  });

  it('with line ends of Windows renders the same', () => {
    expect(render(template('turns').replaceAll('\n', '\r\n'))).toBe(caseOf('turns, one turn').text);
  });

  it('is told the day of the run', () => {
    expect(render("{{ strftime_now('%d %B %b %Y %A %H:%M %%') }}")).toBe(
      `${date.slice(8)} ${new Date(date).toLocaleString('en-US', { month: 'long', timeZone: 'UTC' })} ` +
        `${new Date(date).toLocaleString('en-US', { month: 'short', timeZone: 'UTC' })} ${date.slice(0, 4)} ` +
        `${new Date(date).toLocaleString('en-US', { weekday: 'long', timeZone: 'UTC' })} 00:00 %`,
    );
  });
});

describe('messages', () => {
  it.each<[unknown, string]>([
    ['Hello', 'line 1 is "Hello", not a list of messages.'],
    [[], 'line 1 is an empty list of messages.'],
    [['Hello'], 'line 1, message 1 is "Hello", not an object with "role" and "content".'],
    [
      [{ from: 'human', value: 'x' }],
      'line 1, message 1 needs a "role", e.g. user or assistant (it has the keys from, value).',
    ],
    [[{ role: 'user' }], 'line 1, message 1 has no "content".'],
    [[{ role: 'user', content: null }], 'line 1, message 1 has the content null, not a text.'],
    [
      [{ role: 'user', content: [{ type: 'image' }] }],
      'line 1, message 1 has the content [{"type":"image"}], not a text.',
    ],
    [[{ role: 'tool', content: '4' }], 'line 1, message 1 has the role "tool": tool calls are not supported.'],
    [
      [{ role: 'assistant', content: '', tool_calls: [{ name: 'add' }] }],
      'line 1, message 1 has "tool_calls": tool calls are not supported.',
    ],
  ])('%j are refused', (value, message) => {
    expect(() => chatMessages(value, 'line 1')).toThrow(message);
  });

  it('may have other keys, and empty tool calls', () => {
    const message = { role: 'user', content: 'x', name: 'Ada', tool_calls: [], tool_call_id: null };
    expect(chatMessages([message], 'line 1')).toEqual([message]);
  });
});

describe('the plain format', () => {
  const plain = bytesTokenizer({ endOfText: true });
  const { template: text, specialTokens: tokens } = plainFormat(plain);
  const render = chatTemplate({ template: text, path: '', specialTokens: tokens, date }).render;
  const messages = caseOf('turns, a system and three turns').messages;

  it('ends the turns of the assistant with the end-of-text token, which counts towards the loss', () => {
    const { text: rendered, generated } = render(messages.slice(1, 4), true);
    expect(rendered).toBe('user:\nSay é 漢字 😀\n\nassistant:\né<|endoftext|>\n\nuser:\nand\n\nnow\n\nassistant:\n');
    expect(generated!.map(([start, end]) => rendered.slice(start, end))).toEqual(['é<|endoftext|>']);
  });

  it('is kept in the file of a tokenizer', () => {
    const chatting = withChat(plain, plainFormat(plain));
    expect(tokenizerFromFile(renderTokenizer(chatting), 'tokenizer.json').chat).toEqual(plainFormat(plain));
    const trained = withChat(tokenizer, { template: template('marked'), specialTokens });
    const again = tokenizerFromFile(renderTokenizer(trained), 'tokenizer.json');
    expect(again.chat).toEqual(trained.chat);
    expect(renderTokenizer(again)).toBe(renderTokenizer(trained));
  });
});

describe('lossMaskOf', () => {
  const lower = { spelling: (id: number) => Buffer.from(['ab', ' c', '<|x|>'][id]!) };
  const maskOf = (text: string, ids: number[], ...spans: [number, number][]) => [
    ...lossMaskOf(Buffer.from(text), Int32Array.from(ids), spans, lower, () => 'at byte 0'),
  ];
  it('counts every token with a byte in a span', () => {
    expect(maskOf('ab cab', [0, 1, 0], [1, 3])).toEqual([1, 1, 0]);
    expect(maskOf('ab cab', [0, 1, 0], [2, 2], [4, 6])).toEqual([0, 0, 1]);
  });
  it('knows white space that a special token takes in, and a space that was put before a text', () => {
    expect(maskOf('ab \n<|x|>ab', [0, 2, 0], [9, 11])).toEqual([0, 0, 1]);
    expect(maskOf('c<|x|>ab', [1, 2, 0], [0, 1])).toEqual([1, 0, 0]);
  });
  it('refuses tokens that spell another text', () => {
    expect(() => maskOf('AB', [0], [0, 1])).toThrow(/The tokenizer changes the text of a chat .* at byte 0/);
  });
});
