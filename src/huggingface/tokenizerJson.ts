/**
 * tokenizer.json and tokenizer_config.json of an exported run. A BPE's file is Hugging Face's already; characters and
 * bytes are written as the tokenizers library spells them, with equal token ids.
 */
import { isDeepStrictEqual } from 'node:util';
import { characterOfByte } from '../data/tokenizers/bpe/byteAlphabet.ts';
import { endOfTextToken, tokenizerFormat, tokenizerVersion, type Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { tokenizerFromFile } from '../data/tokenizers/tokenizerFile.ts';

export function tokenizerFiles(tokenizer: Tokenizer, contextLength: number): Record<string, string> {
  const { endOfText } = tokenizer;
  const isOwn = tokenizer.kind === 'characters' || tokenizer.kind === 'bytes';
  const token = endOfText === null ? null : isOwn ? endOfTextToken : tokenizer.decode([endOfText], { specialTokens: true });
  const settings = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    model_max_length: contextLength,
    clean_up_tokenization_spaces: false,
    ...(token !== null && { eos_token: token, bos_token: token }),
  };
  return {
    'tokenizer.json': json(isOwn ? ownTokenizer(tokenizer) : withoutOwnField(tokenizer.toJSON())),
    'tokenizer_config.json': json(settings),
  };
}

/**
 * The tokenizer of a folder's tokenizer.json; the characters that `tokenizerFiles` wrote are characters again.
 *
 * @throws wrongInput as `tokenizerFromFile`
 */
export function readTokenizerJson(text: string, path: string): Tokenizer {
  let file: ExportedCharacters;
  try {
    file = JSON.parse(text) as ExportedCharacters;
  } catch {
    return tokenizerFromFile(text, path); // which says what is wrong
  }
  const isCharacters = file?.model?.type === 'WordLevel' && isDeepStrictEqual(file.pre_tokenizer, everyCharacter);
  if (!isCharacters) return tokenizerFromFile(text, path);
  const vocabulary = Object.entries(file.model!.vocab ?? {}).sort(([, a], [, b]) => a - b);
  const characters = vocabulary.map(([character]) => character).join('');
  const hasEnd = (file.added_tokens ?? []).length > 0;
  const own = { format: tokenizerFormat, version: tokenizerVersion, kind: 'characters', characters, ...(hasEnd && { endOfText: true }) };
  return tokenizerFromFile(JSON.stringify(own), path);
}

interface ExportedCharacters {
  model?: { type?: string; vocab?: Record<string, number> };
  pre_tokenizer?: unknown;
  added_tokens?: unknown[];
}

/** Every character by itself; one that the vocabulary lacks is an error there, as it is here. */
const everyCharacter = { type: 'Split', pattern: { Regex: '[\\s\\S]' }, behavior: 'Isolated', invert: false };

/** The tokenizers library refuses fields it does not know; the end of text stands in tokenizer_config.json there. */
function withoutOwnField(file: { clm?: unknown }): object {
  const { clm: _, ...rest } = file;
  return rest;
}

function ownTokenizer(tokenizer: Tokenizer): object {
  const { kind, endOfText, vocabularySize } = tokenizer;
  const special = { content: endOfTextToken, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const tokens = Array.from({ length: vocabularySize }, (_, id) => id).filter((id) => id !== endOfText);
  const spelt = (id: number): string => (kind === 'bytes' ? characterOfByte[id]! : tokenizer.decode([id]));
  const vocabulary = Object.fromEntries(tokens.map((id) => [spelt(id), id]));
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: endOfText === null ? [] : [{ id: endOfText, ...special }],
    normalizer: null,
    pre_tokenizer: kind === 'bytes' ? byteLevel : everyCharacter,
    post_processor: null,
    decoder: kind === 'bytes' ? byteLevel : { type: 'Fuse' },
    model:
      kind === 'bytes'
        ? { type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, ignore_merges: false, vocab: vocabulary, merges: [] }
        : { type: 'WordLevel', vocab: vocabulary, unk_token: '<unknown>' },
  };
}

const json = (value: object): string => `${JSON.stringify(value, null, 2)}\n`;
