import { expect, test } from 'vitest';
import { characterOfByte } from '../../../../../src/data/tokenizers/bpe/byteAlphabet.ts';
import { ignoredParts } from '../../../../../src/data/tokenizers/bpe/files/huggingFaceFile.ts';
import { gpt2File } from '../../../../../src/data/tokenizers/bpe/files/gpt2File.ts';
import { tokenizerFromFile } from '../../../../../src/data/tokenizers/tokenizerFile.ts';
import { fixture } from '../fixtures.ts';

// All ids are those of Hugging Face's tokenizers 0.23.3.

const flags = { single_word: false, lstrip: false, rstrip: false };
const ids = (file: object, text: string): string =>
  tokenizerFromFile(JSON.stringify(file), 't.json').encode(text, { specialTokens: true }).join(' ');

const spaces: [string | null, boolean, string[]][] = [
  [
    'first',
    false,
    ['1 702 330 359 366 366 369 1 379 369 375', '1 1024 379 369 375', '1 702 379 369 375 1025 379 369 375', '1'],
  ],
  [
    'first',
    true,
    ['1 702 330 359 366 366 369 1 379 369 375', '1 702 702 379 369 375', '1 702 379 369 375 1025 379 369 375', '1'],
  ],
  [
    'always',
    false,
    [
      '1 702 330 359 366 366 369 1 702 379 369 375',
      '1 1024 379 369 375',
      '1 702 379 369 375 1025 702 379 369 375',
      '1',
    ],
  ],
  [
    'always',
    true,
    [
      '1 702 330 359 366 366 369 1 702 379 369 375',
      '1 702 702 379 369 375',
      '1 702 379 369 375 1025 702 379 369 375',
      '1',
    ],
  ],
  [
    'never',
    false,
    ['1 330 359 366 366 369 1 379 369 375', '1 1024 379 369 375', '1 702 379 369 375 1025 379 369 375', '1'],
  ],
  [
    'never',
    true,
    ['1 330 359 366 366 369 1 379 369 375', '1 702 702 379 369 375', '1 702 379 369 375 1025 379 369 375', '1'],
  ],
  [
    null,
    false,
    [
      '1 702 330 359 366 366 369 1 702 379 369 375',
      '1 1024 702 379 369 375',
      '1 1024 379 369 375 702 269 318 378 320 379 369 375',
      '1',
    ],
  ],
];
test.each(spaces)('Metaspace with prepend_scheme %s, split %s (null: the normalizer Prepend)', (scheme, split, all) => {
  const file = structuredClone(fixture('llama2').tokenizer) as any;
  file.model.vocab['▁▁'] = 1024;
  file.model.merges.unshift(['▁', '▁']);
  file.added_tokens.push({ id: 1025, content: '<x>', ...flags, lstrip: true, normalized: true, special: false });
  if (scheme !== null) {
    file.normalizer = null;
    file.pre_tokenizer = { type: 'Metaspace', replacement: '▁', prepend_scheme: scheme, split };
  }
  expect(['Hello<s>you', '  you', ' you \n<x>you', ''].map((text) => ids(file, text))).toEqual(all);
});

/** Bytes, `<s>` 256 and `</s>` 257, neither of them an added token. */
const byteFile = (changes: object): object => {
  const bytes = Object.fromEntries(characterOfByte.map((character, byte) => [character, byte]));
  const file = gpt2File({ vocabulary: { ...bytes, '<s>': 256, '</s>': 257 }, merges: [], endOfTextId: 0 });
  return { ...file, added_tokens: [], post_processor: null, ...changes };
};
const pair = { cls: ['<s>', 256], sep: ['</s>', 257] };

test.each<[string, object, string]>([
  [
    'RobertaProcessing',
    { type: 'RobertaProcessing', ...pair, trim_offsets: true, add_prefix_space: false },
    '256 97 257',
  ],
  ['BertProcessing', { type: 'BertProcessing', ...pair }, '256 97 257'],
  [
    'a template',
    { type: 'TemplateProcessing', single: [{ Sequence: { id: 'A' } }, { SpecialToken: { id: '</s>' } }] },
    '97 257',
  ],
])(
  '%s puts a token after a text, which ends documents, and none after a prompt or a chunk',
  (_, processor, expected) => {
    const tokenizer = tokenizerFromFile(JSON.stringify(byteFile({ post_processor: processor })), 't.json');
    expect(tokenizer.encode('a').join(' ')).toBe(expected);
    expect(tokenizer.endOfText).toBe(257);
    const open = expected.replace(' 257', '');
    expect(tokenizer.encode('a', { isContinued: true }).join(' ')).toBe(open);
    const origin = { location: () => '', remedy: '' };
    const whole = { startsText: true, endsText: true };
    expect(tokenizer.encodeChunk(Buffer.from('a'), whole, origin).tokenIds.join(' ')).toBe(open);
    expect(tokenizer.encodeUtf8(Buffer.from('a'), origin).join(' ')).toBe(expected);
  },
);

test('a token after texts that is not the one that ends documents is refused', () => {
  const text = JSON.stringify(byteFile({ post_processor: { type: 'BertProcessing', ...pair } }));
  expect(() => tokenizerFromFile(text, 't.json', '<s>')).toThrow('post_processor: puts the token 257 after every text');
});

test('truncation and padding change no ids, and are named', () => {
  const truncation = { direction: 'Right', max_length: 1, strategy: 'LongestFirst', stride: 0 };
  const padding = { strategy: { Fixed: 9 }, direction: 'Right', pad_id: 0, pad_type_id: 0, pad_token: '[PAD]' };
  expect(ids(byteFile({ truncation, padding }), 'abc')).toBe('97 98 99');
  const ignored = (file: object) => ignoredParts(tokenizerFromFile(JSON.stringify(file), 't.json'));
  const neither = "in the tokenizer's file are ignored: texts are neither cut nor padded";
  expect(ignored(byteFile({ truncation, padding }))).toBe(
    `truncation (to 1 tokens) and padding (to 9 tokens) ${neither}`,
  );
  const longest = { ...padding, strategy: 'BatchLongest' };
  expect(ignored(byteFile({ padding: longest }))).toBe(`padding ${neither.replace('are', 'is')}`);
  expect(ignored(byteFile({}))).toBeUndefined();
});

test('a space is put before the text after an added token of normalized text', () => {
  const added = { id: 258, content: '<x>', ...flags, normalized: true, special: false };
  const byteLevel = { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true };
  const file = byteFile({ added_tokens: [added], pre_tokenizer: byteLevel });
  expect(['a<x>b', '<x>b', ' <x> b'].map((text) => ids(file, text))).toEqual([
    '32 97 258 32 98',
    '258 32 98',
    '32 258 32 98',
  ]);
});

test('▁ in a text is no whitespace for an added token', () => {
  const file = structuredClone(fixture('llama2').tokenizer) as any;
  file.normalizer = null;
  file.pre_tokenizer = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true };
  file.added_tokens.push({ id: 1024, content: '<x>', ...flags, lstrip: true, normalized: true, special: false });
  expect(ids(file, 'you▁ <x>')).toBe('1 702 379 369 375 702 1024');
});
