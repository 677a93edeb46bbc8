/**
 * Reads everything of a GGUF file before its data: metadata, and the names, shapes, types and places of the tensors.
 * Files come from anywhere, so every count, length and offset is checked before it is used. Own code rather than a
 * library: @huggingface/gguf, the one for JavaScript, trusts these numbers, and reads from URLs.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
 */
import { elementCount } from '../../tensors/tensors.ts';
import { bytesOfValues, ggmlTypeNames, ggmlTypeOf, ggmlTypes, nameOfType, type GgmlTypeName } from './ggmlTypes.ts';
import { BadGguf, headerCursor, type HeaderCursor } from './headerCursor.ts';
import { valueBytes, valueTypes, type ItemType, type MetadataValue } from './metadata.ts';

/** A tensor of a file; the shape has the rows first, as in clm. Bytes from the start of the file, the end exclusive. */
export interface GgufEntry {
  name: string;
  type: GgmlTypeName;
  shape: number[];
  startByte: number;
  endByte: number;
}

export interface GgufHeader {
  version: number;
  metadata: Map<string, MetadataValue>;
  /** In the order of their data. */
  entries: GgufEntry[];
}

const maximumKeys = 65_536;
const maximumTensors = 131_072;
/** Items of all lists together: the largest vocabularies have 262,000 tokens and twice as many merges. */
const maximumItems = 2 ** 23;
const maximumDimensions = 4;
const defaultAlignment = 32;

/**
 * @param file an open file descriptor
 * @param size bytes of the file
 * @throws BadGguf if anything is malformed, or of a kind that clm does not read
 */
export function readHeader(file: number, size: number): GgufHeader {
  const cursor = headerCursor(file, size);
  const version = readVersion(cursor);
  const tensors = cursor.long('the number of its tensors');
  const keys = cursor.long('the number of its metadata keys');
  if (tensors > maximumTensors) throw new BadGguf(`it should have ${tensors} tensors, which is too many`);
  if (keys > maximumKeys) throw new BadGguf(`it should have ${keys} metadata keys, which is too many`);
  cursor.assertRoom(keys, 13, `${keys} metadata keys`);
  const metadata = new Map<string, MetadataValue>();
  const items = { left: maximumItems };
  for (let i = 0; i < keys; i++) {
    const key = cursor.string('a metadata key');
    if (metadata.has(key)) throw new BadGguf(`it has the metadata key ${shown(key)} twice`);
    metadata.set(key, readValue(cursor, key, items));
  }
  cursor.assertRoom(tensors, 32, `${tensors} tensors`);
  const found = Array.from({ length: tensors }, () => readTensor(cursor));
  const alignment = alignmentOf(metadata);
  const dataStart = Math.ceil(cursor.position() / alignment) * alignment;
  return { version, metadata, entries: placed(found, dataStart, alignment, size) };
}

function readVersion(cursor: HeaderCursor): number {
  const magic = cursor.uint(4);
  if (magic !== 0x46554747) throw new BadGguf('it does not begin with "GGUF"');
  const version = cursor.uint(4);
  if (version === 2 || version === 3) return version;
  if (version > 0 && version % 65_536 === 0) throw new BadGguf('it is big-endian; clm reads little-endian files');
  throw new BadGguf(`it has version ${version} of the format; clm reads versions 2 and 3`);
}

function readValue(cursor: HeaderCursor, key: string, items: { left: number }): MetadataValue {
  const type = readType(cursor, key);
  if (type !== 'array') return { type, value: readItem(cursor, type, key) };
  const itemType = readType(cursor, key);
  if (itemType === 'array') throw new BadGguf(`${shown(key)} is a list of lists, which clm does not read`);
  const length = cursor.long(`the length of ${shown(key)}`);
  cursor.assertRoom(length, valueBytes[itemType], `the ${length} items of ${shown(key)}`);
  items.left -= length;
  if (items.left < 0) throw new BadGguf(`its lists have more than ${maximumItems} items, which is too many`);
  const value = Array.from({ length }, () => readItem(cursor, itemType, key));
  return { type, items: itemType, value };
}

function readType(cursor: HeaderCursor, key: string): MetadataValue['type'] {
  const number = cursor.uint(4);
  const type = valueTypes[number];
  if (type === undefined) throw new BadGguf(`${shown(key)} has a value of the unknown type ${number}`);
  return type;
}

function readItem(cursor: HeaderCursor, type: ItemType, key: string): number | boolean | string {
  if (type === 'string') return cursor.string(shown(key));
  if (type === 'bool') return readBool(cursor, key);
  if (type === 'float32') return cursor.float(4);
  if (type === 'float64') return cursor.float(8);
  if (type === 'uint64' || type === 'int64') return cursor.long(shown(key), type === 'int64');
  const bytes = valueBytes[type] as 1 | 2 | 4;
  return type.startsWith('int') ? cursor.int(bytes) : cursor.uint(bytes);
}

function readBool(cursor: HeaderCursor, key: string): boolean {
  const byte = cursor.uint(1);
  if (byte > 1) throw new BadGguf(`${shown(key)} is neither true nor false`);
  return byte === 1;
}

type FoundTensor = Omit<GgufEntry, 'startByte' | 'endByte'> & { offset: number };

function readTensor(cursor: HeaderCursor): FoundTensor {
  const name = cursor.string('the name of a tensor');
  const label = `tensor ${shown(name)}`;
  const count = cursor.uint(4);
  if (count === 0 || count > maximumDimensions) throw new BadGguf(`${label} has ${count} dimensions`);
  const dimensions = Array.from({ length: count }, () => cursor.long(`a dimension of ${label}`));
  const number = cursor.uint(4);
  const offset = cursor.long(`the offset of ${label}`);
  const type = ggmlTypeOf(number);
  if (type === undefined)
    throw new BadGguf(`${label} has type ${nameOfType(number)}; clm reads ${ggmlTypeNames.join(', ')}`);
  const values = elementCount(dimensions);
  if (dimensions.includes(0) || !Number.isSafeInteger(values))
    throw new BadGguf(`${label} has the shape (${dimensions.join(', ')})`);
  const { blockValues } = ggmlTypes[type];
  if (dimensions[0]! % blockValues !== 0)
    throw new BadGguf(`${label} has rows of ${dimensions[0]} values, which are not whole blocks of ${type}`);
  return { name, type, shape: dimensions.reverse(), offset };
}

function alignmentOf(metadata: ReadonlyMap<string, MetadataValue>): number {
  const given = metadata.get('general.alignment');
  if (given === undefined) return defaultAlignment;
  const { type, value } = given;
  const isPower = typeof value === 'number' && Number.isInteger(Math.log2(value));
  if (type === 'uint32' && isPower && value >= 8 && value <= 65_536) return value;
  throw new BadGguf(`general.alignment is ${shown(value)}; it must be a power of two from 8 to 65536`);
}

/** As in llama.cpp, each tensor follows the one before, at the next multiple of the alignment. */
function placed(found: readonly FoundTensor[], dataStart: number, alignment: number, size: number): GgufEntry[] {
  const names = new Set<string>();
  let expected = 0;
  let end = dataStart;
  const entries = [...found]
    .sort((a, b) => a.offset - b.offset)
    .map(({ offset, ...tensor }) => {
      const label = `tensor ${shown(tensor.name)}`;
      if (names.has(tensor.name)) throw new BadGguf(`it has ${label} twice`);
      names.add(tensor.name);
      if (offset % alignment !== 0) throw new BadGguf(`${label} is at ${offset}, not a multiple of ${alignment} bytes`);
      if (offset < expected) throw new BadGguf(`${label} overlaps the tensor before it`);
      if (offset > expected) throw new BadGguf(`there is a gap of unused bytes before ${label}`);
      const startByte = dataStart + offset;
      const bytes = bytesOfValues(tensor.type, elementCount(tensor.shape));
      end = startByte + bytes;
      expected = Math.ceil((offset + bytes) / alignment) * alignment;
      if (end > size) throw new BadGguf(`${label} ends beyond the file, which is probably truncated`);
      return { ...tensor, startByte, endByte: end };
    });
  const stray = size - Math.max(end, dataStart + expected);
  if (stray > 0) throw new BadGguf(`its last ${stray} bytes do not belong to any tensor`);
  return entries;
}

const shown = (value: unknown): string => {
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
};
