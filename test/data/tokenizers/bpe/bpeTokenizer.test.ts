import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { longestHeldBytes } from '../../../../src/data/tokenizers/tokenizer.ts';
import type { Tokenizer } from '../../../../src/data/tokenizers/tokenizer.ts';
import { renderTokenizer, tokenizerFromFile } from '../../../../src/data/tokenizers/tokenizerFile.ts';
import { fixture, fixtures } from './fixtures.ts';

const tokenizerOf = (name: string): Tokenizer =>
  tokenizerFromFile(JSON.stringify(fixture(name).tokenizer), `${name}.json`);
const everyTokenizer = new Map(fixtures.map(({ name }) => [name, tokenizerOf(name)]));
const origin = { location: (index: number) => `at byte ${index}`, remedy: 'Fix it.' };
const anyText = fc.string({ unit: 'binary', maxLength: 60 });
/** Much of what patterns look at. */
const busyText = fc
  .array(
    fc.constantFrom(
      ' ',
      '  ',
      '\n',
      '\r\n',
      '\t',
      "'s",
      "'LL",
      "'",
      'a',
      'Bc',
      'é',
      '漢',
      'Ж',
      '1',
      '٣',
      '.',
      '?!',
      '👩🏽‍🚀',
      '\u00a0',
      '<|endoftext|>',
      '▁',
    ),
    { maxLength: 60 },
  )
  .map((pieces) => pieces.join(''));

/** Encodes a text in chunks that end where `cuts` says, at characters. */
function encodedInChunks(tokenizer: Tokenizer, text: string, nextChunk: (left: number) => number): number[] {
  const utf8 = Buffer.from(text);
  const tokenIds: number[] = [];
  let start = 0;
  let end = 0;
  let startsText = true;
  do {
    end = Math.min(utf8.length, end + nextChunk(utf8.length - end));
    while (end < utf8.length && (utf8[end]! & 0xc0) === 0x80) end++;
    const chunk = tokenizer.encodeChunk(
      utf8.subarray(start, end),
      { startsText, endsText: end === utf8.length },
      origin,
    );
    if (end - start >= longestHeldBytes) expect(chunk.bytes).toBeGreaterThan(0);
    tokenIds.push(...chunk.tokenIds);
    start += chunk.bytes;
    if (start > 0) startsText = false;
  } while (end < utf8.length);
  expect(start).toBe(utf8.length);
  return tokenIds;
}

describe.each(fixtures)('$name', ({ name, cases }) => {
  const tokenizer = everyTokenizer.get(name)!;

  test.each(cases)('yields the ids of Hugging Face: $text', ({ text, ids, idsWithSpecialTokens }) => {
    expect([...tokenizer.encode(text)]).toEqual(ids);
    expect([...tokenizer.encode(text, { specialTokens: true })]).toEqual(idsWithSpecialTokens);
  });

  test('distinguishes special tokens from text in at least one case', () => {
    expect(cases.some(({ ids, idsWithSpecialTokens }) => ids.length > idsWithSpecialTokens.length)).toBe(true);
  });

  test('decodes to the text that was encoded, whole and as a stream', () => {
    const expected = (text: string): string => {
      if (name === 'qwen2') return text.normalize('NFC');
      if (name === 'llama2') return text.replaceAll('▁', ' ');
      return name === 'roberta' && text !== '' && !text.startsWith(' ') ? ` ${text}` : text;
    };
    fc.assert(
      fc.property(fc.oneof(anyText, busyText), (text) => {
        const tokenIds = tokenizer.encode(text);
        expect(tokenizer.decode(tokenIds)).toBe(expected(text));
        const decoder = tokenizer.decoder();
        expect(Array.from(tokenIds, (id) => decoder.write(id)).join('') + decoder.end()).toBe(expected(text));
      }),
      { numRuns: 150 },
    );
  });

  test('is the same after writing and reading', () => {
    const copy = tokenizerFromFile(renderTokenizer(tokenizer), 'copy.json');
    expect(copy.toJSON()).toEqual(fixture(name).tokenizer);
    expect(copy.endOfText).toBe(tokenizer.endOfText);
  });

  test('yields the same ids in chunks of any size', () => {
    const seam = 'word '.repeat(longestHeldBytes / 5 - 10);
    fc.assert(
      fc.property(busyText, busyText, fc.integer({ min: 2000, max: 40_000 }), (before, after, size) => {
        for (const text of [before + after, seam + before + after, before + 'a'.repeat(longestHeldBytes) + after]) {
          expect(encodedInChunks(tokenizer, text, () => size)).toEqual([...tokenizer.encode(text)]);
        }
      }),
      { numRuns: 3 },
    );
  });
});

describe('byte-level BPE', () => {
  const tokenizer = everyTokenizer.get('gpt2')!;

  test('has byte lengths that add up to the text', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const bytes = tokenizer.encode(text).reduce((sum, id) => sum + tokenizer.byteLengths[id]!, 0);
        expect(bytes).toBe(Buffer.byteLength(text));
      }),
    );
  });

  test('holds back incomplete characters, and spells special tokens only if asked', () => {
    const ids = [...tokenizer.encode('龘')];
    expect(ids.length).toBeGreaterThan(1);
    const decoder = tokenizer.decoder();
    expect(ids.map((id) => decoder.write(id))).toEqual([...ids.slice(1).map(() => ''), '龘']);
    const end = tokenizer.endOfText!;
    expect(tokenizer.decode([end, ...ids, end])).toBe('龘');
    expect(tokenizer.decode([end, ids[0]!, end], { specialTokens: true })).toBe('<|endoftext|>\uFFFD<|endoftext|>');
    expect(tokenizer.byteLengths[end]).toBe(0);
  });

  test('resumes at any cut with the same ids', () => {
    const text = 'Some words, 12 numbers; and\nlines.\n'.repeat(9000);
    const utf8 = Buffer.from(text);
    const first = tokenizer.encodeChunk(utf8.subarray(0, 200_000), { startsText: true, endsText: false }, origin);
    expect(first.bytes).toBeGreaterThan(100_000);
    const rest = tokenizer.encodeChunk(utf8.subarray(first.bytes), { startsText: false, endsText: true }, origin);
    expect([...first.tokenIds, ...rest.tokenIds]).toEqual([...tokenizer.encode(text)]);
  });

  test.each([
    ['one letter', 'a'],
    ['two letters', 'ab'],
    ['spaces', ' '],
    ['spaces and line ends', ' \n'],
    ['apostrophes', "'"],
    ['digits', '1'],
    ['marks', 'e\u0301\u0301'],
    ['emoji', '👩🏽‍🚀'],
  ])('encodes 200 kB of %s in little time', (_, unit) => {
    const text = unit.repeat(200_000 / Buffer.byteLength(unit));
    for (const [name, each] of everyTokenizer) {
      const before = process.cpuUsage(); // of the processor: the machine may be busy
      each.encode(text);
      expect(process.cpuUsage(before).user / 1000, name).toBeLessThan(1000); // what is quadratic takes minutes
    }
  });

  test('refuses lone surrogates and ids it does not have', () => {
    expect(() => tokenizer.encode('a\uD800')).toThrow('a lone surrogate (U+D800) at character 1.');
    expect(() => tokenizer.decode([tokenizer.vocabularySize])).toThrow('is not a token id');
  });
});
