/** Preference pairs have the tokens of TRL: prompt, chosen and rejected completion, of texts and of messages. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCorpus } from '../../../src/data/files/openCorpus.ts';
import { noCounts } from '../../../src/data/files/utf8Chunks.ts';
import { prepareTokenizer } from '../../../src/data/tokens/prepareTokenizer.ts';
import { tokenChunks } from '../../../src/data/tokens/tokens.ts';
import { all, folderOf } from '../texts.ts';

const read = (name: string) => JSON.parse(readFileSync(path.join(import.meta.dirname, 'fixtures', name), 'utf8'));
const chats = read('chats.json');

interface Case {
  template: string | null;
  row: object;
  promptIds: number[];
  chosenIds: number[];
  rejectedIds: number[];
}
const cases: Case[] = read('preferences.json');

/** The tokens of one pair, and what was counted. */
async function encoded({ template, row }: Case) {
  const folder = await folderOf({
    'a.jsonl': JSON.stringify(row),
    'v.jsonl': JSON.stringify(row),
    'tokenizer.json': JSON.stringify(chats.tokenizer),
    'tokenizer_config.json': JSON.stringify({ bos_token: '<|begin|>', eos_token: '<|end|>' }),
    ...(template && { 'chat_template.jinja': chats.templates[template] }),
  });
  const prompt = 'prompt' in row ? 'prompt' : null;
  const opened = await openCorpus({
    sources: [{ path: path.join(folder, 'a.jsonl'), prompt, chosen: 'chosen', rejected: 'rejected' }],
    validation: { path: path.join(folder, 'v.jsonl') },
    shuffleTokens: 1024,
  });
  const choice = { kind: 'file', path: path.join(folder, 'tokenizer.json'), endOfText: '<|end|>' } as const;
  const { corpus, tokenizer } = await prepareTokenizer(choice, opened);
  const counts = noCounts();
  const rows = await all(tokenChunks(corpus, corpus.training, tokenizer, { counts }));
  return { rows, counts };
}

describe('as TRL tokenizes them', () => {
  it.each(cases)('$template $row', async (expected) => {
    const { rows, counts } = await encoded(expected);
    const { promptIds, chosenIds, rejectedIds } = expected;
    expect(rows.map(({ tokenIds }) => [...tokenIds])).toEqual([
      [...promptIds, ...chosenIds],
      [...promptIds, ...rejectedIds],
    ]);
    for (const { tokenIds, lossMask } of rows)
      expect([...lossMask!]).toEqual(Array.from(tokenIds, (_, i) => (i < promptIds.length ? 0 : 1)));
    expect(counts.emptyDocuments).toBe(0);
  });

  it('counts the prompts whose end has other tokens when a completion follows', async () => {
    const cut = await Promise.all(cases.map(async (each) => (await encoded(each)).counts.cutPrompts ?? 0));
    expect(cut.filter((count) => count === 1).length).toBeGreaterThan(1);
    expect(cut.filter((count) => count === 0).length).toBeGreaterThan(1);
    expect(cut[2]).toBe(1); // "said: w" and "hat" together are "said: what"
  });
});
