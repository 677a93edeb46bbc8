/** Splits a file's content at delimiters into lines, CSV records or parts between separators, each whole in memory. */
import { wrongInput } from '../../errors.ts';
import { openContent } from './content.ts';
import type { ByteRange, CorpusFile } from './corpus.ts';
import { linesFrom } from './jsonRecords.ts';

/** The longest line, record or part that is read into memory; a longer one is most likely a mistake in the format. */
const maximumPartBytes = 64 * 1024 * 1024;

export interface DelimitedPart {
  /** Position in the corpus. */
  readonly startByte: number;
  /** Without the delimiter. Valid until the next part is asked for. */
  readonly bytes: Uint8Array;
}

/**
 * Where the next delimiter in `bytes` begins and ends, or null. The part begins at `start`; bytes before `from` have
 * been searched already. Every part has a new finder.
 */
export type FindDelimiter = (bytes: Uint8Array, from: number, start: number) => { start: number; end: number } | null;

/**
 * The parts that begin in `range`, which itself starts at the start of a part.
 * @throws wrongInput for a file that has become shorter, or naming a part longer than `maximumPartBytes`
 */
export async function* splitAtDelimiters(
  file: CorpusFile,
  range: ByteRange,
  newFinder: () => FindDelimiter,
  { chunkBytes = 256 * 1024 }: { chunkBytes?: number | undefined } = {},
): AsyncGenerator<DelimitedPart, void, void> {
  const end = file.startByte + file.bytes;
  const content = await openContent(file);
  try {
    let buffer = new Uint8Array(chunkBytes);
    let filled = 0;
    let position = range.startByte; // of the buffer's first byte
    let start = 0; // of the part, in the buffer
    let find = newFinder();
    let scanned = 0;
    for (;;) {
      const found = scanned < filled ? find(buffer.subarray(0, filled), scanned, start) : null;
      if (found !== null) {
        if (position + start >= range.endByte) return;
        yield { startByte: position + start, bytes: buffer.subarray(start, found.start) };
        start = scanned = found.end;
        find = newFinder();
        continue;
      }
      scanned = filled;
      if (position + filled >= end) break;
      if (start > 0) {
        buffer.copyWithin(0, start, filled);
        filled -= start;
        scanned -= start;
        position += start;
        start = 0;
      }
      if (filled === buffer.length) {
        if (filled >= maximumPartBytes) throw tooLong(file, position, buffer[0]!);
        const larger = new Uint8Array(buffer.length * 2);
        larger.set(buffer);
        buffer = larger;
      }
      const length = Math.min(buffer.length - filled, end - position - filled);
      const read = await content.read(buffer, filled, length, file.markBytes + position + filled - file.startByte);
      if (read === 0)
        throw wrongInput(`${file.path} has become shorter since it was opened. Restore the file and try again.`);
      filled += read;
    }
    if (filled > start && position + start < range.endByte)
      yield { startByte: position + start, bytes: buffer.subarray(start, filled) };
  } finally {
    await content.close();
  }
}

/** Finds a fixed delimiter, even across the chunks in which the content is read. */
export const findBytes =
  (delimiter: Uint8Array): (() => FindDelimiter) =>
  () =>
  (bytes, from, partStart) => {
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    const start = view.indexOf(delimiter, Math.max(partStart, from - delimiter.length + 1));
    return start < 0 ? null : { start, end: start + delimiter.length };
  };

function tooLong(file: CorpusFile, byte: number, startsWith: number): Error {
  const at = `byte ${file.markBytes + byte - file.startByte} of ${file.path}`;
  const longer = `is longer than ${maximumPartBytes / 1024 / 1024} MiB`;
  switch (file.format ?? 'text') {
    case 'jsonLines':
      if (startsWith === '['.charCodeAt(0))
        return wrongInput(`The line at ${at} ${longer} and begins a JSON array. ${linesFrom(file, '.[]')}`);
      return wrongInput(`The line at ${at} ${longer}. Every line must be one JSON object; split or remove this one.`);
    case 'csv':
    case 'tsv':
      return wrongInput(
        `The record at ${at} ${longer}. Most likely a quote opens a field there and none closes it. Fix or remove ` +
          'the record.',
      );
    default:
      return wrongInput(
        `The document at ${at} ${longer}. Choose another separator in corpus.sources, or leave it out to read the ` +
          'file as one running text.',
      );
  }
}
