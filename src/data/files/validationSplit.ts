/** Where a corpus may be split in two: between characters of running text, or between documents. */
import { openContent } from './content.ts';
import type { CorpusFile, ReadableCorpus } from './corpus.ts';
import { fileDocuments } from './fileDocuments.ts';
import { unitOf } from './formats.ts';
import { findBytes, splitAtDelimiters } from './splitAtDelimiters.ts';

/** Where to split near `byte`: at the start of the character there, or at the first document from there on. */
export async function splitPoint(corpus: ReadableCorpus, byte: number): Promise<number> {
  if (corpus.separatesDocuments !== true) return characterStart(corpus, byte);
  const file = fileContaining(corpus, byte);
  if (file === undefined) return byte;
  if (unitOf(file.format) === 'row') return byte;
  const end = file.startByte + file.bytes;
  const isLastFile = file === corpus.files.at(-1);
  if (!['jsonLines', 'csv', 'tsv'].includes(file.format ?? 'text') && (file.source?.separator ?? null) === null) {
    if (file.source?.documents !== 'file') return characterStart(corpus, byte); // running text among documents
    return isLastFile ? file.startByte : end;
  }
  if (file.format === 'jsonLines') {
    // Lines can be found without reading from the start: one begins after the next line end.
    for await (const { startByte } of splitAtDelimiters(
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
  return isLastFile && last > file.startByte ? last : end; // some text must remain for validation
}

/** The position where the character around `byte` begins; `byte` itself at the start of a file and at the end. */
export async function characterStart(corpus: ReadableCorpus, byte: number): Promise<number> {
  const file = fileContaining(corpus, byte);
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
  return byte; // not UTF-8: reading refuses this text and names the byte
}

/** The file with `byte` inside of it, not at its start. */
const fileContaining = ({ files }: ReadableCorpus, byte: number): CorpusFile | undefined =>
  files.find((file) => byte > file.startByte && byte < file.startByte + file.bytes);
