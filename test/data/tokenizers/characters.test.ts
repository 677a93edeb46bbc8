import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { characterCensus, charactersTokenizer } from '../../../src/data/tokenizers/characters.ts';
import { wrongInput } from '../../../src/errors.ts';

const origin = { location: (index: number) => `at byte ${index} of a.txt`, remedy: 'Restore it.' };

function tokenizerOf(text: string) {
  const census = characterCensus();
  census.count(Buffer.from(text));
  return charactersTokenizer(census.characters());
}

describe('the census', () => {
  test('lists each code point once, in ascending order, and counts characters', () => {
    const census = characterCensus();
    expect(census.count(Buffer.from('ba😀'))).toBe(3);
    expect(census.count(Buffer.from('€a\n\uFFFFé'))).toBe(5);
    expect(census.characters()).toBe('\nabé€\uFFFF😀'); // UTF-16 order would put 😀 before U+FFFF
  });
});

describe('characters', () => {
  test('have ids in the order of code points', () => {
    const tokenizer = tokenizerOf('hello 😀é');
    expect([...tokenizer.encode('he😀 é')]).toEqual([2, 1, 6, 0, 5]);
    expect(tokenizer.vocabularySize).toBe(7);
    expect([...tokenizer.byteLengths]).toEqual([1, 1, 1, 1, 1, 2, 4]);
  });

  test('decode to the text that was encoded, whole and as a stream, and their lengths add up to its bytes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 23 }), (text) => {
        const tokenizer = tokenizerOf(text);
        const tokenIds = tokenizer.encode(text);
        expect(tokenIds).toHaveLength([...text].length);
        expect(tokenizer.encodeUtf8(Buffer.from(text), origin)).toEqual(tokenIds);
        expect(tokenizer.decode(tokenIds)).toBe(text);
        const decoder = tokenizer.decoder();
        expect(Array.from(tokenIds, (id) => decoder.write(id)).join('') + decoder.end()).toBe(text);
        expect(tokenIds.reduce((bytes, id) => bytes + tokenizer.byteLengths[id]!, 0)).toBe(Buffer.byteLength(text));
      }),
      { numRuns: 30 },
    );
  });

  test.each([
    ['é', 'é', 'U+00E9'],
    ['😀', '😀', 'U+1F600'],
    ['\t', '\\t', 'U+0009'],
    ['c', 'c', 'U+0063'],
  ])('that are not in the vocabulary are wrong input: %j', (character, shown, name) => {
    const tokenizer = tokenizerOf('ab€');
    expect(() => tokenizer.encode(`a€${character}`)).toThrow(
      wrongInput(
        `The character "${shown}" (${name}) at character 2 of the text is not in the vocabulary: ` +
          'the model was trained without it. Leave it out, or train on a corpus that contains it.',
      ),
    );
    expect(() => tokenizer.encodeUtf8(Buffer.from(`a€${character}`), origin)).toThrow(
      wrongInput(
        `The character "${shown}" (${name}) at byte 4 of a.txt is not in the vocabulary: ` +
          'the model was trained without it. Restore it.',
      ),
    );
  });

  test('refuse lone surrogates and ids outside the vocabulary', () => {
    const tokenizer = tokenizerOf('ab\uFFFD');
    expect(() => tokenizer.encode('a\uDC00')).toThrow('a lone surrogate (U+DC00) at character 1.');
    expect(() => tokenizer.decode([0, 3])).toThrow('3 is not a token id: the vocabulary has the ids 0 … 2.');
    expect(() => tokenizer.decoder().write(-1)).toThrow('-1 is not a token id');
  });
});
