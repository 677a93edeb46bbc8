/**
 * Reads the numbers and strings at the start of a GGUF file one after the other, in little-endian order. Nothing is
 * read or allocated before it is known that the file has so many bytes, and a header has at most `maximumHeaderBytes`.
 */
import { isUtf8 } from 'node:buffer';
import { readSync } from 'node:fs';

/** Describes what is wrong with a file; the caller adds the file's name. */
export class BadGguf extends Error {}

/** The largest vocabularies with merges have 20 MB. */
export const maximumHeaderBytes = 256 << 20;
/** Of one string: chat templates reach 20 kB, and licences 100. */
const maximumStringBytes = 16 << 20;
const chunkBytes = 1 << 18;

export interface HeaderCursor {
  /** Bytes read so far. */
  position(): number;
  /** @throws BadGguf unless `count` things of at least `bytes` each can follow. @param what for the message */
  assertRoom(count: number, bytes: number, what: string): void;
  uint(bytes: 1 | 2 | 4): number;
  int(bytes: 1 | 2 | 4): number;
  /** A number of 64 bits. @throws BadGguf if it is beyond 2^53 */
  long(what: string, isSigned?: boolean): number;
  float(bytes: 4 | 8): number;
  /** @throws BadGguf for one that is too long, or not UTF-8 */
  string(what: string): string;
}

/** @param size bytes of the file */
export function headerCursor(file: number, size: number): HeaderCursor {
  let chunk = Buffer.alloc(0);
  let chunkStart = 0;
  let position = 0;
  const most = Math.min(size, maximumHeaderBytes);

  const assertRoom = (count: number, bytes: number, what: string): void => {
    if (count * bytes <= most - position) return;
    if (count * bytes <= size - position)
      throw new BadGguf(`its header has more than ${maximumHeaderBytes / 2 ** 20} MiB`);
    throw new BadGguf(`it has only ${size} bytes, too few for ${what}; it is probably truncated`);
  };

  const take = (bytes: number, what: string): Buffer => {
    assertRoom(1, bytes, what);
    const at = position - chunkStart;
    position += bytes;
    if (at + bytes <= chunk.length) return chunk.subarray(at, at + bytes);
    chunkStart = position - bytes;
    chunk = Buffer.alloc(Math.min(Math.max(bytes, chunkBytes), size - chunkStart));
    for (let done = 0; done < chunk.length; ) {
      const read = readSync(file, chunk, done, chunk.length - done, chunkStart + done);
      if (read === 0) throw new BadGguf('it ended while being read');
      done += read;
    }
    return chunk.subarray(0, bytes);
  };

  const long = (what: string, isSigned = false): number => {
    const bytes = take(8, what);
    const value = Number(isSigned ? bytes.readBigInt64LE() : bytes.readBigUInt64LE());
    if (!Number.isSafeInteger(value)) throw new BadGguf(`${what} is ${value}, which is too large`);
    return value;
  };

  return {
    position: () => position,
    assertRoom,
    uint: (bytes) => take(bytes, 'its header').readUIntLE(0, bytes),
    int: (bytes) => take(bytes, 'its header').readIntLE(0, bytes),
    float: (bytes) => (bytes === 4 ? take(4, 'its header').readFloatLE() : take(8, 'its header').readDoubleLE()),
    long,
    string: (what) => {
      const length = long(`the length of ${what}`);
      if (length > maximumStringBytes) throw new BadGguf(`${what} has ${length} bytes, which is too long`);
      const utf8 = take(length, what);
      if (!isUtf8(utf8)) throw new BadGguf(`${what} is not UTF-8`);
      return utf8.toString('utf8');
    },
  };
}
