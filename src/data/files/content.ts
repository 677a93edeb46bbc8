/**
 * The content of a file of the corpus, decompressed, from any position on. A plain file is read where it is asked for;
 * a compressed one has to be decompressed from its beginning, which is the price of its positions.
 */
import { createReadStream } from 'node:fs';
import { createGunzip } from 'node:zlib';
import { Decompress } from 'fzstd';

import { wrongInput } from '../../errors.ts';
import type { CorpusFile } from './corpus.ts';
import type { Compression } from './formats.ts';
import { openFile, unreadable } from './sourceFiles.ts';

export interface Content {
  /**
   * Fills `buffer` from `offset` on with up to `length` bytes of the content from `byte` on; returns how many, 0 at
   * the end. Positions never go back.
   */
  read(buffer: Uint8Array, offset: number, length: number, byte: number): Promise<number>;
  close(): Promise<void>;
}

/** Opens a file's content, byte order mark included. @throws wrongInput where the system refuses. */
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

/** How many bytes the content has: one pass of decompression, in constant memory. */
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
      if (byte < chunkStart) throw new Error('a compressed file is read forwards only');
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
    const { code, message } = error as NodeJS.ErrnoException;
    if (typeof code === 'string' && !code.startsWith('Z_') && !code.startsWith('ERR_')) throw unreadable(path, error);
    throw wrongInput(
      `${path} is a damaged or truncated ${compression} file: after ${bytes} bytes of its text, ${message}. Fetch it anew.`,
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

/** Node has zstd only from 22.15 on; fzstd is the same on every version, but checks no checksums. */
async function* zstdChunks(file: AsyncIterable<Buffer>): AsyncGenerator<Uint8Array, void, void> {
  let made: Uint8Array[] = [];
  const decompress = new Decompress((chunk) => made.push(chunk));
  const take = (): Uint8Array[] => {
    const taken = made;
    made = [];
    return taken;
  };
  for await (const chunk of file) {
    decompress.push(chunk);
    yield* take();
  }
  decompress.push(new Uint8Array(0), true); // throws where the last frame is not whole
  yield* take();
}
