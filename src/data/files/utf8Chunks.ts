/**
 * Reads running text as chunks of well-formed UTF-8 that never split a character, in constant memory: one buffer per
 * reader.
 */
import { wrongInput } from '../../errors.ts';
import { openContent } from './content.ts';
import { badUtf8 } from './corpus.ts';
import type { ByteRange, CorpusFile, ReadableCorpus } from './corpus.ts';
import { firstBadByte, maximumPartialBytes, repaired, wholeCharacterBytes } from '../utf8.ts';
import type { SourceOffset } from '../utf8.ts';

/** Small enough that encoding a chunk blocks the event loop for only about a millisecond. */
export const defaultChunkBytes = 256 * 1024;

export interface ReadOptions {
  /** Bytes read from disk at a time, ≥ 1. */
  readonly chunkBytes?: number | undefined;
  /** Ends the stream early, at the next chunk. */
  readonly signal?: AbortSignal | undefined;
  /** Incremented while reading. */
  readonly counts?: ReadCounts | undefined;
}

/** What was repaired or skipped. */
export interface ReadCounts {
  /** Bytes that are not UTF-8, replaced or left out as `corpus.encodingErrors` says. */
  badBytes: number;
  /** Documents without text, which are left out. */
  emptyDocuments: number;
  /** Rows with null in a field, or without the field, which `emptyRows: skip` leaves out. */
  rowsWithoutText: number;
  /** Records of CSV and TSV that look as if a stray quote had joined several, which are read as they are … */
  suspiciousRecords: number;
  /** … and the first of them, in words. */
  firstSuspicious?: string | undefined;
  /** Chats of which nothing counts towards the loss, e.g. without an answer. */
  chatsWithoutLoss?: number | undefined;
  /** Preference pairs in which the last tokens of the prompt are others when the completion follows. */
  cutPrompts?: number | undefined;
}

export const noCounts = (): ReadCounts => ({
  badBytes: 0,
  emptyDocuments: 0,
  rowsWithoutText: 0,
  suspiciousRecords: 0,
});

/** Counts that are absent while nothing was counted. */
const rareCounts = ['chatsWithoutLoss', 'cutPrompts'] as const;

type CountKey = keyof Omit<ReadCounts, 'firstSuspicious' | (typeof rareCounts)[number]>;

export function addCounts(sum: ReadCounts, counts: Readonly<ReadCounts>): void {
  for (const key of Object.keys(noCounts()) as CountKey[]) sum[key] += counts[key];
  for (const key of rareCounts) if (counts[key]) sum[key] = (sum[key] ?? 0) + counts[key];
  sum.firstSuspicious ??= counts.firstSuspicious;
}

interface Utf8Chunk {
  readonly file: CorpusFile;
  /** Position of the chunk's first byte in the corpus. */
  readonly startByte: number;
  /** Position right after the chunk. Not `startByte` plus its length if bytes were repaired. */
  readonly endByte: number;
  /** Whole characters, at least one. Valid until the next chunk is asked for. */
  readonly bytes: Uint8Array;
  /** Where they come from in the corpus. */
  readonly sourceOffsets: readonly SourceOffset[];
}

/**
 * The text of `range`, which must begin and end between characters. Chunks end at multiples of `chunkBytes`, so that
 * they do not depend on where reading began.
 * @throws wrongInput with file and offset of the first byte that does not begin a well-formed character (a sequence
 *   that is cut short or overlong, a surrogate, a code point beyond U+10FFFF), or naming a file that is shorter or
 *   unreadable
 */
export async function* utf8Chunks(
  corpus: ReadableCorpus,
  range: ByteRange,
  { chunkBytes = defaultChunkBytes, signal, counts }: ReadOptions = {},
): AsyncGenerator<Utf8Chunk, void, void> {
  const buffer = new Uint8Array(chunkBytes + maximumPartialBytes);
  for (const file of corpus.files) {
    const start = Math.max(range.startByte, file.startByte);
    const end = Math.min(range.endByte, file.startByte + file.bytes);
    if (start >= end) continue;
    const content = await openContent(file);
    try {
      let rest = 0; // bytes at the front of the buffer: the start of a character that is not read yet as a whole
      for (let byte = start; byte < end; ) {
        if (signal?.aborted === true) return;
        const inFile = byte - file.startByte;
        const length = Math.min(chunkBytes - (inFile % chunkBytes), end - byte);
        const read = await content.read(buffer, rest, length, file.markBytes + inFile);
        if (read === 0)
          throw wrongInput(`${file.path} has become shorter since it was opened. Restore the file and try again.`);
        const startByte = byte - rest;
        byte += read;
        const whole = byte === end ? rest + read : wholeCharacterBytes(buffer, rest + read);
        if (whole > 0) {
          let bytes = buffer.subarray(0, whole);
          let sourceOffsets: readonly SourceOffset[] = [{ index: 0, byte: startByte }];
          const bad = firstBadByte(bytes);
          if (bad >= 0) {
            const { encodingErrors = 'error' } = corpus;
            if (encodingErrors === 'error') throw badUtf8(file, startByte + bad);
            const result = repaired(bytes, encodingErrors);
            bytes = result.bytes as Uint8Array<ArrayBuffer>;
            sourceOffsets = result.sourceOffsets.map(({ index, byte }) => ({ index, byte: startByte + byte }));
            if (counts) counts.badBytes += result.badBytes;
          }
          const left = rest + read - whole;
          const next = buffer.slice(whole, whole + left); // a copy: the consumer of the chunk may change the buffer
          yield { file, startByte, endByte: startByte + whole, bytes, sourceOffsets };
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
