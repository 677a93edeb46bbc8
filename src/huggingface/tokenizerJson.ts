/**
 * Writes and reads tokenizer.json and tokenizer_config.json. A BPE tokenizer is already kept in Hugging Face's format;
 * character and byte tokenizers are written as models of the tokenizers library with the same token ids.
 */
import { isDeepStrictEqual } from 'node:util';
import { characterOfByte } from '../data/tokenizers/bpe/byteAlphabet.ts';
import { byteLevelModel } from '../data/tokenizers/bpe/files/gpt2File.ts';
import { endOfTextToken, tokenizerFormat, tokenizerVersion, type Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { tokenizerFromFile } from '../data/tokenizers/tokenizerFile.ts';

export function tokenizerFiles(tokenizer: Tokenizer, contextLength: number): Record<string, string> {
  const { endOfText } = tokenizer;
  const isOwn = tokenizer.kind === 'characters' || tokenizer.kind === 'bytes';
  const spelt = (id: number): string => (isOwn ? endOfTextToken : tokenizer.decode([id], { specialTokens: true }));
  const token = endOfText === null ? null : spelt(endOfText);
  const first = startOfText(tokenizer);
  const settings = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    model_max_length: contextLength,
    clean_up_tokenization_spaces: false,
    ...(token !== null && { eos_token: token }),
    ...(first !== null && { bos_token: spelt(first) }),
    ...(tokenizer.chat && { ...tokenizer.chat.specialTokens, chat_template: tokenizer.chat.template }),
  };
  return {
    'tokenizer.json': json(isOwn ? ownTokenizer(tokenizer) : withoutOwnField(tokenizer.toJSON())),
    'tokenizer_config.json': json(settings),
  };
}

/**
 * The special token that begins every text of the tokenizer, e.g. `<s>` of Llama 2; else the one that ends texts, as in
 * GPT-2; null for none.
 */
export function startOfText(tokenizer: Tokenizer): number | null {
  const [first] = tokenizer.encode('');
  return first !== undefined && tokenizer.byteLengths[first] === 0 ? first : tokenizer.endOfText;
}

/** `eos_token_id`: the token that ends a document, or a list with those that end a completion too. */
export function endIds({ endOfText, otherEnds }: Tokenizer): number | number[] | null {
  if (otherEnds.length === 0) return endOfText;
  return endOfText === null ? [...otherEnds] : [endOfText, ...otherEnds];
}

/**
 * Reads tokenizer.json. A character tokenizer written by `tokenizerFiles` becomes one again.
 *
 * @param endTokens ids that end texts according to config.json: the first that is a token ends documents, all end
 *   completions; without any, the tokenizer's usual one is used
 * @throws wrongInput as `tokenizerFromFile`
 */
export function readTokenizerJson(text: string, path: string, endTokens: readonly number[]): Tokenizer {
  let file: TokenizerJson | null;
  try {
    file = JSON.parse(text) as TokenizerJson | null;
  } catch {
    return tokenizerFromFile(text, path); // throws with an explanation
  }
  const isCharacters = file?.model?.type === 'WordLevel' && isDeepStrictEqual(file.pre_tokenizer, everyCharacter);
  if (!isCharacters) {
    const spelt = spellings(file);
    const end = endTokens.find((id) => spelt.has(id));
    const others = endTokens.filter((id) => id !== end);
    return tokenizerFromFile(text, path, spelt.get(end ?? -1), others.length > 0 ? others : undefined);
  }
  const vocabulary = Object.entries(file!.model!.vocab ?? {}).sort(([, a], [, b]) => a - b);
  const characters = vocabulary.map(([character]) => character).join('');
  const hasEnd = (file!.added_tokens ?? []).length > 0;
  const own = {
    format: tokenizerFormat,
    version: tokenizerVersion,
    kind: 'characters',
    characters,
    ...(hasEnd && { endOfText: true }),
  };
  return tokenizerFromFile(JSON.stringify(own), path);
}

/** The fields used of a file that has not been checked yet. */
interface TokenizerJson {
  model?: { type?: string; vocab?: Record<string, number> };
  pre_tokenizer?: unknown;
  added_tokens?: { id?: number; content?: string; special?: boolean }[];
}

/** The spellings of the tokens by id. */
function spellings(file: TokenizerJson | null): Map<unknown, string> {
  const added = Array.isArray(file?.added_tokens) ? file.added_tokens : [];
  const vocabulary = Object.entries(file?.model?.vocab ?? {}).map(([token, id]): [unknown, string] => [id, token]);
  return new Map([...vocabulary, ...added.map((token): [unknown, string] => [token?.id, String(token?.content)])]);
}

/** Splits the text into single characters. One that is not in the vocabulary is an error, as in clm. */
const everyCharacter = { type: 'Split', pattern: { Regex: '[\\s\\S]' }, behavior: 'Isolated', invert: false };

/** The tokenizers library rejects unknown fields; the end-of-text token is in tokenizer_config.json instead. */
function withoutOwnField(file: { clm?: unknown }): object {
  const { clm: _, ...rest } = file;
  return rest;
}

function ownTokenizer(tokenizer: Tokenizer): object {
  const { kind, endOfText, vocabularySize } = tokenizer;
  const special = {
    content: endOfTextToken,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  };
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
        ? byteLevelModel(vocabulary, [])
        : { type: 'WordLevel', vocab: vocabulary, unk_token: '<unknown>' },
  };
}

const json = (value: object): string => `${JSON.stringify(value, null, 2)}\n`;
