/**
 * Stage: content. The decompressed bytes of one file, from any position on. A plain file is read at that position; a
 * compressed file has to be decompressed from its beginning.
 */
import { createReadStream } from 'node:fs';
import { createGunzip } from 'node:zlib';

import { wrongInput } from '../../errors.ts';
import { shellPath } from '../../shellWord.ts';
import type { CorpusFile } from './corpus.ts';
import type { Compression } from './formats.ts';
import { openFile, unreadable } from './sourceFiles.ts';
import { UnsupportedZstd, zstdChunks } from './zstdFrames.ts';

export interface Content {
  /**
   * Reads up to `length` bytes of the content from position `byte` into `buffer` at `offset`. Positions must not go
   * back. @returns the number of bytes read; 0 at the end
   */
  read(buffer: Uint8Array, offset: number, length: number, byte: number): Promise<number>;
  close(): Promise<void>;
}

/** Opens a file's content, byte order mark included. @throws wrongInput if the file cannot be opened */
export async function openContent(file: Pick<CorpusFile, 'path' | 'compression'>): Promise<Content> {
  if (file.compression) return decompressed(file.path, file.compression);
  const handle = await openFile(file.path);
  return {
    read: async (buffer, offset, length, byte) => {
      try {
        return (await handle.read(buffer, offset, length, byte)).bytesRead;
      } catch (error) {
        throw unreadable(file.path, error);
      }
    },
    close: () => handle.close(),
  };
}

/** The length of the decompressed content: one pass of decompression, in constant memory. */
export async function contentBytes(path: string, compression: Compression): Promise<number> {
  let bytes = 0;
  for await (const chunk of decompressedChunks(path, compression)) bytes += chunk.length;
  return bytes;
}

function decompressed(path: string, compression: Compression): Content {
  const chunks = decompressedChunks(path, compression);
  let chunk: Uint8Array = new Uint8Array(0);
  let chunkStart = 0; // position in the content of the chunk's first byte
  return {
    read: async (buffer, offset, length, byte) => {
      if (byte < chunkStart) throw new Error('a compressed file can only be read forwards');
      while (byte >= chunkStart + chunk.length) {
        chunkStart += chunk.length;
        const next = await chunks.next();
        if (next.done === true) {
          chunk = new Uint8Array(0);
          return 0;
        }
        chunk = next.value;
      }
      const from = byte - chunkStart;
      const taken = Math.min(length, chunk.length - from);
      buffer.set(chunk.subarray(from, from + taken), offset);
      return taken;
    },
    close: async () => void (await chunks.return()),
  };
}

async function* decompressedChunks(path: string, compression: Compression): AsyncGenerator<Uint8Array, void, void> {
  let bytes = 0;
  const file = createReadStream(path);
  try {
    for await (const chunk of compression === 'gzip' ? gunzipped(file) : zstdChunks(file)) {
      bytes += chunk.length;
      yield chunk;
    }
  } catch (error) {
    if (error instanceof UnsupportedZstd)
      throw wrongInput(`${path} ${error.message} ${shellPath(path)}`, { cause: error });
    const { code, message } = error as NodeJS.ErrnoException;
    if (typeof code === 'string' && !code.startsWith('Z_') && !code.startsWith('ERR_')) throw unreadable(path, error);
    throw wrongInput(
      `${path} is a damaged or truncated ${compression} file: after ${bytes} bytes of its text, ${message}. ` +
        'Get a fresh copy of it.',
      {
        cause: error,
      },
    );
  } finally {
    file.destroy();
  }
}

async function* gunzipped(file: ReturnType<typeof createReadStream>): AsyncGenerator<Uint8Array, void, void> {
  const gunzip = createGunzip();
  file.on('error', (error) => gunzip.destroy(error));
  file.pipe(gunzip);
  yield* gunzip as AsyncIterable<Buffer>;
}
