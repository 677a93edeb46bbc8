/** Tokenizers to GGUF's metadata and back: the ids of every text are the same, and what llama.cpp lacks is refused. */
import { describe, expect, it } from 'vitest';
import { bytesTokenizer } from '../../src/data/tokenizers/bytes.ts';
import { charactersTokenizer } from '../../src/data/tokenizers/characters.ts';
import type { Tokenizer } from '../../src/data/tokenizers/tokenizer.ts';
import { tokenizerFromFile, withChat } from '../../src/data/tokenizers/tokenizerFile.ts';
import type { MetadataValue } from '../../src/gguf/file/metadata.ts';
import { metadataReader } from '../../src/gguf/metadataReader.ts';
import { readTokenizer } from '../../src/gguf/readTokenizer.ts';
import { mergesOf, scoresOf } from '../../src/gguf/sentencePiece.ts';
import { tokenizerMetadata } from '../../src/gguf/tokenizerMetadata.ts';
import { wrongInputMessage } from '../config/configFolder.ts';
import { fixture, fixtures } from '../data/tokenizers/bpe/fixtures.ts';

const read = (entries: readonly [string, MetadataValue][]): Tokenizer =>
  readTokenizer(metadataReader(new Map(entries), []), 'model.gguf');
const again = (tokenizer: Tokenizer, padding = 0): Tokenizer =>
  read(tokenizerMetadata(tokenizer, tokenizer.vocabularySize + padding).entries);
const metadatum = (tokenizer: Tokenizer, key: string, padding = 0): unknown =>
  new Map(tokenizerMetadata(tokenizer, tokenizer.vocabularySize + padding).entries).get(`tokenizer.${key}`)?.value;

interface Json {
  model: { ignore_merges?: boolean; vocab: Record<string, number>; merges: (string | [string, string])[] };
  added_tokens: object[];
  [key: string]: unknown;
}
const jsonOf = (name: string): Json => structuredClone(fixture(name).tokenizer) as Json;
const tokenizerOf = (json: object): Tokenizer => tokenizerFromFile(JSON.stringify(json), 'tokenizer.json');

describe('a tokenizer to GGUF and back', () => {
  const pre: Record<string, string> = {
    ...{ gpt2: 'gpt-2', llama2: 'default', llama3: 'llama-bpe', o200k: 'gpt-4o', qwen2: 'qwen2', smollm: 'smollm' },
  };

  it.each(fixtures.filter(({ name }) => name in pre))('$name has the ids of Hugging Face', ({ name, cases }) => {
    const tokenizer = tokenizerOf(jsonOf(name));
    expect(metadatum(tokenizer, 'ggml.pre')).toBe(pre[name]);
    const imported = again(tokenizer, 3);
    expect(imported.vocabularySize).toBe(tokenizer.vocabularySize);
    expect(imported.endOfText).toBe(tokenizer.endOfText);
    expect(cases.length).toBeGreaterThan(10);
    for (const { text, ids, idsWithSpecialTokens } of cases) {
      expect([...imported.encode(text)], text).toEqual(ids);
      expect([...imported.encode(text, { specialTokens: true })], text).toEqual(idsWithSpecialTokens);
      expect(imported.decode(ids)).toBe(tokenizer.decode(ids));
    }
  });

  it('of Llama 3’s pattern without ignore_merges has another name', () => {
    const json = jsonOf('llama3');
    json.model.ignore_merges = false;
    const tokenizer = tokenizerOf(json);
    expect(metadatum(tokenizer, 'ggml.pre')).toBe('smaug-bpe');
    expect([...again(tokenizer).encode('whale 1234')]).toEqual([...tokenizer.encode('whale 1234')]);
  });

  it.each([true, false])('of bytes is one again (end of text: %s)', (endOfText) => {
    const tokenizer = bytesTokenizer({ endOfText });
    const imported = again(tokenizer, endOfText ? 0 : 1);
    expect(imported.toJSON()).toEqual(tokenizer.toJSON());
    expect(metadatum(tokenizer, 'ggml.eos_token_id', 1)).toBe(256); // without an end of text, the row without a token
  });

  it.each([true, false])('of characters is one again (end of text: %s)', (endOfText) => {
    const tokenizer = charactersTokenizer('\n abéĠ‘’鯨🐋', { endOfText });
    expect(again(tokenizer, 1).toJSON()).toEqual(tokenizer.toJSON());
    const merges = metadatum(tokenizer, 'ggml.merges') as string[];
    expect(merges).toEqual(['Ã ©', 'Ä ł', 'â Ģ', 'âĢ ĺ', 'âĢ Ļ', 'é ¯', 'é¯ ¨', 'ð Ł', 'ðŁ Ĳ', 'ðŁĲ ĭ']);
  });

  it('keeps its chat template, and the tokens by their names in it', () => {
    const json = jsonOf('llama3');
    const plain = tokenizerFromFile(JSON.stringify(json), 'tokenizer.json');
    const [start, end] = [plain.encode('')[0]!, plain.endOfText!];
    const spelt = (id: number): string => Buffer.from(plain.spelling(id)).toString();
    const specialTokens = { bos_token: spelt(start), eos_token: spelt(end) };
    const tokenizer = withChat(plain, { template: '{{ bos_token }}x{{ eos_token }}', specialTokens });
    expect(tokenizerMetadata(tokenizer, tokenizer.vocabularySize).warnings).toEqual([]);
    expect(again(tokenizer).chat).toEqual(tokenizer.chat);
    expect(metadatum(tokenizer, 'ggml.add_bos_token')).toBe(true);
    expect(metadatum(tokenizer, 'ggml.bos_token_id')).toBe(start);
    const other = withChat(plain, { template: '{{ bos_token }}', specialTokens: { bos_token: '' } });
    expect(tokenizerMetadata(other, other.vocabularySize).warnings.join()).toMatch(
      /bos_token of the chat template is ""/,
    );
  });

  it('keeps further ends of completions', () => {
    const plain = tokenizerOf(jsonOf('qwen2'));
    const specials = [...Array(plain.vocabularySize).keys()].filter((id) => plain.byteLengths[id] === 0);
    const [first, ...others] = specials;
    const end = Buffer.from(plain.spelling(first!)).toString();
    const tokenizer = tokenizerFromFile(JSON.stringify(jsonOf('qwen2')), 'tokenizer.json', end, others.slice(0, 2));
    expect(again(tokenizer).endOfText).toBe(first);
    expect(again(tokenizer).otherEnds).toEqual(others.slice(0, 2));
  });
});

describe('a tokenizer that llama.cpp does not have', () => {
  it.each<[string, string, (json: Json) => object, RegExp]>([
    ['a space before texts', 'roberta', (json) => ({ ...json, added_tokens: [] }), /add_prefix_space/],
    ['a token that takes spaces along', 'roberta', (json) => json, /the added token ".*" with [lr]strip/],
    [
      'digits in groups',
      'smollm',
      (json) => {
        const [digits, step] = (json['pre_tokenizer'] as { pretokenizers: object[] }).pretokenizers;
        return {
          ...json,
          pre_tokenizer: { type: 'Sequence', pretokenizers: [{ ...digits, individual_digits: false }, step] },
        };
      },
      /Digits that does not split every digit first/,
    ],
    [
      'no split pattern',
      'gpt2',
      (json) => ({ ...json, pre_tokenizer: { ...(json['pre_tokenizer'] as object), use_regex: false } }),
      /no split pattern in its pre_tokenizer/,
    ],
    [
      'words that its merges do not make',
      'gpt2',
      (json) => {
        json.model.ignore_merges = true;
        json.model.merges = json.model.merges.slice(0, -20);
        return json;
      },
      /the split pattern gpt2 with ignore_merges/,
    ],
    ['Metaspace', 'llama2', metaspace, /Metaspace with prepend_scheme first and split false/],
  ])('%s', (_, name, change, message) => {
    const tokenizer = tokenizerOf(change(jsonOf(name)));
    expect(wrongInputMessage(() => tokenizerMetadata(tokenizer, tokenizer.vocabularySize))).toMatch(message);
  });

  function metaspace(json: Json): object {
    const step = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: false };
    return { ...json, normalizer: null, pre_tokenizer: step };
  }
});

describe('merges and scores', () => {
  it('that do not stand for each other are told apart', () => {
    const tokens = new Map(['a', 'b', 'ab', 'ba', 'aba'].map((token, id) => [token, id]));
    const merges = mergesOf(
      tokens,
      new Map([
        [2, -1],
        [3, -2],
        [4, -3],
      ]),
    );
    expect(merges).toEqual([
      ['a', 'b'],
      ['b', 'a'],
      ['a', 'ba'],
      ['ab', 'a'],
    ]);
    expect(scoresOf(tokens, merges)).toEqual(
      new Map([
        [2, 0],
        [3, -1],
        [4, -2],
        [0, -5],
        [1, -5],
      ]),
    );
    expect(scoresOf(tokens, merges.slice(0, 3))).toMatch(/no merge of "ab a"/);
    const [first, second, third, fourth] = merges;
    expect(scoresOf(tokens, [first!, third!, second!, fourth!])).toMatch(/merges of "aba" between/);
  });
});
