/** Copies of text files that are UTF-8, for files in another encoding. */
import { createWriteStream } from 'node:fs';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { wrongInput } from '../../errors.ts';
import { openContent } from '../files/content.ts';
import { shellPath } from '../../shellWord.ts';

/** A file to copy; its compression is undone. */
export interface CopiedFile {
  path: string;
  compression: 'gzip' | 'zstd' | null;
  /** Label of its encoding. */
  encoding: string;
}

/**
 * Writes a copy of a file, or of all files below a folder, complete or not at all.
 * @param folder the folder that the files are in; undefined for a single file
 * @returns the path of the copy, beside the original
 * @throws wrongInput if the copy exists already, or a file is not in the encoding given
 */
export async function writeUtf8Copy(files: readonly CopiedFile[], folder: string | undefined): Promise<string> {
  const target =
    folder === undefined ? copyName(files[0]!.path) : `${path.normalize(folder).replace(/\/+$/, '')}-utf-8`;
  const exists = await stat(target).then(
    () => true,
    () => false,
  );
  if (exists)
    throw wrongInput(`${target} exists already. If it is the copy in UTF-8: clm init --text ${shellPath(target)}`);
  const part = `${target}.part`;
  await rm(part, { recursive: true, force: true });
  try {
    for (const file of files) {
      const to = folder === undefined ? part : path.join(part, path.relative(folder, withoutCompression(file.path)));
      await mkdir(path.dirname(to), { recursive: true });
      await pipeline(decoded(file), createWriteStream(to, { flush: true }));
    }
    await rename(part, target);
  } finally {
    await rm(part, { recursive: true, force: true });
  }
  return target;
}

const withoutCompression = (file: string): string => file.replace(/\.(gz|gzip|zst|zstd)$/i, '');

/** `letters.txt.gz` → `letters.utf-8.txt` */
function copyName(file: string): string {
  const { dir, name, ext } = path.parse(withoutCompression(file));
  return path.join(dir, `${name}.utf-8${ext}`);
}

async function* decoded({ path: file, compression, encoding }: CopiedFile): AsyncGenerator<string, void, void> {
  const decoder = new TextDecoder(encoding, { fatal: true }); // leaves out a byte order mark
  const content = await openContent({ path: file, compression });
  const buffer = new Uint8Array(1 << 18);
  let bytes = 0;
  try {
    for (let read: number; (read = await content.read(buffer, 0, buffer.length, bytes)) > 0; bytes += read)
      yield decoder.decode(buffer.subarray(0, read), { stream: true });
    yield decoder.decode();
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw wrongInput(`${file} is not ${encoding}: after byte ${bytes} there is something else in it.`, {
      cause: error,
    });
  } finally {
    await content.close();
  }
}
