/** The text of a part of the corpus as a stream of token ids that can be taken up again at any of them. Row 5 of the walk. */
import type { CorpusPart, ReadableCorpus } from './corpus.ts';
import { characterStart } from './split.ts';
import { textChunks } from './textChunks.ts';
import type { TextChunk } from './textChunks.ts';
import type { Tokenizer } from './tokenizers/tokenizer.ts';
import type { ReadOptions } from './utf8Chunks.ts';

/** The place of a token: reading begins at `startByte` of the corpus and passes over `skipTokens` tokens. */
export interface TokenPosition {
  readonly startByte: number;
  readonly skipTokens?: number | undefined;
}

export interface TokenChunk extends TokenPosition {
  /** At least one. */
  readonly tokenIds: Int32Array;
  /** 1 for each token that is learnt, 0 for those of prompts; null where all are. */
  readonly learnt: Uint8Array | null;
  /** Whether the last token ends a document. */
  readonly endsDocument: boolean;
  /** Whether every token's place is the sum of the bytes before it, so that reading can begin at any. */
  readonly isExact: boolean;
}

/**
 * The tokens of `part` from its start, less the first `skipTokens`. An end-of-text follows every document, where
 * documents are separated and the tokenizer has one. A part of running text may begin inside a character where a token
 * begins there too (`bytes`); it ends at a character border.
 * @throws wrongInput for text that cannot be read, or a character that the vocabulary lacks.
 */
export async function* tokenChunks(
  corpus: ReadableCorpus,
  part: CorpusPart & { readonly skipTokens?: number | undefined },
  tokenizer: Tokenizer,
  options?: ReadOptions,
): AsyncGenerator<TokenChunk, void, void> {
  if (part.parts !== undefined) {
    for (const one of part.parts) yield* tokenChunks(corpus, one, tokenizer, options);
    return;
  }
  const isRunning = corpus.separatesDocuments !== true;
  const isExact = isRunning && tokenizer.kind !== 'bpe' && (corpus.encodingErrors ?? 'error') === 'error';
  const startByte = isExact ? await characterStart(corpus, part.startByte) : part.startByte;
  let skip = part.skipTokens ?? 0;
  for await (const chunk of encodedChunks(corpus, { ...part, startByte }, tokenizer, isExact, options)) {
    const first = isExact ? tokensBefore(chunk.tokenIds, tokenizer, part.startByte - chunk.startByte) : Math.min(skip, chunk.tokenIds.length);
    if (!isExact) skip -= first;
    if (first >= chunk.tokenIds.length) continue;
    if (first === 0) yield chunk;
    else {
      const position = isExact ? { startByte: Math.max(chunk.startByte, part.startByte) } : { startByte: chunk.startByte, skipTokens: first };
      yield { ...chunk, ...position, tokenIds: chunk.tokenIds.subarray(first), learnt: chunk.learnt?.subarray(first) ?? null };
    }
  }
}

/** The place of token `index` of a chunk. */
export function positionOf(chunk: TokenChunk, index: number, tokenizer: Pick<Tokenizer, 'byteLengths'>): TokenPosition {
  if (chunk.isExact) return { startByte: chunk.startByte + bytesOfTokens(chunk.tokenIds.subarray(0, index), tokenizer) };
  const skipTokens = (chunk.skipTokens ?? 0) + index;
  return skipTokens === 0 ? { startByte: chunk.startByte } : { startByte: chunk.startByte, skipTokens };
}

async function* encodedChunks(
  corpus: ReadableCorpus,
  part: CorpusPart,
  tokenizer: Tokenizer,
  isExact: boolean,
  options?: ReadOptions,
): AsyncGenerator<TokenChunk, void, void> {
  const remedy = 'The corpus is not the one whose vocabulary was counted: restore it, or start a new run.';
  let held = new Uint8Array(0); // the end of a chunk that the tokenizer could not yet cut
  let heldStart = 0;
  let isStart = false; // whether a document begins with what is held
  for await (const chunk of textChunks(corpus, part, options)) {
    const origin = { place: (index: number) => `at ${chunk.place(index - held.length)}`, remedy };
    if (chunk.completion !== null) {
      yield pairTokens(chunk, chunk.completion, tokenizer, origin);
      continue;
    }
    const startByte = held.length > 0 ? heldStart : chunk.startByte;
    const utf8 = held.length > 0 ? Buffer.concat([held, chunk.bytes]) : chunk.bytes;
    const { endsDocument } = chunk;
    const startsText: boolean = chunk.startsDocument || (held.length > 0 && isStart);
    const encoded = tokenizer.encodeChunk(utf8, { startsText, endsText: endsDocument }, origin);
    held = Uint8Array.from(utf8.subarray(encoded.bytes));
    heldStart = startByte + encoded.bytes;
    isStart = startsText && encoded.bytes === 0;
    const endOfText = endsDocument && corpus.separatesDocuments === true ? tokenizer.endOfText : null;
    const tokenIds = endOfText === null ? encoded.tokenIds : withLast(encoded.tokenIds, endOfText);
    if (tokenIds.length > 0) yield { startByte, tokenIds, learnt: null, endsDocument, isExact };
  }
}

/** A prompt and its completion, cut apart from each other so that neither changes the other's tokens. */
function pairTokens({ bytes, startByte }: TextChunk, completion: Uint8Array, tokenizer: Tokenizer, origin: Parameters<Tokenizer['encodeChunk']>[2]): TokenChunk {
  const prompt = tokenizer.encodeChunk(bytes, { startsText: true, endsText: true }, origin).tokenIds;
  const answer = tokenizer.encodeChunk(completion, { startsText: false, endsText: true }, origin).tokenIds;
  const end = tokenizer.endOfText === null ? [] : [tokenizer.endOfText];
  const tokenIds = new Int32Array(prompt.length + answer.length + end.length);
  tokenIds.set(prompt);
  tokenIds.set(answer, prompt.length);
  tokenIds.set(end, prompt.length + answer.length);
  return { startByte, tokenIds, learnt: new Uint8Array(tokenIds.length).fill(1, prompt.length), endsDocument: true, isExact: false };
}

/** How many tokens a part of the corpus has. A pass over it, but none for `bytes` of running text. */
export async function countTokens(corpus: ReadableCorpus, part: CorpusPart, tokenizer: Tokenizer, options?: ReadOptions): Promise<number> {
  const isCounted = corpus.separatesDocuments !== true && (corpus.encodingErrors ?? 'error') === 'error';
  if (tokenizer.kind === 'bytes' && isCounted) {
    return (part.parts ?? [part]).reduce((sum, { startByte, endByte }) => sum + endByte - startByte, 0);
  }
  let tokens = 0;
  for await (const { tokenIds } of tokenChunks(corpus, part, tokenizer, options)) tokens += tokenIds.length;
  return tokens;
}

/** Bytes of text that the tokens stand for. */
export function bytesOfTokens(tokenIds: Int32Array, { byteLengths }: Pick<Tokenizer, 'byteLengths'>): number {
  let bytes = 0;
  for (let i = 0; i < tokenIds.length; i++) bytes += byteLengths[tokenIds[i]!]!;
  return bytes;
}

function tokensBefore(tokenIds: Int32Array, { byteLengths }: Tokenizer, bytes: number): number {
  let tokens = 0;
  for (let passed = 0; passed < bytes && tokens < tokenIds.length; tokens++) passed += byteLengths[tokenIds[tokens]!]!;
  return tokens;
}

function withLast(tokenIds: Int32Array, last: number): Int32Array {
  const longer = new Int32Array(tokenIds.length + 1);
  longer.set(tokenIds);
  longer[tokenIds.length] = last;
  return longer;
}
