import { describe, expect, test } from 'vitest';
import { tokenizerFromFile } from '../../../../../src/data/tokenizers/tokenizerFile.ts';
import { ExpectedError } from '../../../../../src/errors.ts';
import { fixture } from '../fixtures.ts';

/** The error for the gpt2 fixture with something changed. */
function refusal(change: (file: any) => void, name = 'gpt2', endOfText?: string): string {
  const file = structuredClone(fixture(name).tokenizer);
  change(file);
  try {
    tokenizerFromFile(JSON.stringify(file), 't.json', endOfText);
  } catch (error) {
    expect(error).toBeInstanceOf(ExpectedError);
    return (error as Error).message;
  }
  throw new Error('nothing was refused');
}

describe('a tokenizer.json', () => {
  test.each<[string, (file: any) => void, string]>([
    ['an unknown field', (file) => (file.extra = 1), 't.json: extra: is a field that clm does not support'],
    [
      'an unknown version',
      (file) => (file.version = '2.0'),
      't.json: version: "2.0" is not supported; clm supports "1.0".',
    ],
    [
      'another model',
      (file) => (file.model.type = 'Unigram'),
      't.json: model.type: "Unigram" is not supported; clm supports "BPE", null.',
    ],
    ['dropout', (file) => (file.model.dropout = 0.1), 'model.dropout: 0.1 is not supported'],
    [
      'a suffix of words',
      (file) => (file.model.end_of_word_suffix = '</w>'),
      'model.end_of_word_suffix: "</w>" is not supported',
    ],
    [
      'an unknown field of the model',
      (file) => (file.model.magic = true),
      'model.magic: is a field that clm does not support',
    ],
    ['no model', (file) => (file.model = null), 't.json: model: is missing.'],
    ['no vocabulary', (file) => (file.model.vocab = []), 'model.vocab: is not an object of tokens and ids'],
    ['an id that is not a number', (file) => (file.model.vocab.a = '5'), 'model.vocab: "a" has the id "5"'],
    [
      'a huge id',
      (file) => (file.model.vocab.a = 2 ** 31),
      'model.vocab: "a" has the id 2147483648; ids are 0 … 4194303.',
    ],
    ['a negative id', (file) => (file.model.vocab.a = -1), 'model.vocab: "a" has the id -1'],
    ['an id used twice', (file) => (file.model.vocab.a = file.model.vocab.b), 'is used twice'],
    [
      'a merge of unknown tokens',
      (file) => (file.model.merges[0] = ['a', '§§']),
      'model.merges[0]: "§§" is not in the vocabulary',
    ],
    [
      'a merge to an unknown token',
      (file) => (file.model.merges[0] = ['z', 'z']),
      'model.merges[0]: "zz" is not in the vocabulary',
    ],
    [
      'a merge of three',
      (file) => (file.model.merges[0] = 'a b c'),
      'model.merges[0]: "a b c" is not a pair of tokens',
    ],
    [
      'another pre-tokenizer',
      (file) => (file.pre_tokenizer = { type: 'BertPreTokenizer' }),
      'pre_tokenizer.type: "BertPreTokenizer" is not supported',
    ],
    ['no pre-tokenizer', (file) => (file.pre_tokenizer = null), 'pre_tokenizer: is missing'],
    [
      'an unknown normalizer',
      (file) => (file.normalizer = { type: 'Lowercase' }),
      'normalizer.type: "Lowercase" is not supported; clm supports "NFC".',
    ],
    ['another decoder', (file) => (file.decoder = { type: 'WordPiece' }), 'decoder.type: "WordPiece"'],
    [
      'two tokens after the text',
      (file) =>
        (file.post_processor = {
          type: 'TemplateProcessing',
          single: [{ Sequence: { id: 'A' } }, ...['a', 'b'].map((id) => ({ SpecialToken: { id } }))],
        }),
      'post_processor: several tokens after the text are not supported',
    ],
    [
      'a token that strips somehow',
      (file) => (file.added_tokens[0].lstrip = 'left'),
      'added_tokens[0].lstrip: "left" is not true or false. Get a fresh copy of the file.',
    ],
    ['an empty token', (file) => (file.added_tokens[0].content = ''), 'added_tokens[0].content: "" cannot be a token.'],
    [
      'an added token with the id of another token',
      (file) => file.added_tokens.push({ ...file.added_tokens[0], id: 5, content: '<x>' }),
      'id: is 5, but Hugging Face\'s tokenizers give "<x>" the id ',
    ],
    [
      'an added token with an id that does not follow the vocabulary',
      (file) => file.added_tokens.push({ ...file.added_tokens[0], id: 99_999, content: '<x>' }),
      'id: is 99999, but Hugging Face\'s tokenizers give "<x>" the id ',
    ],
    ['an array instead of an object', (file) => (file.added_tokens[0] = []), 'added_tokens[0] is not a JSON object'],
  ])('is refused with %s', (_, change, message) => expect(refusal(change)).toContain(message));

  test('is refused with an unknown pattern, without running it', () => {
    const change = (file: any) => (file.pre_tokenizer.pretokenizers[0].pattern.Regex = '(a+)+$');
    expect(refusal(change, 'llama3')).toBe(
      't.json: pre_tokenizer.pretokenizers[0].pattern: {"Regex":"(a+)+$"} is a pattern clm does not support; ' +
        'docs/add-a-tokenizer.md says how to add one.',
    );
  });

  test('is refused without the token that should end documents', () => {
    expect(refusal(() => {}, 'gpt2', '</s>')).toBe(
      't.json: added_tokens: "</s>", which should end documents, is not a token; ' +
        'the special tokens of the file are "<|endoftext|>".',
    );
  });

  test('keeps the end-of-text it was given', () => {
    const text = JSON.stringify(fixture('llama2').tokenizer);
    const tokenizer = tokenizerFromFile(text, 't.json', '<unk>');
    expect(tokenizerFromFile(text, 't.json').endOfText).toBe(2);
    expect(tokenizer.endOfText).toBe(0);
    expect(tokenizerFromFile(JSON.stringify(tokenizer.toJSON()), 't.json').endOfText).toBe(0);
  });

  test('may have tokens with the names of object properties', () => {
    const file = structuredClone(fixture('gpt2').tokenizer);
    const text = JSON.stringify(file).replace('"vocab":{', '"vocab":{"__proto__":5000,"constructor":5001,');
    const tokenizer = tokenizerFromFile(text, 't.json');
    expect(tokenizer.decode([5000, 5001])).toBe('__proto__constructor');
    expect(Object.getPrototypeOf(tokenizer.toJSON())).toBe(Object.prototype);
  });

  test('without a token for a byte says where a text needs it', () => {
    const file = structuredClone(fixture('gpt2').tokenizer);
    delete file.model.vocab['ĉ']; // a tab
    file.model.merges = file.model.merges.filter((merge) => !merge.join('').includes('ĉ'));
    expect(() => tokenizerFromFile(JSON.stringify(file), 't.json').encode('a\tb')).toThrow(
      "The byte 0x09 at character 1 of the text is not in the tokenizer's vocabulary.",
    );
  });
});
