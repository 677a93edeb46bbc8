/** Where a corpus can be cut in two: at a character of running text, at the start of a document elsewhere. */
import { openContent } from './content.ts';
import type { CorpusFile, ReadableCorpus } from './corpus.ts';
import { fileDocuments } from './fileDocuments.ts';
import { findBytes, stretches } from './stretches.ts';

/** The nearest position to `byte` where a part may begin: a character's start before it, or a document's from it on. */
export async function splitPoint(corpus: ReadableCorpus, byte: number): Promise<number> {
  if (corpus.separatesDocuments !== true) return characterStart(corpus, byte);
  const file = fileAround(corpus, byte);
  if (file === undefined) return byte;
  if (file.format === 'parquet') return byte;
  const end = file.startByte + file.bytes;
  const isLastFile = file === corpus.files.at(-1);
  if (!['jsonLines', 'csv', 'tsv'].includes(file.format ?? 'text') && (file.source?.separator ?? null) === null) {
    if (file.source?.documents !== 'file') return characterStart(corpus, byte); // running text beside documents
    return isLastFile ? file.startByte : end;
  }
  if (file.format === 'jsonLines') {
    // Lines need no reading from the start: the one that begins after the next line end is whole.
    for await (const { startByte } of stretches(
      file,
      { startByte: byte - 1, endByte: end },
      findBytes(Uint8Array.of(0x0a)),
    )) {
      if (startByte >= byte) return startByte;
    }
  }
  let last = file.startByte;
  for await (const { startByte } of fileDocuments(file, { startByte: file.startByte, endByte: end }, corpus)) {
    if (startByte >= byte) return startByte;
    last = startByte;
  }
  return isLastFile && last > file.startByte ? last : end; // something is left to validate on
}

/** The first byte of the character that the byte at position `byte` belongs to; a file's start and the end count. */
export async function characterStart(corpus: ReadableCorpus, byte: number): Promise<number> {
  const file = fileAround(corpus, byte);
  if (file === undefined) return byte;
  const before = Math.min(3, byte - file.startByte);
  const around = Buffer.alloc(before + 1);
  const content = await openContent(file);
  try {
    const from = file.markBytes + byte - before - file.startByte;
    for (let filled = 0; filled < around.length; ) {
      const read = await content.read(around, filled, around.length - filled, from + filled);
      if (read === 0) break;
      filled += read;
    }
  } finally {
    await content.close();
  }
  for (let back = 0; back <= before; back++) {
    const isContinuation = (around[before - back]! & 0xc0) === 0x80;
    if (!isContinuation) return byte - back;
  }
  return byte; // No character: reading will refuse this text and name the byte.
}

/** The file that `byte` lies strictly inside of. */
const fileAround = ({ files }: ReadableCorpus, byte: number): CorpusFile | undefined =>
  files.find((file) => byte > file.startByte && byte < file.startByte + file.bytes);
