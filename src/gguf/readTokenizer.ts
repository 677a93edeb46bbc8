/**
 * Makes the tokenizer of a GGUF file: byte-level BPE (`tokenizer.ggml.model` gpt2) and SentencePiece's (llama) as a
 * tokenizer.json, and those that clm's export wrote of bytes and characters as they were.
 */
import { bytesOfSpelling, characterOfByte } from '../data/tokenizers/bpe/byteAlphabet.ts';
import { tokenizerFromHuggingFace } from '../data/tokenizers/bpe/files/huggingFaceFile.ts';
import { bytesTokenizer } from '../data/tokenizers/bytes.ts';
import { charactersTokenizer } from '../data/tokenizers/characters.ts';
import { endOfTextToken, type Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { withChat } from '../data/tokenizers/tokenizerFile.ts';
import { wrongInput } from '../errors.ts';
import { mergesOfBytes, tokenTypes, unusedSpelling } from './tokenizerMetadata.ts';
import type { MetadataReader } from './metadataReader.ts';
import { mergesOf } from './sentencePiece.ts';
import { normalizesText, preTokenizerOf, splitOfName, type Split } from './splitPatterns.ts';

interface Token {
  id: number;
  spelling: string;
  type: number;
}

/** Keys by the names that chat templates have for the tokens. */
const namedIds = {
  bos_token: 'bos',
  eos_token: 'eos',
  unk_token: 'unknown',
  sep_token: 'seperator', // as the format spells it
  pad_token: 'padding',
  cls_token: 'cls',
  mask_token: 'mask',
} as const;

const prefix = 'tokenizer.ggml.';

/**
 * @param path for messages
 * @throws wrongInput for a kind of tokenizer, or a split pattern, that clm does not have
 */
export function readTokenizer(reader: MetadataReader, path: string): Tokenizer {
  const refuse = (what: string): never => {
    throw wrongInput(`${path} cannot be imported: ${what}`);
  };
  const model = reader.text(`${prefix}model`);
  const spellings = reader.strings(`${prefix}tokens`) ?? [];
  const types = reader.numbers(`${prefix}token_type`) ?? spellings.map(() => tokenTypes.normal);
  if (model !== 'gpt2' && model !== 'llama')
    return refuse(`its tokenizer.ggml.model is ${JSON.stringify(model)}; clm reads gpt2 and llama`);
  if (spellings.length === 0 || types.length < spellings.length)
    return refuse(`it has ${spellings.length} tokens with ${types.length} types`);
  const all = spellings.map((spelling, id): Token => ({ id, spelling, type: types[id]! }));
  const tokens = all.filter(
    ({ id, spelling, type }) => !(type === tokenTypes.unused && spelling === unusedSpelling(id)),
  );
  const twice = duplicate(tokens);
  if (twice !== undefined) return refuse(`two tokens are spelled ${JSON.stringify(twice)}`);

  const isToken = new Set(tokens.map(({ id }) => id));
  const idOf = (name: string): number | undefined => {
    const id = reader.tokenId(`${prefix}${name}_token_id`, all.length);
    return id !== undefined && isToken.has(id) ? id : undefined;
  };
  const ids = Object.entries(namedIds).map(([name, key]): [string, number | undefined] => [name, idOf(key)]);
  const byName = new Map(ids);
  const [start, end] = [byName.get('bos_token'), byName.get('eos_token')];
  const ends = [...new Set([end, idOf('eot'), idOf('eom')])].filter((id) => id !== undefined);
  const addsStart = reader.flag(`${prefix}add_bos_token`, model === 'llama' || isLlama3(reader));
  const addsEnd = reader.flag(`${prefix}add_eos_token`, false);
  reader.only(`${prefix}add_sep_token`, false);
  if (addsStart && start === undefined) return refuse('it begins texts with a token that it does not name');
  if (addsEnd && end === undefined) return refuse('it ends texts with a token that it does not name');

  const own = model === 'gpt2' && !addsStart && !addsEnd ? ownKind(reader, tokens) : undefined;
  const spelt = (id: number): string => spellings[id]!;
  const json = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: addedTokens(tokens, normalizesText(reader.text(`${prefix}pre`) ?? '')),
    ...(model === 'gpt2' ? byteLevel(reader, tokens, refuse) : sentencePiece(reader, tokens)),
    post_processor:
      addsStart || addsEnd ? template(addsStart ? all[start!]! : null, addsEnd ? all[end!]! : null) : null,
  };
  const [first, ...others] = ends;
  const plain = own ?? tokenizerFromHuggingFace(json, path, first === undefined ? null : spelt(first), others);
  const chatTemplate = reader.text('tokenizer.chat_template');
  if (chatTemplate === undefined) return plain;
  const named = ids.flatMap(([name, id]) => (id === undefined ? [] : [[name, spelt(id)] as const]));
  return withChat(plain, { template: chatTemplate, specialTokens: Object.fromEntries(named) });
}

/** Keys that say nothing about token ids that clm does not find out otherwise. */
export const ignoredTokenizerKeys: readonly string[] = [
  ...['token_type_count', 'add_space_prefix', 'remove_extra_whitespaces', 'scores', 'merges', 'pre'],
  ...['fim_pre', 'fim_suf', 'fim_mid', 'fim_pad', 'fim_rep', 'fim_sep', 'prefix', 'suffix', 'middle'].map(
    (name) => `${name}_token_id`,
  ),
].map((name) => prefix + name);

const splitOf = (reader: MetadataReader): Split | undefined => splitOfName(reader.text(`${prefix}pre`) ?? '');

const isLlama3 = (reader: MetadataReader): boolean => {
  const split = splitOf(reader);
  return split?.pattern === 'llama3' && split.ignoresMerges;
};

function duplicate(tokens: readonly Token[]): string | undefined {
  const seen = new Set<string>();
  return tokens.find(({ spelling }) => seen.has(spelling) || !seen.add(spelling))?.spelling;
}

/** The tokenizers of bytes and of characters, as clm's export writes them; undefined for others. */
function ownKind(reader: MetadataReader, tokens: readonly Token[]): Tokenizer | undefined {
  const end = tokens.at(-1)!;
  const hasEnd = end.spelling === endOfTextToken && end.type === tokenTypes.control;
  const pieces = hasEnd ? tokens.slice(0, -1) : tokens;
  const merges = reader.strings(`${prefix}merges`) ?? [];
  if (tokens.some(({ id }, i) => id !== i) || pieces.some(({ type }) => type !== tokenTypes.normal)) return undefined;
  const isBytes = pieces.length === 256 && pieces.every(({ spelling }, byte) => spelling === characterOfByte[byte]);
  if (isBytes && merges.length === 0) return bytesTokenizer({ endOfText: hasEnd });
  const texts = pieces.map(({ spelling }) => Buffer.from(bytesOfSpelling(spelling) ?? []).toString());
  const codes = texts.map((text) =>
    text.length === (text.codePointAt(0)! > 0xffff ? 2 : 1) ? text.codePointAt(0)! : -1,
  );
  const areCharacters = pieces.length > 0 && codes.every((code, i) => code > (codes[i - 1] ?? -1) && code !== 0xfffd);
  if (!areCharacters) return undefined;
  const expected = new Set(texts.flatMap((text) => mergesOfBytes(Buffer.from(text))));
  if (merges.length !== expected.size || !merges.every((merge) => expected.has(merge))) return undefined;
  return charactersTokenizer(texts.join(''), { endOfText: hasEnd });
}

/** Control tokens are special; those that the user of the format defined are found in every text. */
const addedTokens = (tokens: readonly Token[], isNormalized: boolean): object[] =>
  tokens
    .filter(({ type }) => type === tokenTypes.control || type === tokenTypes.userDefined || type === tokenTypes.unknown)
    .map(({ id, spelling, type }) => ({
      ...{ id, content: spelling, single_word: false, lstrip: false, rstrip: false },
      normalized: isNormalized && type === tokenTypes.userDefined,
      special: type !== tokenTypes.userDefined,
    }));

const vocabularyOf = (tokens: readonly Token[]): Record<string, number> =>
  Object.fromEntries(tokens.map(({ spelling, id }) => [spelling, id]));

function byteLevel(reader: MetadataReader, tokens: readonly Token[], refuse: (what: string) => never): object {
  const pre = reader.text(`${prefix}pre`);
  const split = splitOf(reader);
  if (split === undefined) {
    return refuse(
      `its tokenizer.ggml.pre is ${JSON.stringify(pre ?? null)}, a split of texts into words that clm does not have`,
    );
  }
  const byteLevelStep = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    normalizer: normalizesText(pre!) ? { type: 'NFC' } : null,
    pre_tokenizer: preTokenizerOf(split),
    decoder: byteLevelStep,
    model: bpe(vocabularyOf(tokens), reader.strings(`${prefix}merges`) ?? [], { ignore_merges: split.ignoresMerges }),
  };
}

const bpe = (vocab: Record<string, number>, merges: (string | [string, string])[], rest: object): object => ({
  ...{ type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null },
  ...{ fuse_unk: false, byte_fallback: false, ignore_merges: false },
  ...rest,
  vocab,
  merges,
});

function sentencePiece(reader: MetadataReader, tokens: readonly Token[]): object {
  const prepends = reader.flag(`${prefix}add_space_prefix`, true);
  const scores = reader.numbers(`${prefix}scores`) ?? [];
  const unknown = tokens.find(({ type }) => type === tokenTypes.unknown)?.spelling ?? null;
  const normal = tokens.filter(({ type }) => type === tokenTypes.normal);
  const merges = mergesOf(
    new Map(normal.map(({ spelling, id }) => [spelling, id])),
    new Map(normal.map(({ id }) => [id, scores[id] ?? 0])),
  );
  const toSpace = { type: 'Replace', pattern: { String: '▁' }, content: ' ' };
  const fromSpace = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
  const strip = { type: 'Strip', content: ' ', start: 1, stop: 0 };
  return {
    normalizer: {
      type: 'Sequence',
      normalizers: [...(prepends ? [{ type: 'Prepend', prepend: '▁' }] : []), fromSpace],
    },
    pre_tokenizer: null,
    decoder: {
      type: 'Sequence',
      decoders: [toSpace, { type: 'ByteFallback' }, { type: 'Fuse' }, ...(prepends ? [strip] : [])],
    },
    model: bpe(vocabularyOf(tokens), merges, { unk_token: unknown, fuse_unk: true, byte_fallback: true }),
  };
}

/** Puts a token before, or after, every text. */
function template(start: Token | null, end: Token | null): object {
  const special = (token: Token | null): object[] =>
    token === null ? [] : [{ SpecialToken: { id: token.spelling, type_id: 0 } }];
  const text = (id: 'A' | 'B', type: number): object => ({ Sequence: { id, type_id: type } });
  const used = [start, end].filter((token) => token !== null);
  return {
    type: 'TemplateProcessing',
    single: [...special(start), text('A', 0), ...special(end)],
    pair: [...special(start), text('A', 0), ...special(start), text('B', 1), ...special(end)],
    special_tokens: Object.fromEntries(
      used.map(({ id, spelling }) => [spelling, { id: spelling, ids: [id], tokens: [spelling] }]),
    ),
  };
}
