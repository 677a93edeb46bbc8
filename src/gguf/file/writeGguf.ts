/**
 * Writes a GGUF file of version 3, tensor by tensor, so that only one is in memory: header, metadata, the tensors'
 * names, shapes and offsets, then their data, each padded to a multiple of 32 bytes. Equal content gives equal bytes.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
 */
import { open } from 'node:fs/promises';
import { endianness } from 'node:os';
import { environmentFailure } from '../../errors.ts';
import { diskFailure } from '../../storage/diskFailure.ts';
import { writeFully } from '../../storage/durable.ts';
import type { FloatType } from '../../tensors/elementTypes.ts';
import type { LazyTensor } from '../../tensors/safetensors.ts';
import { elementCount } from '../../tensors/tensors.ts';
import { blocksOf } from './blocks.ts';
import { bytesOfValues, ggmlTypes } from './ggmlTypes.ts';
import { valueBytes, valueTypes, type ItemType, type MetadataValue } from './metadata.ts';

/** A tensor to write: its shape has the rows first, as in clm; the file has it the other way round. */
export interface WrittenTensor extends LazyTensor {
  type: FloatType | 'Q8_0';
}

/** The format's default: data begins at multiples of it. */
const alignment = 32;
/** A single write may not exceed 2 GiB. */
const chunkBytes = 8 << 20;

const padding = (bytes: number): number => (alignment - (bytes % alignment)) % alignment;
const dataBytes = ({ shape, type }: WrittenTensor): number => bytesOfValues(type, elementCount(shape));

/** Length of the file that `writeGguf` writes, in bytes. */
export function ggufBytes(metadata: readonly [string, MetadataValue][], tensors: readonly WrittenTensor[]): number {
  const header = headerOf(metadata, tensors).length;
  return tensors.reduce((sum, tensor) => sum + dataBytes(tensor) + padding(dataBytes(tensor)), header);
}

/**
 * @param path to create
 * @param metadata in the order of the file
 * @throws environmentFailure if the disk refuses; whatever reading a tensor throws
 */
export async function writeGguf(
  path: string,
  metadata: readonly [string, MetadataValue][],
  tensors: readonly WrittenTensor[],
): Promise<void> {
  if (endianness() !== 'LE') throw environmentFailure('clm writes GGUF on little-endian machines only.');
  try {
    const file = await open(path, 'wx');
    const write = async (bytes: Uint8Array): Promise<void> => {
      for (let start = 0; start < bytes.length; start += chunkBytes)
        await writeFully(file, bytes.subarray(start, start + chunkBytes));
    };
    try {
      await write(headerOf(metadata, tensors));
      for (const tensor of tensors) {
        const values = await tensor.values();
        if (values.length !== elementCount(tensor.shape))
          throw new Error(`${tensor.name}: ${values.length} values for shape (${tensor.shape})`);
        await write(blocksOf(values, tensor.type));
        await write(new Uint8Array(padding(dataBytes(tensor))));
      }
    } finally {
      await file.close();
    }
  } catch (error) {
    throw diskFailure(error, 'write', path);
  }
}

/** All bytes before the data. */
function headerOf(metadata: readonly [string, MetadataValue][], tensors: readonly WrittenTensor[]): Buffer {
  const parts = [Buffer.from('GGUF'), numberBytes('uint32', 3)];
  parts.push(numberBytes('uint64', tensors.length), numberBytes('uint64', metadata.length));
  for (const [key, value] of metadata) {
    parts.push(stringBytes(key), typeBytes(value.type));
    if (value.type !== 'array') parts.push(itemBytes(value.type, value.value));
    else {
      parts.push(typeBytes(value.items), numberBytes('uint64', value.value.length));
      for (const item of value.value) parts.push(itemBytes(value.items, item));
    }
  }
  let offset = 0;
  for (const tensor of tensors) {
    const dimensions = [...tensor.shape].reverse();
    parts.push(stringBytes(tensor.name), numberBytes('uint32', dimensions.length));
    for (const dimension of dimensions) parts.push(numberBytes('uint64', dimension));
    parts.push(numberBytes('uint32', ggmlTypes[tensor.type].id), numberBytes('uint64', offset));
    offset += dataBytes(tensor) + padding(dataBytes(tensor));
  }
  const header = Buffer.concat(parts);
  return Buffer.concat([header, Buffer.alloc(padding(header.length))]);
}

const typeBytes = (type: MetadataValue['type']): Buffer => numberBytes('uint32', valueTypes.indexOf(type));

function stringBytes(string: string): Buffer {
  const utf8 = Buffer.from(string);
  return Buffer.concat([numberBytes('uint64', utf8.length), utf8]);
}

function itemBytes(type: ItemType, value: number | boolean | string): Buffer {
  return type === 'string' ? stringBytes(value as string) : numberBytes(type, Number(value));
}

function numberBytes(type: Exclude<ItemType, 'string'>, value: number): Buffer {
  const bytes = Buffer.alloc(valueBytes[type]);
  if (type === 'float32') bytes.writeFloatLE(value);
  else if (type === 'float64') bytes.writeDoubleLE(value);
  else if (type === 'uint64') bytes.writeBigUInt64LE(BigInt(value));
  else if (type === 'int64') bytes.writeBigInt64LE(BigInt(value));
  else if (type.startsWith('int')) bytes.writeIntLE(value, 0, bytes.length);
  else bytes.writeUIntLE(value, 0, bytes.length);
  return bytes;
}
