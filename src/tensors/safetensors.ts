/**
 * Tensors to and from safetensors files, tensor by tensor, so that no second copy of a model is in memory:
 * eight bytes of header length (little-endian), the JSON header, the values.
 */
import { createHash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import { endianness } from 'node:os';
import { environmentFailure, wrongInput } from '../errors.ts';
import { diskFailure, errorCode } from '../storage/diskFailure.ts';
import { writeFully } from '../storage/durable.ts';
import { floatTypes, fromFloat32, isFloatType, toFloat32, type ElementType, type FloatType } from './elementTypes.ts';
import { BadHeader, buildHeader, maximumHeaderBytes, parseHeader, type TensorEntry } from './safetensorsHeader.ts';
import { tensorChecksum, elementCount, type NamedTensor } from './tensors.ts';

/** Length and lower-case hexadecimal SHA-256 of a file. */
export interface FileDigest {
  bytes: number;
  sha256: string;
}

/** Large enough to be fast, small enough to let the event loop breathe; a single write may not exceed 2 GiB. */
const chunkBytes = 8 << 20;

/** A tensor whose values are made when they are written, so that never more than one of them is in memory. */
export interface LazyTensor {
  name: string;
  shape: readonly number[];
  values(): Float32Array | Promise<Float32Array>;
}

interface WrittenTensors {
  digest: FileDigest;
  /** Of each tensor by name, as `tensorChecksum`. */
  checksums: Record<string, string>;
}

/**
 * Writes tensors in the given order; the same tensors give the same bytes.
 * @returns length and hash of the file and a checksum of each tensor's float32 values, computed while writing
 * @throws environmentFailure when the disk refuses
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly (NamedTensor | LazyTensor)[],
  metadata?: Record<string, string>,
  elementType: FloatType = 'F32',
): Promise<WrittenTensors> {
  refuseBigEndian();
  const header = buildHeader(tensors, metadata, elementType);
  const headerLength = Buffer.alloc(8);
  headerLength.writeBigUInt64LE(BigInt(header.length));
  const hash = createHash('sha256');
  const checksums: [string, string][] = [];
  let bytes = 0;
  try {
    const file = await open(path, 'w');
    const write = async (part: Uint8Array): Promise<void> => {
      for (let start = 0; start < part.length; start += chunkBytes) {
        const chunk = part.subarray(start, start + chunkBytes);
        hash.update(chunk);
        await writeFully(file, chunk);
        bytes += chunk.length;
      }
    };
    try {
      await write(headerLength);
      await write(header);
      for (const { name, shape, values: given } of tensors) {
        const values = typeof given === 'function' ? await given() : given;
        if (elementCount(shape) !== values.length)
          throw new Error(`${name}: ${values.length} values for shape (${shape})`);
        checksums.push([name, await tensorChecksum(values)]);
        await write(fromFloat32(values, elementType));
      }
    } finally {
      await file.close();
    }
  } catch (error) {
    throw diskFailure(error, 'write', path);
  }
  return { digest: { bytes, sha256: hash.digest('hex') }, checksums: Object.fromEntries(checksums) };
}

/**
 * Reads all tensors of a file, in the order of their data. Only element type F32.
 * @throws wrongInput naming the file when it is missing, truncated or not a safetensors file by every rule
 *   of the format; environmentFailure when the disk refuses
 */
export async function readSafetensors(path: string): Promise<NamedTensor[]> {
  return withSafetensors(path, ['F32'], async (entries, read) => {
    const tensors: NamedTensor[] = [];
    for (const entry of entries) tensors.push({ name: entry.name, shape: entry.shape, values: await read(entry) });
    return tensors;
  });
}

/**
 * Opens a file for `use`, which reads of it what it wants, one tensor at a time.
 * @param accepted the element types that the file may hold
 * @throws as `readSafetensors`; whatever `use` throws
 */
export async function withSafetensors<T>(
  path: string,
  accepted: readonly ElementType[],
  use: (entries: readonly TensorEntry[], read: (entry: TensorEntry) => Promise<Float32Array>) => Promise<T>,
): Promise<T> {
  refuseBigEndian();
  try {
    const file = await open(path, 'r');
    try {
      const { entries, dataStartByte } = await readEntries(file, accepted);
      return await use(entries, (entry) => readValues(file, entry, dataStartByte));
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof BadHeader) {
      throw wrongInput(`${path} is not a usable safetensors file: ${error.message}. Get it anew from its source.`);
    }
    if (errorCode(error) === 'ENOENT') throw wrongInput(`${path} does not exist.`);
    if (errorCode(error) === 'EISDIR') throw wrongInput(`${path} is a folder, not a safetensors file.`);
    throw diskFailure(error, 'read', path);
  }
}

async function readEntries(
  file: FileHandle,
  accepted: readonly ElementType[],
): Promise<{ entries: TensorEntry[]; dataStartByte: number }> {
  const { size } = await file.stat();
  if (size < 8) throw new BadHeader(`it has only ${size} bytes`);
  const headerBytes = Number((await readFully(file, Buffer.alloc(8), 0)).readBigUInt64LE());
  if (headerBytes > maximumHeaderBytes) throw new BadHeader(`its header claims ${headerBytes} bytes, too many`);
  if (headerBytes > size - 8) {
    throw new BadHeader(`its header claims ${headerBytes} bytes, only ${size - 8} follow; it is probably truncated`);
  }
  const header = await readFully(file, Buffer.alloc(headerBytes), 8);
  const dataStartByte = 8 + headerBytes;
  return { entries: parseHeader(header, size - dataStartByte, accepted), dataStartByte };
}

async function readValues(file: FileHandle, entry: TensorEntry, dataStartByte: number): Promise<Float32Array> {
  const { name, elementType, shape, startByte, endByte } = entry;
  if (!isFloatType(elementType)) {
    throw new BadHeader(
      `tensor ${JSON.stringify(name)} has dtype "${elementType}"; values are read from ${floatTypes.join(', ')}`,
    );
  }
  if (elementType === 'F32') {
    const values = new Float32Array(elementCount(shape));
    await readFully(file, bytesOf(values), dataStartByte + startByte);
    return values;
  }
  return toFloat32(await readFully(file, Buffer.alloc(endByte - startByte), dataStartByte + startByte), elementType);
}

/** Fills the buffer from `position` (bytes). */
async function readFully<Bytes extends Uint8Array>(file: FileHandle, buffer: Bytes, position: number): Promise<Bytes> {
  for (let done = 0; done < buffer.length; ) {
    const length = Math.min(chunkBytes, buffer.length - done);
    const { bytesRead } = await file.read(buffer, done, length, position + done);
    if (bytesRead === 0) throw new BadHeader('it ended while being read');
    done += bytesRead;
  }
  return buffer;
}

const bytesOf = (values: Float32Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

/** Values are written as they lie in memory, and the format is little-endian. */
function refuseBigEndian(): void {
  if (endianness() !== 'LE') throw environmentFailure('clm reads and writes tensors on little-endian machines only.');
}
