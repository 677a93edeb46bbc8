/**
 * Where the text of micro-batches stands, for the report on a step that went wrong: the sequence is made once more with
 * serial numbers in the place of token ids, which shuffling, packing and mixing carry along, whatever they do.
 */
import type { Corpus } from '../files/corpus.ts';
import { locationInFile } from '../files/corpus.ts';
import type { Cursor } from './cursor.ts';
import { trainingSequence } from './mixture.ts';
import type { SequenceOptions } from './mixture.ts';
import type { Tokenizer } from '../tokenizers/tokenizer.ts';
import { bytesOfTokens } from '../tokens/tokens.ts';
import type { TokenChunk } from '../tokens/tokens.ts';

/** A stretch of text in a window. */
export interface TextOrigin {
  /** Of the step, from 0. */
  readonly microBatch: number;
  readonly window: number;
  /**
   * As "byte 17 of /texts/a.txt": of plain text its first byte, else where its document begins (its line, record or
   * row).
   */
  readonly place: string;
  readonly tokens: number;
  /** How it begins. */
  readonly text: string;
}

const firstSerial = 2 ** 30; // above every token id
const shownTokens = 40;

interface NumberedChunk {
  readonly firstSerial: number;
  readonly chunk: TokenChunk;
}

/**
 * The stretches of text in the micro-batches that follow `cursor` in the training sequence, window by window.
 * @throws as trainingSequence
 */
export async function textOrigins(
  corpus: Corpus,
  tokenizer: Tokenizer,
  options: SequenceOptions,
  cursor: Cursor | undefined,
  microBatches: number,
): Promise<TextOrigin[]> {
  const chunks: NumberedChunk[] = [];
  let serial = firstSerial;
  const numbered = async function* (source: AsyncIterable<TokenChunk>): AsyncGenerator<TokenChunk, void, void> {
    for await (const chunk of source) {
      const first = serial;
      serial += chunk.tokenIds.length;
      chunks.push({ firstSerial: first, chunk: { ...chunk, tokenIds: chunk.tokenIds.slice() } });
      // Packing asks whether a token is special, and puts such tokens in itself: they stay what they are.
      const tokenIds = chunk.tokenIds.map((id, i) => (tokenizer.byteLengths[id] === 0 ? id : first + i));
      yield { ...chunk, tokenIds, isExact: false };
    }
  };
  const origins: TextOrigin[] = [];
  const { contextLength } = options;
  let microBatch = 0;
  for await (const { inputs, targets } of trainingSequence(corpus, tokenizer, { ...options, numbered }, cursor)) {
    for (let start = 0, window = 0; start < inputs.length; start += contextLength, window++) {
      const serials = [...inputs.subarray(start, start + contextLength), targets[start + contextLength - 1]!];
      for (const stretch of stretchesOf(serials, chunks))
        origins.push({ microBatch, window, ...described(stretch, corpus, tokenizer) });
    }
    if (++microBatch === microBatches) break;
  }
  return origins;
}

interface Stretch extends NumberedChunk {
  /** Of the stretch's first token, in its chunk. */
  readonly index: number;
  tokens: number;
}

/** Numbers that follow each other, cut where a document begins. */
function stretchesOf(serials: readonly number[], chunks: readonly NumberedChunk[]): Stretch[] {
  const stretches: Stretch[] = [];
  let previous: number | undefined;
  for (const serial of serials) {
    if (serial < firstSerial) {
      previous = undefined;
      continue; // a special token, or padding
    }
    const found = chunks[lastAtMost(chunks, serial)]!;
    const index = serial - found.firstSerial;
    if (serial !== (previous ?? NaN) + 1 || (index === 0 && found.chunk.startsDocument))
      stretches.push({ ...found, index, tokens: 0 });
    stretches.at(-1)!.tokens++;
    previous = serial;
  }
  return stretches;
}

/** The last chunk whose numbers begin at or before `serial`; they ascend. */
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
  { chunk, index, tokens }: Stretch,
  corpus: Corpus,
  tokenizer: Tokenizer,
): Omit<TextOrigin, 'microBatch' | 'window'> {
  const file = corpus.files.find(
    ({ startByte, bytes }) => chunk.startByte >= startByte && chunk.startByte < startByte + bytes,
  )!;
  const isPlain = (file.format ?? 'text') === 'text';
  // Where reading began inside a chunk, that of its beginning: the tokens passed over are not known any more.
  const byte = chunk.startByte + (isPlain ? bytesOfTokens(chunk.tokenIds.subarray(0, index), tokenizer) : 0);
  const text = tokenizer.decode(chunk.tokenIds.subarray(index, index + Math.min(tokens, shownTokens)));
  return { place: locationInFile(file, byte), tokens, text };
}
