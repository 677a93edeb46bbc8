/**
 * Reads a stretch of the corpus as chunks of UTF-8 that are known to be well formed and never split a character.
 * Row 4 of the walk, in constant memory: one buffer per reader.
 */
import { isUtf8 } from 'node:buffer';
import type { FileHandle } from 'node:fs/promises';

import { wrongInput } from '../errors.ts';
import { openFile, placeInFile } from './corpus.ts';
import type { ByteRange, Corpus, CorpusFile } from './corpus.ts';
import { unreadable } from './sourceFiles.ts';

/** Small enough that encoding a chunk keeps the event loop waiting for about a millisecond. */
export const defaultChunkBytes = 256 * 1024;

export interface ReadOptions {
  /** Bytes asked of the disk at a time, ≥ 1. */
  readonly chunkBytes?: number | undefined;
  /** Ends the stream early, at the next chunk. */
  readonly signal?: AbortSignal | undefined;
}

export interface Utf8Chunk {
  readonly file: CorpusFile;
  /** Position of the chunk's first byte in the corpus. */
  readonly startByte: number;
  /** Whole characters, at least one. The next chunk overwrites them. */
  readonly bytes: Uint8Array;
}

/**
 * The text of `range`, which must begin and end at character borders.
 * @throws wrongInput with file and byte offset of the first byte that begins no well-formed character (a sequence cut
 *   short, overlong, a surrogate, beyond U+10FFFF), or naming a file that has become shorter or unreadable.
 */
export async function* utf8Chunks(
  corpus: Pick<Corpus, 'files'>,
  range: ByteRange,
  { chunkBytes = defaultChunkBytes, signal }: ReadOptions = {},
): AsyncGenerator<Utf8Chunk, void, void> {
  const buffer = new Uint8Array(chunkBytes + longestRest);
  for (const file of corpus.files) {
    const start = Math.max(range.startByte, file.startByte);
    const end = Math.min(range.endByte, file.startByte + file.bytes);
    if (start >= end) continue;
    const handle = await openFile(file.path);
    try {
      let rest = 0; // bytes at the front of the buffer that begin a character whose end is not read yet
      for (let byte = start; byte < end; ) {
        if (signal?.aborted === true) return;
        const read = await readSome(handle, buffer, rest, Math.min(chunkBytes, end - byte), file, byte);
        const startByte = byte - rest;
        byte += read;
        const whole = byte === end ? rest + read : wholeCharacters(buffer, rest + read);
        if (whole > 0) {
          const bytes = buffer.subarray(0, whole);
          if (!isUtf8(bytes)) throw badUtf8(file, startByte + firstBadByte(bytes));
          const left = rest + read - whole;
          const next = buffer.slice(whole, whole + left); // set aside: the reader of the chunk owns the buffer now
          yield { file, startByte, bytes };
          buffer.set(next);
          rest = left;
        } else {
          rest += read;
        }
      }
    } finally {
      await handle.close();
    }
  }
}

const longestRest = 3;

async function readSome(
  handle: FileHandle,
  buffer: Uint8Array,
  offset: number,
  length: number,
  file: CorpusFile,
  byte: number,
): Promise<number> {
  let bytesRead: number;
  try {
    ({ bytesRead } = await handle.read(buffer, offset, length, file.markBytes + byte - file.startByte));
  } catch (error) {
    throw unreadable(file.path, error);
  }
  if (bytesRead === 0) {
    throw wrongInput(`${file.path} has become shorter since this run opened it. Restore the file and try again.`);
  }
  return bytesRead;
}

/** How many of the first `length` bytes are left when a character that is cut off at the end is taken away. */
function wholeCharacters(bytes: Uint8Array, length: number): number {
  for (let back = 1; back <= Math.min(longestRest, length); back++) {
    const byte = bytes[length - back]!;
    if ((byte & 0xc0) !== 0x80) return sequenceLength(byte) > back ? length - back : length;
  }
  return length;
}

/** Bytes of the character that begins with `lead`; 1 for a byte that cannot begin one. */
function sequenceLength(lead: number): number {
  if (lead < 0xc2 || lead > 0xf4) return 1;
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

function firstBadByte(bytes: Uint8Array): number {
  let at = 0;
  while (at < bytes.length) {
    const length = sequenceLength(bytes[at]!);
    if (at + length > bytes.length || !isUtf8(bytes.subarray(at, at + length))) return at;
    at += length;
  }
  throw new Error('all bytes are well formed');
}

function badUtf8(file: CorpusFile, byte: number): Error {
  return wrongInput(
    `${file.path} is not UTF-8: no character begins at ${placeInFile(file, byte)}. Convert the file to UTF-8.`,
  );
}
