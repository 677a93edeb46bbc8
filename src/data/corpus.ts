/**
 * The corpus as one long text: the files of all sources laid end to end, split into training and validation.
 * Row 4 of the walk. Positions count bytes of this text; a byte order mark at the start of a file is no text, it is
 * left out here and so counted nowhere. Nothing is read but the first bytes of each file and those around the split.
 */
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';

import type { Config } from '../config/schema.ts';
import { wrongInput } from '../errors.ts';
import { sourceFiles, unreadable } from './sourceFiles.ts';

/** Bytes `startByte` (included) to `endByte` (excluded) of the corpus. */
export interface ByteRange {
  readonly startByte: number;
  readonly endByte: number;
}

export interface CorpusFile {
  readonly path: string;
  /** Bytes of text: the size of the file without a byte order mark. */
  readonly bytes: number;
  /** Position of the file's text in the corpus. */
  readonly startByte: number;
  /** Where the text begins in the file: 3 behind a byte order mark, else 0. */
  readonly markBytes: number;
}

export interface Corpus {
  readonly files: readonly CorpusFile[];
  readonly bytes: number;
  readonly training: ByteRange;
  readonly validation: ByteRange;
}

/**
 * Lists the files of a corpus and splits it. The validation part is the last `validation.tail` of the bytes; the cut
 * moves back to a character border, by 3 bytes at most.
 * @throws wrongInput naming the source (missing, unreadable, empty) or the key of a split that leaves a part empty.
 */
export async function openCorpus(config: Config['corpus']): Promise<Corpus> {
  const files: CorpusFile[] = [];
  let bytes = 0;
  for (const path of await sourceFiles(config.sources)) {
    const file = await measure(path, bytes);
    if (file.bytes === 0) continue;
    files.push(file);
    bytes += file.bytes;
  }
  if (bytes === 0) throw wrongInput('corpus.sources: the files hold no text but byte order marks.');
  const cut = await characterStart({ files }, Math.floor(bytes * (1 - config.validation.tail)));
  if (cut === 0 || cut === bytes) {
    const part = cut === 0 ? 'training' : 'validation';
    throw wrongInput(
      `corpus.validation.tail: ${config.validation.tail} of ${bytes} bytes leaves no ${part} text. ` +
        'Change the fraction or give more text.',
    );
  }
  return {
    files,
    bytes,
    training: { startByte: 0, endByte: cut },
    validation: { startByte: cut, endByte: bytes },
  };
}

/** The first byte of the character that the byte at position `byte` belongs to; a file's start and the end count. */
export async function characterStart(corpus: Pick<Corpus, 'files'>, byte: number): Promise<number> {
  const file = corpus.files.find((file) => byte > file.startByte && byte < file.startByte + file.bytes);
  if (file === undefined) return byte;
  const before = Math.min(3, byte - file.startByte);
  const around = Buffer.alloc(before + 1);
  const handle = await openFile(file.path);
  try {
    await handle.read(around, 0, around.length, file.markBytes + byte - before - file.startByte);
  } catch (error) {
    throw unreadable(file.path, error);
  } finally {
    await handle.close();
  }
  for (let back = 0; back <= before; back++) {
    const isContinuation = (around[before - back]! & 0xc0) === 0x80;
    if (!isContinuation) return byte - back;
  }
  return byte; // No character: reading will refuse this text and name the byte.
}

/** "byte 17 of /texts/a.txt": the place in its file of a position in the corpus. */
export function placeInFile(file: CorpusFile, byte: number): string {
  return `byte ${file.markBytes + byte - file.startByte} of ${file.path}`;
}

/** Opens a file of the corpus for reading. @throws wrongInput where the system refuses. */
export async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r');
  } catch (error) {
    throw unreadable(path, error);
  }
}

async function measure(path: string, startByte: number): Promise<CorpusFile> {
  const handle = await openFile(path);
  try {
    const { size } = await handle.stat();
    const head = Buffer.alloc(3);
    await handle.read(head, 0, 3, 0);
    const markBytes = head[0] === 0xef && head[1] === 0xbb && head[2] === 0xbf ? 3 : 0;
    return { path, bytes: size - markBytes, startByte, markBytes };
  } catch (error) {
    throw unreadable(path, error);
  } finally {
    await handle.close();
  }
}
