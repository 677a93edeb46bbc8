/**
 * Stage: text chunks. The text of a part of the corpus in chunks that say where documents begin and end. Running text
 * and files that are one document come in several chunks, other documents whole.
 */
import { createHash } from 'node:crypto';

import type { ByteSpan } from '../chat/lossMask.ts';
import { locationInFile } from './corpus.ts';
import type { CorpusFile, CorpusPart, ReadableCorpus } from './corpus.ts';
import type { Preference } from './documentFields.ts';
import { fileDocuments } from './fileDocuments.ts';
import { sourceByteAt } from '../utf8.ts';
import type { SourceOffset } from '../utf8.ts';
import type { ReadOptions } from './utf8Chunks.ts';
import { addCounts, noCounts, utf8Chunks } from './utf8Chunks.ts';

interface TextChunk {
  readonly file: CorpusFile;
  /** Position in the corpus: a part that starts there yields this chunk first. */
  readonly startByte: number;
  /** Well-formed UTF-8 of whole characters. Valid until the next chunk is asked for. */
  readonly bytes: Uint8Array;
  /** Where `bytes` come from in the corpus; undefined for a document that is read whole. */
  readonly sourceOffsets?: readonly SourceOffset[] | undefined;
  /** Of a pair: what follows the prompt `bytes` and alone counts towards the loss; else null. */
  readonly completion: Uint8Array | null;
  /** Of a chat: the parts of `bytes` that count towards the loss; else null. */
  readonly lossSpans: readonly ByteSpan[] | null;
  /** Of a preference pair: what it has beside the prompt with the chosen completion, which is `bytes`. */
  readonly preference?: Preference | undefined;
  readonly startsDocument: boolean;
  readonly endsDocument: boolean;
  /** Where the byte at `index` of the text is, for messages. */
  location(index: number): string;
}

/** The texts of a document that is read whole: one, or both of a pair. */
export const textsOf = ({ bytes, completion, preference }: TextChunk): Uint8Array[] =>
  [bytes, completion, preference?.rejected].filter((text) => text instanceof Uint8Array);

/**
 * The text of `part`. Skips documents without text, and those that a split by hash assigns to the other part.
 * @throws wrongInput as utf8Chunks and fileDocuments
 */
export async function* textChunks(
  corpus: ReadableCorpus,
  part: CorpusPart,
  options: ReadOptions = {},
): AsyncGenerator<TextChunk, void, void> {
  if (part.parts !== undefined) {
    for (const one of part.parts) yield* textChunks(corpus, one, options);
    return;
  }
  if (corpus.separatesDocuments !== true) {
    yield* runningText(corpus, part, options);
    return;
  }
  const isStopped = (): boolean => options.signal?.aborted === true;
  // A split by hash reads every row for both parts: what is left out of it counts once, for the training part.
  const rowOptions: ReadOptions = part.documents?.side === 'validation' ? { ...options, counts: undefined } : options;
  for (const file of corpus.files) {
    if (isStopped()) return;
    const startByte = Math.max(part.startByte, file.startByte);
    const endByte = Math.min(part.endByte, file.startByte + file.bytes);
    if (startByte >= endByte) continue;
    const isOneDocument = (file.format ?? 'text') === 'text' && (file.source?.separator ?? null) === null;
    if (isOneDocument) {
      yield* fileAsDocument(corpus, file, { ...part, startByte, endByte }, options);
      continue;
    }
    for await (const { startByte: at, location, text, completion, lossSpans, preference } of fileDocuments(
      file,
      { startByte, endByte },
      corpus,
      rowOptions,
    )) {
      if (isStopped()) return;
      const second = completion ?? preference?.rejected ?? null;
      if (text.length + (second?.length ?? 0) === 0) {
        if (rowOptions.counts) rowOptions.counts.emptyDocuments++;
        continue;
      }
      if (lossSpans?.length === 0 && rowOptions.counts)
        rowOptions.counts.chatsWithoutLoss = (rowOptions.counts.chatsWithoutLoss ?? 0) + 1;
      if (!isInPart(part, text, second)) continue;
      const whole = { startsDocument: true, endsDocument: true };
      yield {
        file,
        startByte: at,
        bytes: text,
        completion,
        lossSpans,
        preference,
        ...whole,
        location: (index) => `${location}, at byte ${index} of its text`,
      };
    }
  }
}

/** Of text that is neither a pair nor a chat. */
const allCounts = { completion: null, lossSpans: null };

async function* runningText(
  corpus: ReadableCorpus,
  part: CorpusPart,
  options: ReadOptions,
): AsyncGenerator<TextChunk, void, void> {
  let startsDocument = part.startByte === 0;
  for await (const { file, startByte, endByte, bytes, sourceOffsets } of utf8Chunks(corpus, part, options)) {
    const location = (index: number): string => locationInFile(file, sourceByteAt(sourceOffsets, index));
    const endsDocument = endByte >= part.endByte;
    yield { file, startByte, bytes, sourceOffsets, ...allCounts, startsDocument, endsDocument, location };
    startsDocument = false;
  }
}

/** A file that is one document, in chunks. A split by hash uses its first chunk. */
async function* fileAsDocument(
  corpus: ReadableCorpus,
  file: CorpusFile,
  part: CorpusPart,
  options: ReadOptions,
): AsyncGenerator<TextChunk, void, void> {
  let startsDocument: boolean = part.startByte === file.startByte;
  let held: TextChunk | undefined;
  const counts = noCounts();
  const ownOptions = { ...options, counts };
  for await (const { startByte, bytes, sourceOffsets } of utf8Chunks({ ...corpus, files: [file] }, part, ownOptions)) {
    if (startsDocument && !isInPart(part, bytes, null)) return; // its bad bytes count for the other part
    if (held !== undefined) yield held;
    const location = (index: number): string => locationInFile(file, sourceByteAt(sourceOffsets, index));
    held = {
      file,
      startByte,
      bytes: Uint8Array.from(bytes),
      sourceOffsets,
      ...allCounts,
      startsDocument,
      endsDocument: false,
      location,
    };
    startsDocument = false;
  }
  if (options.counts) addCounts(options.counts, counts);
  if (held !== undefined) yield { ...held, endsDocument: true };
}

/** Bytes of a document that are hashed for the split. Equal documents are in the same part, whatever else is added. */
const hashedBytes = 65_536;

/** Whether a document is in this part of a split by hash: 48 bits of its SHA-256 are compared with the fraction. */
function isInPart({ documents }: CorpusPart, text: Uint8Array, second: Uint8Array | null): boolean {
  if (documents === undefined) return true;
  const hash = createHash('sha256').update(text.subarray(0, hashedBytes));
  if (second !== null) hash.update(second.subarray(0, hashedBytes));
  const isValidation = hash.digest().readUIntBE(0, 6) / 2 ** 48 < documents.fraction;
  return isValidation === (documents.side === 'validation');
}
