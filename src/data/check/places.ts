/** Positions in the corpus as places that a person can look up: file, byte and line. */
import { openContent } from '../files/content.ts';
import type { Corpus, CorpusFile } from '../files/corpus.ts';
import { unitOf } from '../files/formats.ts';

/** Field names are those of the command's JSON. */
export interface Place {
  path: string;
  /** Byte of the decompressed file, from 0; null in a Parquet file. */
  byte: number | null;
  /** Line, from 1; null in a Parquet file, and beyond `searchedBytes` of a file. */
  line: number | null;
  /** Row of a Parquet file, from 0; else null. */
  row: number | null;
}

/** To number a line, the file is read up to it; further on that takes too long. */
const searchedBytes = 256 * 2 ** 20;
const bufferBytes = 2 ** 18;

/** The places of positions, in their order. Reads each file at most once, up to the last position in it. */
export async function placesOf({ files }: Pick<Corpus, 'files'>, positions: readonly number[]): Promise<Place[]> {
  const found = new Map<number, Place>();
  const ascending = [...new Set(positions)].sort((a, b) => a - b);
  for (const file of files) {
    const own = ascending.filter((position) => position >= file.startByte && position < file.startByte + file.bytes);
    if (own.length === 0) continue;
    const isRow = unitOf(file.format) === 'row';
    const bytes = own.map((position) => position - file.startByte + file.markBytes);
    const lines = isRow ? [] : await linesAt(file, bytes);
    for (const [i, position] of own.entries()) {
      const place = isRow
        ? { byte: null, line: null, row: bytes[i]! }
        : { byte: bytes[i]!, line: lines[i] ?? null, row: null };
      found.set(position, { path: file.path, ...place });
    }
  }
  return positions.map((position) => found.get(position)!);
}

/** Numbers of the lines that hold these bytes, from 1. @param bytes ascending */
async function linesAt(file: CorpusFile, bytes: readonly number[]): Promise<number[]> {
  const lines: number[] = [];
  const buffer = Buffer.alloc(bufferBytes);
  const content = await openContent(file);
  try {
    let line = 1;
    for (let at = 0; lines.length < bytes.length && at < searchedBytes; ) {
      const read = await content.read(buffer, 0, buffer.length, at);
      if (read === 0) break;
      let from = 0;
      while (lines.length < bytes.length && bytes[lines.length]! < at + read) {
        const to = bytes[lines.length]! - at;
        line += lineEnds(buffer.subarray(from, to));
        lines.push(line);
        from = to;
      }
      line += lineEnds(buffer.subarray(from, read));
      at += read;
    }
  } finally {
    await content.close();
  }
  return lines;
}

function lineEnds(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(0x0a); at >= 0; at = bytes.indexOf(0x0a, at + 1)) count++;
  return count;
}
