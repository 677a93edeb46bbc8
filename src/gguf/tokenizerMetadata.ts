/** Describes a tokenizer by the metadata of GGUF from which llama.cpp makes the same token ids. */
import { isUtf8 } from 'node:buffer';
import { spelling as spellingOfBytes } from '../data/tokenizers/bpe/byteAlphabet.ts';
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { tokenizerFromFile } from '../data/tokenizers/tokenizerFile.ts';
import { wrongInput } from '../errors.ts';
import { startOfText } from '../huggingface/tokenizerJson.ts';
import { bool, list, text, uint32, type MetadataValue } from './file/metadata.ts';
import { scoresOf, type Merge } from './sentencePiece.ts';
import { nameOfSplit, splitOfPreTokenizer } from './splitPatterns.ts';

/** `tokenizer.ggml.token_type`. */
export const tokenTypes = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** The spelling of an id without a token, as llama.cpp's converter has it. */
export const unusedSpelling = (id: number): string => `[PAD${id}]`;

export interface TokenizerMetadata {
  entries: Entry[];
  /** Where llama.cpp does something else than clm. */
  warnings: string[];
}

/** The fields used of a tokenizer.json that clm has read. */
interface TokenizerJson {
  model: {
    vocab: Record<string, number>;
    merges: (string | [string, string])[];
    byte_fallback?: boolean;
    ignore_merges?: boolean;
    unk_token?: string | null;
  };
  added_tokens?: AddedToken[] | null;
  normalizer?: { type?: string } | null;
  pre_tokenizer?: { type?: string; prepend_scheme?: string; split?: boolean } | null;
}

interface AddedToken {
  id: number;
  content: string;
  special?: boolean;
  normalized?: boolean;
  lstrip?: boolean;
  rstrip?: boolean;
  single_word?: boolean;
}

/** A kind of tokenizer in GGUF: the spellings and types of the tokens it has, and what belongs to the kind. */
interface Kind {
  tokens: Map<number, { spelling: string; type: number }>;
  entries: Entry[];
  /** By id; undefined for kinds without. */
  scores?: ReadonlyMap<number, number>;
  warnings: string[];
}

type Entry = [string, MetadataValue];

/**
 * @param rows of the embedding, which may be more than the tokenizer has tokens
 * @throws wrongInput naming what llama.cpp has not
 */
export function tokenizerMetadata(tokenizer: Tokenizer, rows: number): TokenizerMetadata {
  const { tokens, entries, scores, warnings } = tokenizer.kind === 'bpe' ? bpe(tokenizer) : ownKind(tokenizer);
  const all = Array.from(
    { length: rows },
    (_, id) => tokens.get(id) ?? { spelling: unusedSpelling(id), type: tokenTypes.unused },
  );
  refuseDuplicates(all.map(({ spelling }) => spelling));
  const special = specialTokens(tokenizer, tokens);
  const numbers = Array.from({ length: rows }, (_, id) => scores?.get(id) ?? 0);
  return {
    entries: [
      ...entries,
      [
        'tokenizer.ggml.tokens',
        list(
          'string',
          all.map(({ spelling }) => spelling),
        ),
      ],
      ...(scores ? [['tokenizer.ggml.scores', list('float32', numbers)] as Entry] : []),
      [
        'tokenizer.ggml.token_type',
        list(
          'int32',
          all.map(({ type }) => type),
        ),
      ],
      ...special.entries,
      ...(tokenizer.chat ? [['tokenizer.chat_template', text(tokenizer.chat.template)] as Entry] : []),
    ],
    warnings: [...warnings, ...special.warnings],
  };
}

const refuse = (what: string): never => {
  throw wrongInput(`this run cannot be exported to GGUF: its tokenizer has ${what}, which llama.cpp does not support`);
};

/** llama.cpp finds tokens by their spelling. */
function refuseDuplicates(spellings: readonly string[]): void {
  const seen = new Set<string>();
  for (const spelling of spellings) {
    if (seen.has(spelling)) refuse(`two tokens spelled ${JSON.stringify(spelling)}`);
    seen.add(spelling);
  }
}

/**
 * Bytes and characters as byte-level BPE. No bytes are merged but those of one character, so the split into words does
 * not matter: no word ends inside a character.
 */
function ownKind(tokenizer: Tokenizer): Kind {
  const { vocabularySize, endOfText } = tokenizer;
  const tokens: Kind['tokens'] = new Map();
  const merges = new Set<string>();
  for (let id = 0; id < vocabularySize; id++) {
    const bytes = tokenizer.spelling(id);
    if (id === endOfText) tokens.set(id, { spelling: Buffer.from(bytes).toString(), type: tokenTypes.control });
    else tokens.set(id, { spelling: spellingOfBytes(bytes), type: tokenTypes.normal });
    if (id !== endOfText) for (const merge of mergesOfBytes(bytes)) merges.add(merge);
  }
  const warnings =
    tokenizer.kind === 'characters'
      ? ['llama.cpp leaves out characters of a text that are not in the vocabulary, where clm refuses the text']
      : [];
  return { tokens, entries: byteLevelEntries('gpt-2', [...merges]), warnings };
}

/** Merges that make one token of these bytes, from the left. */
export const mergesOfBytes = (bytes: Uint8Array): string[] =>
  Array.from({ length: Math.max(0, bytes.length - 1) }, (_, i) =>
    [bytes.subarray(0, i + 1), bytes.subarray(i + 1, i + 2)].map(spellingOfBytes).join(' '),
  );

const byteLevelEntries = (pre: string, merges: string[]): Entry[] => [
  ['tokenizer.ggml.model', text('gpt2')],
  ['tokenizer.ggml.pre', text(pre)],
  ['tokenizer.ggml.merges', list('string', merges)],
];

function bpe(tokenizer: Tokenizer): Kind {
  const json = tokenizer.toJSON() as TokenizerJson;
  const { model } = json;
  const tokens: Kind['tokens'] = new Map();
  for (const [spelling, id] of Object.entries(model.vocab)) tokens.set(id, { spelling, type: tokenTypes.normal });
  for (const { id, content, special, normalized, lstrip, rstrip, single_word: isWord } of json.added_tokens ?? []) {
    if (lstrip || rstrip || isWord)
      refuse(
        `the added token ${JSON.stringify(content)} with ${lstrip ? 'lstrip' : rstrip ? 'rstrip' : 'single_word'}`,
      );
    if (model.byte_fallback && normalized && !special)
      refuse(`the added token ${JSON.stringify(content)} with normalized beside byte_fallback`);
    const spelling = json.normalizer && normalized ? content.normalize('NFC') : content;
    tokens.set(id, { spelling, type: special ? tokenTypes.control : tokenTypes.userDefined });
  }
  if (model.byte_fallback === true) return sentencePiece(json, tokens);
  const split = splitOfPreTokenizer(json.pre_tokenizer, model.ignore_merges === true);
  if (typeof split === 'string') return refuse(`${split} in its pre_tokenizer`);
  const { pattern, splitsDigits, ignoresMerges } = split;
  const withoutMerges = ignoresMerges && !mergesMakeEveryWord(tokenizer, json);
  const options = `${splitsDigits ? 'Digits and ' : ''}${withoutMerges ? 'ignore_merges' : 'merges'}`;
  const pre =
    nameOfSplit(split) ??
    nameOfSplit({ ...split, ignoresMerges: withoutMerges }) ??
    refuse(`the split pattern ${pattern} with ${options}`);
  const warnings: string[] = [];
  if (json.normalizer)
    warnings.push('llama.cpp does not normalize text (NFC): text in another form gets other token ids');
  if (pattern === 'o200k')
    warnings.push(
      'llama.cpp splits words with capitals beyond A–Z, or with marks, otherwise: they get other token ids',
    );
  return { tokens, entries: byteLevelEntries(pre, model.merges.map(mergeText)), warnings };
}

/** Whether every word that is a token is also made by the merges, so that `ignore_merges` changes nothing. */
function mergesMakeEveryWord(tokenizer: Tokenizer, json: TokenizerJson): boolean {
  const merging = JSON.stringify({ ...json, model: { ...json.model, ignore_merges: false } });
  const other = tokenizerFromFile(merging, 'tokenizer.json');
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  for (let id = 0; id < tokenizer.vocabularySize; id++) {
    const bytes = tokenizer.spelling(id);
    if (!isUtf8(bytes)) continue; // words end between characters
    const word = utf8.decode(bytes);
    if (tokenizer.encode(word).join() !== other.encode(word).join()) return false;
  }
  return true;
}

const mergeText = (merge: string | [string, string]): string => (typeof merge === 'string' ? merge : merge.join(' '));

/** SentencePiece's BPE (Llama 2, Mistral): llama.cpp merges by the scores of the tokens. */
function sentencePiece({ model, normalizer, pre_tokenizer: split }: TokenizerJson, tokens: Kind['tokens']): Kind {
  if (split && (split.prepend_scheme !== 'never' || split.split !== false))
    refuse(`Metaspace with prepend_scheme ${split.prepend_scheme} and split ${split.split ?? true}`);
  const unknown = model.unk_token == null ? undefined : tokens.get(model.vocab[model.unk_token]!);
  if (unknown) unknown.type = tokenTypes.unknown;
  for (const token of tokens.values()) if (/^<0x[0-9A-F]{2}>$/.test(token.spelling)) token.type = tokenTypes.byte;
  const normal = new Map(
    [...tokens].filter(([, { type }]) => type === tokenTypes.normal).map(([id, one]) => [one.spelling, id]),
  );
  const merges = model.merges.map((merge) => (typeof merge === 'string' ? (merge.split(' ') as Merge) : merge));
  const scores = scoresOf(normal, merges);
  if (typeof scores === 'string') return refuse(scores);
  return {
    tokens,
    scores,
    entries: [
      ['tokenizer.ggml.model', text('llama')],
      ['tokenizer.ggml.pre', text('default')],
      ['tokenizer.ggml.add_space_prefix', bool(JSON.stringify(normalizer ?? null).includes('"Prepend"'))],
    ],
    warnings: [],
  };
}

/**
 * The tokens that begin and end texts. llama.cpp has one end of documents and two other ends of completions, which it
 * also finds by usual spellings. Without an end it would take token 11, so a tokenizer without one needs a row of the
 * embedding that no token has.
 */
function specialTokens(tokenizer: Tokenizer, tokens: Kind['tokens']): { entries: Entry[]; warnings: string[] } {
  const { endOfText, otherEnds, vocabularySize } = tokenizer;
  const named = tokenizer.chat?.specialTokens ?? {};
  const special = [...tokens].filter(([id]) => tokenizer.byteLengths[id] === 0 || id === endOfText);
  const idOf = (name: string): number | undefined =>
    named[name] ? special.find(([, { spelling }]) => spelling === named[name])?.[0] : undefined;
  const starts = [...tokenizer.encode('', { isContinued: true })];
  if (starts.length > 1) refuse(`${starts.length} tokens before every text`);
  const endsTexts = tokenizer.encode('').length > starts.length;
  const ends = [...(endOfText === null ? [] : [endOfText]), ...otherEnds];
  const templateEnd = idOf('eos_token');
  const end = !endsTexts && ends.includes(templateEnd!) ? templateEnd! : (ends[0] ?? vocabularySize);
  const start = starts[0] ?? idOf('bos_token') ?? startOfText(tokenizer) ?? end;
  const [turn, message, ...rest] = ends.filter((id) => id !== end);
  const ids = {
    bos: start,
    eos: end,
    eot: turn,
    eom: message,
    unknown: idOf('unk_token'),
    seperator: idOf('sep_token'),
    padding: idOf('pad_token'),
    mask: idOf('mask_token'),
  };
  const entries = Object.entries(ids).flatMap(([name, id]): Entry[] =>
    id === undefined ? [] : [[`tokenizer.ggml.${name}_token_id`, uint32(id)]],
  );
  entries.push(['tokenizer.ggml.add_bos_token', bool(starts.length > 0)]);
  entries.push(['tokenizer.ggml.add_eos_token', bool(endsTexts)]);
  const warnings: string[] = [];
  if (rest.length > 0)
    warnings.push(`llama.cpp knows three ends of completions: the tokens ${rest.join(', ')} do not end them there`);
  for (const [name, id] of [
    ['bos_token', start],
    ['eos_token', end],
  ] as const) {
    const [here, there] = [named[name] ?? '', tokens.get(id)?.spelling ?? ''].map((spelling) =>
      JSON.stringify(spelling),
    );
    if (tokenizer.chat?.template.includes(name) && here !== there)
      warnings.push(`${name} of the chat template is ${here}, in llama.cpp ${there}`);
  }
  return { entries, warnings };
}
