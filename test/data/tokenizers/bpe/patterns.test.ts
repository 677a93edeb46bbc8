import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { characterFlags, letter, number, space } from '../../../../src/data/tokenizers/bpe/characterClasses.ts';
import { mergeTable } from '../../../../src/data/tokenizers/bpe/mergeTable.ts';
import { wordMerger } from '../../../../src/data/tokenizers/bpe/mergeWord.ts';
import { digitsScanner, patterns } from '../../../../src/data/tokenizers/bpe/patterns.ts';
import type { WordEnd } from '../../../../src/data/tokenizers/bpe/patterns.ts';

/** The expression for JavaScript: \s is White_Space, and letters of (?i:…) stand in both cases. */
function javaScript(expression: string): RegExp {
  const anyCase = (group: string) =>
    group.replace(/[a-z]/g, (letter) => (letter === 's' ? '[sSſ]' : `[${letter}${letter.toUpperCase()}]`));
  const source = expression
    .replace(/\(\?i:([^)]*)\)/g, (_, group: string) => `(?:${anyCase(group)})`)
    .replaceAll('[^\\s', '[^\\p{White_Space}')
    .replaceAll('\\S', '\\P{White_Space}')
    .replaceAll('\\s', '\\p{White_Space}');
  return new RegExp(source, 'gu');
}

function words(scanner: WordEnd, text: string): string[] {
  const utf8 = Buffer.from(text);
  const found: string[] = [];
  for (let at = 0; at < utf8.length; ) {
    const end = scanner(utf8, at, utf8.length);
    found.push(utf8.toString('utf8', at, end));
    at = end;
  }
  return found;
}

const texts = fc.oneof(
  fc
    .array(
      fc.constantFrom(
        ' ',
        '  ',
        '\n',
        '\r',
        '\t',
        '\u00a0',
        '\u3000',
        "'",
        's',
        'S',
        't',
        'RE',
        've',
        'lL',
        'd',
        'ſ',
        'é',
        'É',
        'ǅ',
        'ʰ',
        '漢',
        '1',
        '²',
        '٣',
        '.',
        '/',
        '👩',
        '\u0301',
      ),
      { maxLength: 25 },
    )
    .map((pieces) => pieces.join('')),
  fc.string({ unit: 'binary', maxLength: 25 }),
);

describe('the scanners of patterns', () => {
  const all = patterns.flatMap(({ expressions, scanner }) =>
    expressions.map((expression) => ({ expression, scanner: scanner() })),
  );

  test.each(all)('split like the expression: $expression', ({ expression, scanner }) => {
    const pattern = javaScript(expression);
    fc.assert(
      fc.property(texts, (text) => {
        expect(words(scanner, text)).toEqual(text.match(pattern) ?? []);
      }),
      { numRuns: 2000 },
    );
  });

  test.each([true, false])('split numbers individually: %s', (individually) => {
    const pattern = individually ? /\p{N}|\P{N}+/gu : /\p{N}+|\P{N}+/gu;
    fc.assert(
      fc.property(texts, (text) => {
        expect(words(digitsScanner(individually), text)).toEqual(text.match(pattern) ?? []);
      }),
    );
  });

  test('know the characters of every plane', () => {
    const flags = characterFlags();
    for (let code = 0; code < 0x110000; code += 7) {
      if (code >= 0xd800 && code <= 0xdfff) continue;
      const character = String.fromCodePoint(code);
      const expected =
        (/\p{L}/u.test(character) ? letter : 0) |
        (/\p{N}/u.test(character) ? number : 0) |
        (/\p{White_Space}/u.test(character) ? space : 0);
      if ((flags[code]! & (letter | number | space)) !== expected) throw new Error(`U+${code.toString(16)}`);
    }
  });
});

test('words of any length are merged according to the definition', () => {
  // Tokens 0 and 1, and merges among their results, in an order that makes ranks and positions compete.
  const merges = [
    [1, 1, 2],
    [0, 1, 3],
    [2, 2, 4],
    [3, 3, 5],
    [4, 0, 6],
    [2, 0, 7],
    [5, 5, 8],
    [3, 2, 9],
    [0, 0, 10],
    [10, 3, 11],
  ] as const;
  const merge = wordMerger(mergeTable(merges.map(([left, right, merged]) => ({ left, right, merged }))));
  const byDefinition = (word: number[]): number[] => {
    for (;;) {
      const next = merges.find(([left, right]) => word.some((id, i) => id === left && word[i + 1] === right));
      if (next === undefined) return word;
      const at = word.findIndex((id, i) => id === next[0] && word[i + 1] === next[1]);
      word = [...word.slice(0, at), next[2], ...word.slice(at + 2)];
    }
  };
  let long = 0;
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 1 }), { maxLength: 120, size: 'max' }), (word) => {
      if (word.length > 48) long++;
      const ids = Int32Array.from(word);
      expect([...ids.subarray(0, merge(ids, word.length))]).toEqual(byDefinition(word));
    }),
    { numRuns: 300 },
  );
  expect(long).toBeGreaterThan(50);
});
