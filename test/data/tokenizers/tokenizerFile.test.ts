import { describe, expect, test } from 'vitest';

import { bytesTokenizer } from '../../../src/data/tokenizers/bytes.ts';
import { charactersTokenizer } from '../../../src/data/tokenizers/characters.ts';
import { renderTokenizer, tokenizerFromFile } from '../../../src/data/tokenizers/tokenizerFile.ts';
import { ExpectedError } from '../../../src/errors.ts';

const characters = '\n "\\aé\u2028\uFEFF😀';

describe('the file of a tokenizer', () => {
  test('is readable JSON', () => {
    expect(renderTokenizer(charactersTokenizer('ab'))).toBe(
      '{\n  "format": "clm-tokenizer",\n  "version": 1,\n  "kind": "characters",\n  "characters": "ab"\n}\n',
    );
  });

  test.each([bytesTokenizer(), charactersTokenizer(characters)])('gives the same tokenizer: $kind', (tokenizer) => {
    const copy = tokenizerFromFile(renderTokenizer(tokenizer), 'tokenizer.json');
    expect(copy.kind).toBe(tokenizer.kind);
    expect(copy.vocabularySize).toBe(tokenizer.vocabularySize);
    expect(copy.encode(characters)).toEqual(tokenizer.encode(characters));
    expect(renderTokenizer(copy)).toBe(renderTokenizer(tokenizer));
  });

  const file = { format: 'clm-tokenizer', version: 1, kind: 'characters', characters: 'ab' };
  test.each([
    ['no JSON', '{', 'tokenizer.json is damaged: it is not JSON. Get a fresh copy of the file.'],
    ['null', 'null', 'tokenizer.json is not a clm tokenizer: its "format" is not "clm-tokenizer".'],
    ['a list', '[]', 'tokenizer.json is not a clm tokenizer: its "format" is not "clm-tokenizer".'],
    ['another format', { ...file, format: 'bpe' }, 'is not a clm tokenizer'],
    ['a later version', { ...file, version: 2 }, 'has version 2 of the tokenizer format; this clm reads version 1.'],
    ['an unknown kind', { ...file, kind: 'words' }, 'tokenizer.json is damaged: "kind": '],
    ['an unknown key', { ...file, extra: 1 }, 'damaged: Unrecognized key: "extra"'],
    ['no characters', { ...file, characters: '' }, '"characters": no characters.'],
    ['characters that are no text', { ...file, characters: ['a'] }, '"characters": '],
    ['a character twice', { ...file, characters: 'aab' }, 'not unique and sorted by code point'],
    ['another order', { ...file, characters: 'ba' }, 'not unique and sorted by code point'],
    ['the order of UTF-16', { ...file, characters: '😀\uFFFF' }, 'not unique and sorted by code point'],
    ['a lone surrogate', { ...file, characters: 'a\uD800' }, '"characters": a lone surrogate.'],
  ])('is refused with %s', (_, content, message) => {
    let error: unknown;
    try {
      tokenizerFromFile(typeof content === 'string' ? content : JSON.stringify(content), 'tokenizer.json');
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(ExpectedError);
    expect((error as Error).message).toContain(message);
  });
});
