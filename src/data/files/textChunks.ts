/**
 * The text of a part of the corpus in chunks that say where documents begin and end. Row 4 of the walk, its second
 * half: running text and documents a file come in chunks, whatever their size; other documents come whole.
 */
import { createHash } from 'node:crypto';

import { placeInFile } from './corpus.ts';
import type { CorpusFile, CorpusPart, ReadableCorpus } from './corpus.ts';
import { fileDocuments } from './fileDocuments.ts';
import { byteAt } from '../utf8.ts';
import type { Place } from '../utf8.ts';
import type { ReadOptions } from './utf8Chunks.ts';
import { utf8Chunks } from './utf8Chunks.ts';

interface TextChunk {
  readonly file: CorpusFile;
  /** Position in the corpus from which reading again gives this chunk first. */
  readonly startByte: number;
  /** Well-formed UTF-8 of whole characters; the next chunk may overwrite it. */
  readonly bytes: Uint8Array;
  /** Where `bytes` stand in the corpus; undefined for a document that is only read whole. */
  readonly places?: readonly Place[] | undefined;
  /** Of a pair: what follows the prompt `bytes` and alone counts towards the loss; else null. */
  readonly completion: Uint8Array | null;
  readonly startsDocument: boolean;
  readonly endsDocument: boolean;
  /** For messages: the place of the byte at `index` of the text. */
  place(index: number): string;
}

/**
 * The text of `part` from where it begins on. Documents without text are passed over, and so are those that the
 * part's hash leaves to the other side.
 * @throws wrongInput as utf8Chunks and fileDocuments do
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
    for await (const { startByte: at, place, text, completion } of fileDocuments(
      file,
      { startByte, endByte },
      corpus,
      options,
    )) {
      if (isStopped()) return;
      if (text.length + (completion?.length ?? 0) === 0) {
        if (options.counts) options.counts.emptyDocuments++;
        continue;
      }
      if (!belongs(part, text, completion)) continue;
      const whole = { startsDocument: true, endsDocument: true };
      yield {
        file,
        startByte: at,
        bytes: text,
        completion,
        ...whole,
        place: (index) => `${place}, at byte ${index} of its text`,
      };
    }
  }
}

async function* runningText(
  corpus: ReadableCorpus,
  part: CorpusPart,
  options: ReadOptions,
): AsyncGenerator<TextChunk, void, void> {
  let startsDocument = part.startByte === 0;
  for await (const { file, startByte, endByte, bytes, places } of utf8Chunks(corpus, part, options)) {
    const place = (index: number): string => placeInFile(file, byteAt(places, index));
    const endsDocument = endByte >= part.endByte;
    yield { file, startByte, bytes, places, completion: null, startsDocument, endsDocument, place };
    startsDocument = false;
  }
}

/** A file that is one document, in chunks. Its hash is that of its first chunk. */
async function* fileAsDocument(
  corpus: ReadableCorpus,
  file: CorpusFile,
  part: CorpusPart,
  options: ReadOptions,
): AsyncGenerator<TextChunk, void, void> {
  let startsDocument: boolean = part.startByte === file.startByte;
  let held: TextChunk | undefined;
  for await (const { startByte, bytes, places } of utf8Chunks({ ...corpus, files: [file] }, part, options)) {
    if (startsDocument && !belongs(part, bytes, null)) return;
    if (held !== undefined) yield held;
    const place = (index: number): string => placeInFile(file, byteAt(places, index));
    held = {
      file,
      startByte,
      bytes: Uint8Array.from(bytes),
      places,
      completion: null,
      startsDocument,
      endsDocument: false,
      place,
    };
    startsDocument = false;
  }
  if (held !== undefined) yield { ...held, endsDocument: true };
}

/**
 * Bytes of a document that its hash is taken of: equal documents are on the same side, whatever is added to the corpus.
 */
const hashedBytes = 65_536;

/** Whether a document is of this part. 48 bits of SHA-256 against the fraction. */
function belongs({ documents }: CorpusPart, text: Uint8Array, completion: Uint8Array | null): boolean {
  if (documents === undefined) return true;
  const hash = createHash('sha256').update(text.subarray(0, hashedBytes));
  if (completion !== null) hash.update(completion.subarray(0, hashedBytes));
  const validates = hash.digest().readUIntBE(0, 6) / 2 ** 48 < documents.fraction;
  return validates === (documents.side === 'validation');
}
