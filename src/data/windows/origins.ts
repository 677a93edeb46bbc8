/**
 * Finds where the text of micro-batches comes from, for the report on a diverged step: repeats the training sequence
 * with serial numbers instead of token ids, which pass through packing, shuffling and mixing unchanged.
 */
import type { Corpus } from '../files/corpus.ts';
import { locationInFile } from '../files/corpus.ts';
import type { Cursor } from './cursor.ts';
import { trainingSequence } from './mixture.ts';
import type { SequenceOptions } from './mixture.ts';
import type { Tokenizer } from '../tokenizers/tokenizer.ts';
import { bytesOfTokens } from '../tokens/tokens.ts';
import type { TokenChunk } from '../tokens/tokens.ts';

/** A span of text in a window. Field names are those of the report. */
export interface WindowText {
  /** Index in the step, from 0. */
  readonly microBatch: number;
  readonly window: number;
  /**
   * Its location, e.g. "byte 17 of /texts/a.txt": its first byte in plain text, else the start of its document.
   */
  readonly place: string;
  readonly tokens: number;
  /** Its beginning. */
  readonly text: string;
}

const firstSerial = 2 ** 30; // larger than every token id
const shownTokens = 40;

interface NumberedChunk {
  readonly firstSerial: number;
  readonly chunk: TokenChunk;
}

/**
 * The spans of text in the micro-batches that follow `cursor` in the training sequence, window by window.
 * @throws as trainingSequence
 */
export async function textOrigins(
  corpus: Corpus,
  tokenizer: Tokenizer,
  options: SequenceOptions,
  cursor: Cursor | undefined,
  microBatches: number,
): Promise<WindowText[]> {
  const chunks: NumberedChunk[] = [];
  let serial = firstSerial;
  const numbered = async function* (source: AsyncIterable<TokenChunk>): AsyncGenerator<TokenChunk, void, void> {
    for await (const chunk of source) {
      const first = serial;
      serial += chunk.tokenIds.length;
      chunks.push({ firstSerial: first, chunk: { ...chunk, tokenIds: chunk.tokenIds.slice() } });
      // Special tokens keep their ids, because packing inserts such tokens and checks for them.
      const tokenIds = chunk.tokenIds.map((id, i) => (tokenizer.byteLengths[id] === 0 ? id : first + i));
      yield { ...chunk, tokenIds, isExact: false };
    }
  };
  const origins: WindowText[] = [];
  const { contextLength } = options;
  let microBatch = 0;
  for await (const { inputs, targets } of trainingSequence(corpus, tokenizer, { ...options, numbered }, cursor)) {
    for (let start = 0, window = 0; start < inputs.length; start += contextLength, window++) {
      const serials = [...inputs.subarray(start, start + contextLength), targets[start + contextLength - 1]!];
      for (const span of spansOf(serials, chunks))
        origins.push({ microBatch, window, ...described(span, corpus, tokenizer) });
    }
    if (++microBatch === microBatches) break;
  }
  return origins;
}

interface Span extends NumberedChunk {
  /** Index of its first token in the chunk. */
  readonly index: number;
  tokens: number;
}

/** Runs of consecutive serial numbers, split where a document starts. */
function spansOf(serials: readonly number[], chunks: readonly NumberedChunk[]): Span[] {
  const spans: Span[] = [];
  let previous: number | undefined;
  for (const serial of serials) {
    if (serial < firstSerial) {
      previous = undefined;
      continue; // a special token, or padding
    }
    const found = chunks[lastAtMost(chunks, serial)]!;
    const index = serial - found.firstSerial;
    if (serial !== (previous ?? NaN) + 1 || (index === 0 && found.chunk.startsDocument))
      spans.push({ ...found, index, tokens: 0 });
    spans.at(-1)!.tokens++;
    previous = serial;
  }
  return spans;
}

/** Index of the last chunk whose first serial number is at most `serial`. */
function lastAtMost(chunks: readonly NumberedChunk[], serial: number): number {
  let [low, high] = [0, chunks.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (chunks[middle]!.firstSerial <= serial) low = middle;
    else high = middle - 1;
  }
  return low;
}

function described(
  { chunk, index, tokens }: Span,
  corpus: Corpus,
  tokenizer: Tokenizer,
): Omit<WindowText, 'microBatch' | 'window'> {
  const file = corpus.files.find(
    ({ startByte, bytes }) => chunk.startByte >= startByte && chunk.startByte < startByte + bytes,
  )!;
  const isPlain = (file.format ?? 'text') === 'text';
  // If reading started inside a chunk, the start of that chunk, because the skipped tokens are not known.
  const byte = chunk.startByte + (isPlain ? bytesOfTokens(chunk.tokenIds.subarray(0, index), tokenizer) : 0);
  const text = tokenizer.decode(chunk.tokenIds.subarray(index, index + Math.min(tokens, shownTokens)));
  return { place: locationInFile(file, byte), tokens, text };
}
