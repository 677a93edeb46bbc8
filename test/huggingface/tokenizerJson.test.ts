import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { tokenizerFromFile } from '../../src/data/tokenizers/tokenizerFile.ts';
import { tokenizerFiles } from '../../src/huggingface/tokenizerJson.ts';

test('an exported BPE keeps its file, but for what only clm knows', () => {
  const { tokenizer: file } = JSON.parse(readFileSync(new URL('../data/tokenizers/fixtures/llama2.json', import.meta.url), 'utf8'));
  const tokenizer = tokenizerFromFile(JSON.stringify(file), 't.json', '<unk>');
  expect(tokenizer.toJSON()).toHaveProperty('clm.endOfText', '<unk>');
  const files = tokenizerFiles(tokenizer, 64);
  expect(JSON.parse(files['tokenizer.json']!)).toEqual(file);
  expect(JSON.parse(files['tokenizer_config.json']!)).toMatchObject({ eos_token: '<unk>', model_max_length: 64 });
});
