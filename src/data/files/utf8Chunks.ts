/**
 * Reads a stretch of running text as chunks of UTF-8 that are known to be well formed and never split a character.
 * Row 4 of the walk, in constant memory: one buffer per reader.
 */
import { wrongInput } from '../../errors.ts';
import { openContent } from './content.ts';
import { badUtf8 } from './corpus.ts';
import type { ByteRange, CorpusFile, ReadableCorpus } from './corpus.ts';
import { firstBadByte, longestRest, mended, wholeCharacters } from '../utf8.ts';
import type { Place } from '../utf8.ts';

/** Small enough that encoding a chunk keeps the event loop waiting for about a millisecond. */
export const defaultChunkBytes = 256 * 1024;

export interface ReadOptions {
  /** Bytes asked of the disk at a time, ≥ 1. */
  readonly chunkBytes?: number | undefined;
  /** Ends the stream early, at the next chunk. */
  readonly signal?: AbortSignal | undefined;
  /** Added to while reading. */
  readonly counts?: ReadCounts | undefined;
}

/** What was met on the way and mended or passed over. */
interface ReadCounts {
  /** Bytes that are no UTF-8, replaced or left out as `corpus.encodingErrors` says. */
  badBytes: number;
  /** Documents without text. */
  emptyDocuments: number;
}

interface Utf8Chunk {
  readonly file: CorpusFile;
  /** Position of the chunk's first byte in the corpus. */
  readonly startByte: number;
  /** Position right after the chunk, which mended bytes make differ from the sum of its bytes. */
  readonly endByte: number;
  /** Whole characters, at least one. The next chunk overwrites them. */
  readonly bytes: Uint8Array;
  /** Where they stand in the corpus, which mended bytes make uneven. */
  readonly places: readonly Place[];
}

/**
 * The text of `range`, which must begin and end at character borders, without regard to documents. Reading ends at
 * multiples of `chunkBytes`, so that the chunks do not depend on where it began.
 * @throws wrongInput with file and byte offset of the first byte that begins no well-formed character (a sequence cut
 *   short, overlong, a surrogate, beyond U+10FFFF), or naming a file that has become shorter or unreadable.
 */
export async function* utf8Chunks(
  corpus: ReadableCorpus,
  range: ByteRange,
  { chunkBytes = defaultChunkBytes, signal, counts }: ReadOptions = {},
): AsyncGenerator<Utf8Chunk, void, void> {
  const buffer = new Uint8Array(chunkBytes + longestRest);
  for (const file of corpus.files) {
    const start = Math.max(range.startByte, file.startByte);
    const end = Math.min(range.endByte, file.startByte + file.bytes);
    if (start >= end) continue;
    const content = await openContent(file);
    try {
      let rest = 0; // bytes at the front of the buffer that begin a character whose end is not read yet
      for (let byte = start; byte < end; ) {
        if (signal?.aborted === true) return;
        const inFile = byte - file.startByte;
        const length = Math.min(chunkBytes - (inFile % chunkBytes), end - byte);
        const read = await content.read(buffer, rest, length, file.markBytes + inFile);
        if (read === 0)
          throw wrongInput(`${file.path} has become shorter since this run opened it. Restore the file and try again.`);
        const startByte = byte - rest;
        byte += read;
        const whole = byte === end ? rest + read : wholeCharacters(buffer, rest + read);
        if (whole > 0) {
          let bytes = buffer.subarray(0, whole);
          let places: readonly Place[] = [{ index: 0, byte: startByte }];
          const bad = firstBadByte(bytes);
          if (bad >= 0) {
            const { encodingErrors = 'error' } = corpus;
            if (encodingErrors === 'error') throw badUtf8(file, startByte + bad);
            const result = mended(bytes, encodingErrors);
            bytes = result.bytes as Uint8Array<ArrayBuffer>;
            places = result.places.map(({ index, byte }) => ({ index, byte: startByte + byte }));
            if (counts) counts.badBytes += result.badBytes;
          }
          const left = rest + read - whole;
          const next = buffer.slice(whole, whole + left); // set aside: the reader of the chunk owns the buffer now
          yield { file, startByte, endByte: startByte + whole, bytes, places };
          buffer.set(next);
          rest = left;
        } else {
          rest += read;
        }
      }
    } finally {
      await content.close();
    }
  }
}
