import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { checkCorpus } from '../../../src/data/check/checkCorpus.ts';
import { openCorpus } from '../../../src/data/files/openCorpus.ts';
import type { CorpusSettings } from '../../../src/data/files/openCorpus.ts';
import { prepareTokenizer } from '../../../src/data/tokens/prepareTokenizer.ts';
import { folderOf } from '../texts.ts';

const options = { seed: 5, contextLength: 4, microBatchSize: 1, shuffleTokens: 1024, examples: 2 };

async function checked(
  files: Record<string, string>,
  settings: (folder: string) => Omit<CorpusSettings, 'shuffleTokens'>,
) {
  const corpus = await openCorpus({ ...settings(await folderOf(files)), shuffleTokens: 1024 });
  return checkCorpus(corpus, await prepareTokenizer({ kind: 'characters' }, corpus), options);
}

const long = 'a line that is long enough to be looked for in the other part';

describe('data check', () => {
  test('counts every file of running text as a document, and shifts the targets of its examples', async () => {
    const { examples, ...check } = await checked(
      { 'a.txt': `${long} é\n`, 'b.txt': `${long} €\n${long}\n` },
      (folder) => ({
        sources: [{ path: folder }],
        validation: { tail: 0.3 },
      }),
    );
    const bytes = Buffer.byteLength(`${long} é\n${long} €\n${long}\n`);
    expect(check).toMatchObject({ documents: 2, bytes, tokens: bytes - 3, duplicates: 0, learntShare: 1 });
    expect(check.vocabularySize).toBe(new Set(`${long} é€\n`).size);
    expect(check.training.bytes + check.validation.bytes).toBe(bytes);
    expect(check.validation).toMatchObject({ documents: 0 });
    expect(examples).toHaveLength(2);
    for (const { tokens, targets, learnt } of examples) {
      expect(tokens.slice(1)).toEqual(targets.slice(0, -1));
      expect(learnt).toEqual([true, true, true, true]);
      expect(`${long} é\n${long} €\n`).toContain(tokens.join('') + targets.at(-1));
    }
  });

  test('finds duplicates, empty documents and validation text that is also trained on', async () => {
    const rows = ['one', 'two', 'one', '', long].map((text) => JSON.stringify({ text })).join('\n');
    const check = await checked(
      { 'a.jsonl': rows, 'own.jsonl': [long, 'new'].map((text) => JSON.stringify({ text })).join('\n') },
      (folder) => ({
        sources: [{ path: join(folder, 'a.jsonl') }],
        validation: { path: join(folder, 'own.jsonl') },
      }),
    );
    expect(check).toMatchObject({
      documents: 6,
      bytes: 9 + 2 * long.length + 3,
      tokens: 9 + 2 * long.length + 3 + 6, // and six ends of text
      duplicates: 2,
      emptyDocuments: 1,
      overlap: { documents: 1, lines: 1, ofLines: 1, share: 1, everyLine: 1 },
      training: { documents: 4 },
      validation: { documents: 2 },
    });
    expect(check.duplicateExamples.map(({ at, of }) => [at.line, of.line])).toEqual([
      [3, 1], // "one"
      [5, 1], // the long line, which own.jsonl has too
    ]);
    expect(check.duplicateExamples[1]!.of.path).toMatch(/own\.jsonl$/);
  });

  test('reports the share of tokens that count towards the loss', async () => {
    const pair = JSON.stringify({ q: '12345', a: '6789' });
    const check = await checked({ 'a.jsonl': `${pair}\n`.repeat(3) }, (folder) => ({
      sources: [{ path: folder, prompt: 'q', completion: 'a' }],
      validation: { tail: 0.3 },
    }));
    expect(check.learntShare).toBe(0.5); // four characters and the end of text of ten tokens
    expect(check.examples[0]!.learnt).toContain(false);
    expect(check.documents).toBe(3);
  });
});
