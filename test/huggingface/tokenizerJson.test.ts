import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { tokenizerFromFile } from '../../src/data/tokenizers/tokenizerFile.ts';
import { bytesTokenizer } from '../../src/data/tokenizers/bytes.ts';
import { charactersTokenizer } from '../../src/data/tokenizers/characters.ts';
import type { Tokenizer } from '../../src/data/tokenizers/tokenizer.ts';
import { endIds, readTokenizerJson, startOfText, tokenizerFiles } from '../../src/huggingface/tokenizerJson.ts';

test('an exported BPE keeps its file, except for the field that only clm knows', () => {
  const { tokenizer: file } = JSON.parse(
    readFileSync(new URL('../data/tokenizers/fixtures/llama2.json', import.meta.url), 'utf8'),
  );
  const tokenizer = tokenizerFromFile(JSON.stringify(file), 't.json', '<unk>');
  expect(tokenizer.toJSON()).toHaveProperty('clm.endOfText', '<unk>');
  const files = tokenizerFiles(tokenizer, 64);
  expect(JSON.parse(files['tokenizer.json']!)).toEqual(file);
  expect(JSON.parse(files['tokenizer_config.json']!)).toMatchObject({ eos_token: '<unk>', model_max_length: 64 });
});

test('an export names the token that the tokenizer puts before texts as bos_token, else the one that ends them', () => {
  const { tokenizer: file } = JSON.parse(
    readFileSync(new URL('../data/tokenizers/fixtures/llama2.json', import.meta.url), 'utf8'),
  );
  const settings = (tokenizer: Tokenizer) => JSON.parse(tokenizerFiles(tokenizer, 64)['tokenizer_config.json']!);
  const llama = tokenizerFromFile(JSON.stringify(file), 't.json');
  expect(settings(llama)).toMatchObject({ bos_token: '<s>', eos_token: '</s>' });
  expect([startOfText(llama), llama.endOfText]).toEqual([1, 2]);
  const bytes = bytesTokenizer({ endOfText: true });
  expect(settings(bytes).bos_token).toBe(settings(bytes).eos_token);
  expect(settings(bytesTokenizer({ endOfText: false }))).not.toHaveProperty('bos_token');
});

test.each([
  ['characters', charactersTokenizer('\n"09\\azé漢😀')],
  ['characters that end documents', charactersTokenizer('\n 09az', { endOfText: true })],
  ['bytes', bytesTokenizer({ endOfText: true })],
])('an export is read back with the same ids: %s', (_, tokenizer) => {
  const again = readTokenizerJson(tokenizerFiles(tokenizer, 64)['tokenizer.json']!, 'tokenizer.json', []);
  expect(again).toMatchObject({ vocabularySize: tokenizer.vocabularySize, endOfText: tokenizer.endOfText });
  const text = 'a0z9\na';
  expect(again.encode(text)).toEqual(tokenizer.encode(text));
  const every = Array.from({ length: tokenizer.vocabularySize }, (_, id) => id);
  expect(again.decode(every)).toBe(tokenizer.decode(every));
  if (tokenizer.kind === 'characters') expect(again.toJSON()).toEqual(tokenizer.toJSON());
});

test('the end-of-text token is the first that config.json names and the file has; the others end completions', () => {
  const { tokenizer: file } = JSON.parse(
    readFileSync(new URL('../data/tokenizers/fixtures/llama2.json', import.meta.url), 'utf8'),
  );
  const read = (ends: number[]) => readTokenizerJson(JSON.stringify(file), 'tokenizer.json', ends);
  const end = (...ends: number[]) => read(ends).endOfText;
  expect(end()).toBe(2); // </s>, the usual one
  expect(end(1)).toBe(1);
  expect(end(5)).toBe(5); // an ordinary token
  expect(end(9_999_999)).toBe(2); // no token
  const several = read([1, 2, 5]);
  expect([several.endOfText, several.otherEnds, endIds(several)]).toEqual([1, [2, 5], [1, 2, 5]]);
  const again = tokenizerFromFile(JSON.stringify(several.toJSON()), 't.json');
  expect([again.endOfText, again.otherEnds]).toEqual([1, [2, 5]]);
  expect(JSON.parse(tokenizerFiles(several, 64)['tokenizer.json']!)).toEqual(file);
});
