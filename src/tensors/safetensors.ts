/**
 * Reads and writes safetensors files tensor by tensor, so that no second copy of a model is in memory. The file is
 * eight bytes of header length (little-endian), the JSON header, the values. Format:
 * https://huggingface.co/docs/safetensors.
 */
import { createHash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import { endianness } from 'node:os';
import { environmentFailure, wrongInput } from '../errors.ts';
import { diskFailure, errorCode } from '../storage/diskFailure.ts';
import { writeFully } from '../storage/durable.ts';
import { refusePointerAt } from '../storage/pointerFiles.ts';
import { floatTypes, fromFloat32, isFloatType, toFloat32, type ElementType, type FloatType } from './elementTypes.ts';
import { BadHeader, buildHeader, maximumHeaderBytes, parseHeader, type TensorEntry } from './safetensorsHeader.ts';
import { tensorChecksum, elementCount, type NamedTensor } from './tensors.ts';

/** Length and SHA-256 (lower-case hexadecimal) of a file. */
export interface FileDigest {
  bytes: number;
  sha256: string;
}

/** Large enough to be fast, small enough not to block the event loop; a single write may not exceed 2 GiB. */
const chunkBytes = 8 << 20;

/** A tensor whose values are computed when they are written, so that only one at a time is in memory. */
export interface LazyTensor {
  name: string;
  shape: readonly number[];
  values(): Float32Array | Promise<Float32Array>;
}

interface WrittenTensors {
  digest: FileDigest;
  /** `tensorChecksum` of each tensor, by name. */
  checksums: Record<string, string>;
}

/**
 * Writes tensors in the given order; equal tensors give equal bytes.
 * @returns length and hash of the file, and a checksum of each tensor's float32 values, computed while writing
 * @throws environmentFailure if the disk refuses
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
 * Reads all tensors of a file, in the order of their data; element type F32 only.
 * @throws wrongInput naming the file if it is missing, truncated or violates any rule of the format;
 *   environmentFailure if the disk refuses
 */
export async function readSafetensors(path: string): Promise<NamedTensor[]> {
  return withSafetensors(path, ['F32'], async (entries, read) => {
    const tensors: NamedTensor[] = [];
    for (const entry of entries) tensors.push({ name: entry.name, shape: entry.shape, values: await read(entry) });
    return tensors;
  });
}

/**
 * Opens a file for `use`, which reads the tensors it needs, one at a time.
 * @param accepted the element types that the file may have
 * @throws as `readSafetensors`; whatever `use` throws
 */
export async function withSafetensors<T>(
  path: string,
  accepted: readonly ElementType[],
  use: (
    entries: readonly TensorEntry[],
    read: (entry: TensorEntry) => Promise<Float32Array>,
    dataStartByte: number,
  ) => Promise<T>,
): Promise<T> {
  refuseBigEndian();
  refusePointerAt(path);
  try {
    const file = await open(path, 'r');
    try {
      const { entries, dataStartByte } = await readEntries(file, accepted);
      return await use(entries, (entry) => readValues(file, entry, dataStartByte), dataStartByte);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof BadHeader) {
      throw wrongInput(`${path} is not a usable safetensors file: ${error.message}. Download or copy it again.`);
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
  if (headerBytes > maximumHeaderBytes) await refuseText(file);
  if (headerBytes > maximumHeaderBytes)
    throw new BadHeader(`its header should have ${headerBytes} bytes, which is too many`);
  if (headerBytes > size - 8) {
    throw new BadHeader(
      `its header should have ${headerBytes} bytes, but only ${size - 8} follow; it is probably truncated`,
    );
  }
  const header = await readFully(file, Buffer.alloc(headerBytes), 8);
  const dataStartByte = 8 + headerBytes;
  return { entries: parseHeader(header, size - dataStartByte, accepted), dataStartByte };
}

/** A download that failed often leaves a page or a message in the place of the file. */
async function refuseText(file: FileHandle): Promise<void> {
  const head = (await readFully(file, Buffer.alloc(8), 0)).toString('latin1');
  if (/^[\x20-\x7e\s]+$/.test(head)) throw new BadHeader(`it is a text that begins with ${JSON.stringify(head)}`);
}

async function readValues(file: FileHandle, entry: TensorEntry, dataStartByte: number): Promise<Float32Array> {
  const { name, elementType, shape, startByte, endByte } = entry;
  if (!isFloatType(elementType)) {
    throw new BadHeader(
      `tensor ${JSON.stringify(name)} has dtype "${elementType}"; clm reads values of ${floatTypes.join(', ')}`,
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

/** Values are written as they are in memory, and the format is little-endian. */
function refuseBigEndian(): void {
  if (endianness() !== 'LE') throw environmentFailure('clm reads and writes tensors on little-endian machines only.');
}
