/** Chats as a corpus: from files to windows with a loss mask. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { SourceSettings } from '../../../src/data/files/corpus.ts';
import { openCorpus } from '../../../src/data/files/openCorpus.ts';
import { noCounts } from '../../../src/data/files/utf8Chunks.ts';
import { prepareTokenizer } from '../../../src/data/tokens/prepareTokenizer.ts';
import { tokenChunks } from '../../../src/data/tokens/tokens.ts';
import { openTokenizingWorkers } from '../../../src/data/tokens/tokenizingWorkers.ts';
import { trainingBatches } from '../../../src/data/windows/batches.ts';
import { parseCursor } from '../../../src/data/windows/cursor.ts';
import { all, folderOf, rejection, take } from '../texts.ts';

const fixturesFolder = path.join(import.meta.dirname, 'fixtures');
const fixtures = JSON.parse(readFileSync(path.join(fixturesFolder, 'chats.json'), 'utf8'));
const marked: { messages: { role: string; content: string }[]; tokenIds: number[]; mask: number[] }[] =
  fixtures.cases.filter((one: { template: string }) => one.template === 'marked');
const lines = marked.map(({ messages }) => JSON.stringify({ messages })).join('\n');

/** The model's files: its tokenizer and, in the way that `kind` says, its template. */
const modelFiles = (kind: 'jinja' | 'settings' | 'named') => ({
  'tokenizer.json': JSON.stringify(fixtures.tokenizer),
  'tokenizer_config.json': JSON.stringify({
    bos_token: { content: '<|begin|>', special: true },
    eos_token: '<|end|>',
    ...(kind === 'jinja' && { chat_template: '{{ raise_exception("the other one counts") }}' }),
    ...(kind === 'settings' && { chat_template: fixtures.templates.marked }),
    ...(kind === 'named' && {
      chat_template: [
        { name: 'tools', template: '' },
        { name: 'default', template: fixtures.templates.marked },
      ],
    }),
  }),
  ...(kind === 'jinja' && { 'chat_template.jinja': fixtures.templates.marked }),
});

/** A corpus of one file, all of it for training but the first chat again for validation. */
async function chatsOf(
  name: string,
  content: string | Uint8Array,
  source: Omit<SourceSettings, 'path'> = {},
  kind: 'jinja' | 'settings' | 'named' = 'jinja',
) {
  const folder = await folderOf({ [name]: content, 'other.jsonl': lines, ...modelFiles(kind) });
  const opened = await openCorpus({
    sources: [{ messages: 'messages', ...source, path: path.join(folder, name) }],
    validation: { path: path.join(folder, 'other.jsonl') },
    shuffleTokens: 1024,
  });
  return { folder, opened };
}
const ofModel = (folder: string) => ({ kind: 'file', path: path.join(folder, 'tokenizer.json') }) as const;

const expected = marked.map(({ tokenIds, mask }) => ({ tokenIds, mask }));
const parquet = readFileSync(path.join(fixturesFolder, 'chats.parquet'));

describe('chats have the ids and masks of transformers', () => {
  it.each([
    ['JSON lines, chat_template.jinja', 'a.jsonl', lines, 'jinja'],
    ['JSON lines, tokenizer_config.json', 'a.jsonl', lines, 'settings'],
    ['JSON lines, a named template', 'a.jsonl', lines, 'named'],
    ['Parquet', 'a.parquet', parquet, 'jinja'],
  ] as const)('%s', async (_, name, content, kind) => {
    const { folder, opened } = await chatsOf(name, content, {}, kind);
    const { corpus, tokenizer, trainingTokens } = await prepareTokenizer(ofModel(folder), opened);
    const chats = await all(tokenChunks(corpus, corpus.training, tokenizer));
    expect(chats.map(({ tokenIds, lossMask }) => ({ tokenIds: [...tokenIds], mask: [...lossMask!] }))).toEqual(
      expected,
    );
    expect(trainingTokens).toBe(expected.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0));
    expect(tokenizer.chat).toEqual({ template: fixtures.templates.marked, specialTokens: fixtures.specialTokens });
  });

  it('on worker threads, too', async () => {
    const { folder, opened } = await chatsOf('a.jsonl', lines);
    const { corpus, tokenizer } = await prepareTokenizer(ofModel(folder), opened);
    const workers = openTokenizingWorkers(tokenizer, 2);
    const chats = await all(tokenChunks(corpus, corpus.training, tokenizer, { workers }));
    await workers.close();
    expect(chats.map(({ tokenIds, lossMask }) => ({ tokenIds: [...tokenIds], mask: [...lossMask!] }))).toEqual(
      expected,
    );
  });

  it('from a token cache, too', async () => {
    const { folder, opened } = await chatsOf('a.jsonl', lines);
    const cache = path.join(folder, 'cache');
    const first = await prepareTokenizer(ofModel(folder), opened, { cache });
    const chats = await all(tokenChunks(first.corpus, first.corpus.training, first.tokenizer));
    expect(first.corpus.tokenCache).toContain(cache);
    expect(chats.flatMap(({ tokenIds }) => [...tokenIds])).toEqual(expected.flatMap(({ tokenIds }) => tokenIds));
    expect(chats.flatMap(({ lossMask }) => [...lossMask!])).toEqual(expected.flatMap(({ mask }) => mask));
    const all2 = await prepareTokenizer(ofModel(folder), { ...opened, chatDate: '2001-02-03' }, { cache });
    expect(all2.corpus.tokenCache).not.toBe(first.corpus.tokenCache);
  });
});

it('a template of the user’s takes the place of the model’s, and keeps its special tokens', async () => {
  const { folder, opened } = await chatsOf('a.jsonl', lines);
  const file = path.join(folder, 'chat_template.jinja');
  const own = path.join(await folderOf({ 'own.jinja': '{{ messages[0].content ~ eos_token }}' }), 'own.jinja');
  const { tokenizer } = await prepareTokenizer({ ...ofModel(folder), chatTemplate: own }, opened);
  expect(readFileSync(file, 'utf8')).toBe(fixtures.templates.marked);
  expect(tokenizer.chat!.template).toBe('{{ messages[0].content ~ eos_token }}');
  expect(tokenizer.chat!.specialTokens).toEqual(fixtures.specialTokens);
  const missing = { ...ofModel(folder), chatTemplate: path.join(folder, 'none.jinja') };
  expect((await rejection(prepareTokenizer(missing, opened))).message).toMatch(
    /chatTemplate: .*none\.jinja does not exist/,
  );
});

describe.each(['characters', 'bytes', 'bpe'] as const)('a model without a template, with %s', (kind) => {
  it('is trained in the plain format, and resumes anywhere', async () => {
    const { opened } = await chatsOf('a.jsonl', `${lines}\n`.repeat(9));
    const { corpus, tokenizer } = await prepareTokenizer({ kind, vocabularySize: 270 }, opened);
    const [first] = await take(tokenChunks(corpus, corpus.training, tokenizer), 1);
    const spelt = (ids: ArrayLike<number>): string => tokenizer.decode(ids, { specialTokens: true });
    expect(spelt(first!.tokenIds)).toBe('user:\nWhat is two and two?\n\nassistant:\nFour.<|endoftext|>\n\n');
    expect(spelt(first!.tokenIds.filter((_, i) => first!.lossMask![i] === 1))).toBe('Four.<|endoftext|>');
    expect(first!.tokenIds.filter((id) => id === tokenizer.endOfText)).toHaveLength(1);
    const options = { seed: 11, contextLength: 7, microBatchSize: 2, shuffleTokens: 1024 };
    const batches = await take(trainingBatches(corpus, tokenizer, options), 40);
    expect(batches.some(({ lossMask }) => lossMask.includes(0) && lossMask.includes(1))).toBe(true);
    for (const i of [0, 9, 33]) {
      const cursor = parseCursor(JSON.parse(JSON.stringify(batches[i]!.cursor)), 'state.json');
      expect(await take(trainingBatches(corpus, tokenizer, options, cursor), 3)).toEqual(batches.slice(i + 1, i + 4));
    }
  });
});

describe('rows', () => {
  const read = async (content: string, source: Omit<SourceSettings, 'path'> = {}) => {
    const { folder, opened } = await chatsOf('a.jsonl', content, source);
    const { corpus, tokenizer } = await prepareTokenizer(ofModel(folder), opened);
    const counts = noCounts();
    return { chats: await all(tokenChunks(corpus, corpus.training, tokenizer, { counts })), counts };
  };

  it('without a chat are refused by line, or passed over and counted', async () => {
    const content = `${lines}\n{"messages":null}\n{"text":"x"}\n`;
    expect((await rejection(read(content))).message).toMatch(/^line 6 .*a\.jsonl: "messages" is null, not a list/);
    const { chats, counts } = await read(content, { emptyRows: 'skip' });
    expect(chats).toHaveLength(marked.length);
    expect(counts.chatsWithoutLoss).toBe(1); // "without an answer"
    expect(counts.rowsWithoutText).toBe(2);
  });

  it.each([{}, { field: 'messages' }, { messages: 'chats' }])(
    'read as %j lead to the field that has chats',
    async (source) => {
      const { opened } = await chatsOf('a.jsonl', lines, { messages: null, ...source });
      const { message } = await rejection(prepareTokenizer({ kind: 'bytes' }, opened));
      expect(message).toMatch(/To train on the chats in "messages", write messages: messages \(docs\/chat\.md\)\.$/);
    },
  );

  it('with a key twice in a message are refused by line', async () => {
    const { message } = await rejection(read('{"messages":[{"role":"user","content":"a","content":"b"}]}'));
    expect(message).toMatch(/^line 1 .* has the key "content" twice in one object/);
  });

  it('that a template refuses are named', async () => {
    const raising = '{{ raise_exception("no system here") if messages[0].role == "system" else messages[0].content }}';
    const { folder, opened } = await chatsOf('a.jsonl', lines);
    const own = path.join(await folderOf({ 'own.jinja': raising }), 'own.jinja');
    const { message } = await rejection(prepareTokenizer({ ...ofModel(folder), chatTemplate: own }, opened));
    expect(message).toMatch(/^line 2 .*a\.jsonl: "messages": the chat template .* it says "no system here"\.$/);
  });

  it('of other formats are refused', async () => {
    const { message } = await rejection(chatsOf('a.csv', 'messages\nx\n'));
    expect(message).toMatch(
      /a\.csv: chats \(messages in corpus\.sources\) are read from JSON lines and Parquet, not csv/,
    );
  });
});
