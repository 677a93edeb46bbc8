import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { bytesTokenizer } from '../../../src/data/tokenizers/bytes.ts';

const tokenizer = bytesTokenizer();

/** What a streaming decoder gives out for these ids, token by token and at the end. */
function streamed(tokenIds: Iterable<number>): string[] {
  const decoder = tokenizer.decoder();
  return [...Array.from(tokenIds, (id) => decoder.write(id)), decoder.end()];
}

describe('bytes', () => {
  test('are the UTF-8 of the text', () => {
    expect([...tokenizer.encode('aé€')]).toEqual([0x61, 0xc3, 0xa9, 0xe2, 0x82, 0xac]);
    expect([...tokenizer.encodeUtf8(Buffer.from('é'), { location: String, remedy: '' })]).toEqual([0xc3, 0xa9]);
    expect(tokenizer.vocabularySize).toBe(256);
    expect(tokenizer.encode('')).toHaveLength(0);
  });

  test('decode to the text that was encoded, whole and as a stream', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 23 }), (text) => {
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
        expect(streamed(tokenizer.encode(text)).join('')).toBe(text);
      }),
    );
  });

  test('any bytes decode to the same text whole and as a stream', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 23 }), (bytes) => {
        expect(streamed(bytes).join('')).toBe(tokenizer.decode(bytes));
      }),
    );
  });

  test('hold back an incomplete character', () => {
    expect(streamed(tokenizer.encode('a€b'))).toEqual(['a', '', '', '€', 'b', '']);
  });

  test('that do not form a character become U+FFFD', () => {
    expect(streamed([0x61, 0xe2, 0x82])).toEqual(['a', '', '', '\uFFFD']);
    expect(streamed([0xe2, 0x62])).toEqual(['', '\uFFFDb', '']);
    expect(tokenizer.decode([0xff, 0x61])).toBe('\uFFFDa');
  });

  test('keep a U+FEFF at the start', () => {
    expect(tokenizer.decode(tokenizer.encode('\uFEFFa'))).toBe('\uFEFFa');
    expect(streamed(tokenizer.encode('\uFEFFa')).join('')).toBe('\uFEFFa');
  });

  test('refuse a lone surrogate and ids that are not bytes', () => {
    expect(() => tokenizer.encode('😀\uD800')).toThrow(
      'The text is not well formed: a lone surrogate (U+D800) at character 1.',
    );
    for (const id of [-1, 256, 0.5, NaN]) {
      expect(() => tokenizer.decode([id])).toThrow(`${id} is not a token id: the vocabulary has the ids 0 … 255.`);
      expect(() => tokenizer.decoder().write(id)).toThrow('is not a token id');
    }
  });
});
