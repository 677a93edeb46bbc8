/** The files of a text, each looked at: its format, its compression, and whether it is text and in which encoding. */
import { open } from 'node:fs/promises';
import { extname } from 'node:path';
import { ExpectedError } from '../../errors.ts';
import { openContent } from '../files/content.ts';
import { compressionOf, formatOfName, refuseArchive, type Compression, type Format } from '../files/formats.ts';
import { sourceFiles } from '../files/sourceFiles.ts';
import { encodingOf } from './encodings.ts';

export interface SeenFile {
  path: string;
  format: Format;
  compression: Compression | null;
  /** Size on disk. */
  bytes: number;
  /** Of its beginning, a label of the Encoding Standard; null if it is not text. Parquet counts as utf-8. */
  encoding: string | null;
}

/** Bytes at the start of a file that show its compression. */
const headBytes = 64;
/** How much of a file is looked at. */
const sampleBytes = 65_536;

/**
 * @param text a file, a folder or a glob
 * @throws wrongInput as `sourceFiles`; for a compressed file that is damaged
 */
export async function seeFiles(text: string): Promise<SeenFile[]> {
  const { files } = await sourceFiles([{ path: text }], 'text');
  const seen: SeenFile[] = [];
  for (const { path } of files) seen.push(await seeFile(path));
  return seen;
}

async function seeFile(path: string): Promise<SeenFile> {
  const format = formatOfName(path);
  const handle = await open(path, 'r');
  const head = new Uint8Array(headBytes);
  let bytes: number;
  let read: number;
  try {
    bytes = (await handle.stat()).size;
    read = (await handle.read(head, 0, headBytes, 0)).bytesRead;
  } finally {
    await handle.close();
  }
  if (format === 'parquet') return { path, format, compression: null, bytes, encoding: 'utf-8' };
  if (isArchive(path)) return { path, format, compression: null, bytes, encoding: null };
  const compression = compressionOf(head.subarray(0, read), path);
  return { path, format, compression, bytes, encoding: encodingOf(await sampleAt({ path, compression }, 0)) };
}

function isArchive(path: string): boolean {
  try {
    refuseArchive(path);
    return false;
  } catch (error) {
    if (error instanceof ExpectedError) return true;
    throw error;
  }
}

/** A piece of a file's content, from byte `start` on. */
export async function sampleAt(file: Pick<SeenFile, 'path' | 'compression'>, start: number): Promise<Uint8Array> {
  const content = await openContent(file);
  const sample = new Uint8Array(sampleBytes);
  try {
    let filled = 0;
    for (let read: number; filled < sampleBytes; filled += read) {
      read = await content.read(sample, filled, sampleBytes - filled, start + filled);
      if (read === 0) break;
    }
    return sample.subarray(0, filled);
  } finally {
    await content.close();
  }
}

/** What to do about files that are not text, by the extension of one. */
export function wayToText(path: string): string {
  const way: Record<string, string> = {
    '.pdf': 'pdftotext makes text of it',
    '.docx': 'pandoc -t plain makes text of it',
    '.epub': 'pandoc -t plain makes text of it',
    '.odt': 'pandoc -t plain makes text of it',
    '.zip': 'unpack it first',
    '.tar': 'unpack it first',
  };
  const extension = /\.(tgz|tar\.\w+|7z|rar|bz2|xz|zip)$/i.test(path) ? '.zip' : extname(path).toLowerCase();
  return way[extension] ?? 'convert it to plain text first';
}
