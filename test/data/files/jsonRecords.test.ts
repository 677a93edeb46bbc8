/** JSON that is not JSON lines is answered with the command that makes it so; text that is too long with what helps. */
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { expect, test } from 'vitest';

import { openCorpus } from '../../../src/data/files/openCorpus.ts';
import { textChunks } from '../../../src/data/files/textChunks.ts';
import type { SourceSettings } from '../../../src/data/files/corpus.ts';
import { all, folderOf, rejection } from '../texts.ts';

async function refusal(name: string, content: string | Uint8Array, source: Partial<SourceSettings> = {}) {
  const folder = await folderOf({ [name]: content });
  const read = async () => {
    const corpus = await openCorpus({
      sources: [{ ...source, path: join(folder, name) }],
      validation: { hash: 0.5 },
      shuffleTokens: 1024,
    });
    await all(textChunks(corpus, { startByte: 0, endByte: corpus.bytes }));
  };
  return (await rejection(read())).message.replaceAll(`${folder}/`, '');
}

const asCommand = (command: string) => `Every line must be one whole JSON object, in a file of its own:\n  ${command}`;

test.each<[string, string | Uint8Array, string]>([
  ['a.json', '[{"text":"a"},{"text":"b"}]\n', "jq -c '.[]' < a.json > a.lines.jsonl"],
  ['a.json', '[\n  {"text":"a"}\n]\n', "jq -c '.[]' < a.json > a.lines.jsonl"],
  ['a.json', '["a",\n"b"]\n', `jq -c '.[] | {"text": .}' < a.json > a.lines.jsonl`],
  ['a.json', '["a","b"]\n', `jq -c '.[] | {"text": .}' < a.json > a.lines.jsonl`],
  ['a.json', '{\n  "text": "a"\n}\n', 'jq -c . < a.json > a.lines.jsonl'],
  ['d.json', '{"version":1,"data":[{"text":"a"}]}\n', `jq -c '.["data"][]' < d.json > d.lines.jsonl`],
  ['a.json.gz', gzipSync('[{"text":"a"}]\n'), "gzip -dc < a.json.gz | jq -c '.[]' > a.lines.jsonl"],
])('%s: %s', async (name, content, command) => {
  expect(await refusal(name, content)).toContain(asCommand(command));
});

test.each([
  ['NaN', '{"text":"hello","score":NaN}'],
  ['-Infinity', '{"text":"NaN","score":-Infinity}'],
])('%s is named, with a command that replaces it', async (word, line) => {
  const message = await refusal('n.jsonl', `{"text":"a"}\n${line}\n`);
  expect(message).toContain(`line 2 (byte 13) of n.jsonl is not valid JSON: JSON has no ${word} (Python`);
  expect(message).toMatch(/python3 -c '.*' < n\.jsonl > n\.lines\.jsonl$/);
});

test.each([
  [`{'text': 'a'}`, 'single quotes'],
  ['{"text": "None", "label": None}', 'None'],
])('%s is named as what Python prints', async (line, word) => {
  expect(await refusal('p.jsonl', line)).toContain(`it is written as Python prints a dict (${word})`);
});

test('an array, a record and a document over 64 MiB are each advised for their format', async () => {
  const long = 'a'.repeat(64 * 1024 * 1024 + 1);
  const sayings = await Promise.all([
    refusal('a.json', `[{"text":"${long}"}]`),
    refusal('a.tsv', `text\n"${long}`),
    refusal('a.txt', long, { separator: '\n\n' }),
  ]);
  for (const [i, advice] of ["jq -c '.[]' < a.json", 'a quote opens a field', 'Choose another separator'].entries()) {
    expect(sayings[i]).toContain('is longer than 64 MiB');
    expect(sayings[i]).toContain(advice);
    expect(sayings[i]).not.toContain('format: text');
  }
});
