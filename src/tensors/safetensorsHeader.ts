/**
 * Builds and parses the header of a safetensors file. Parsing checks everything, since a checkpoint may come from
 * anywhere. Format: https://huggingface.co/docs/safetensors.
 */
import { bytesPerValue, type ElementType, type FloatType } from './elementTypes.ts';
import { elementCount } from './tensors.ts';

/** The limit of the format, in bytes. */
export const maximumHeaderBytes = 100_000_000;

/** Bytes; eight for the header's length come before it. */
const alignment = 64;

/** The location of a tensor; offsets in bytes from the end of the header, `endByte` exclusive. */
export interface TensorEntry {
  name: string;
  elementType: ElementType;
  shape: number[];
  startByte: number;
  endByte: number;
}

/** Describes what is wrong with a header; the caller adds the file's name. */
export class BadHeader extends Error {}

/**
 * The header for tensors stored one after the other in the given order, padded with spaces so that the data begins at a
 * multiple of 64 bytes: a file that is mapped into memory is then used where it is (runtime/capi.ts).
 * @param metadata strings under `__metadata__`, in the given order
 */
export function buildHeader(
  tensors: readonly { name: string; shape: readonly number[] }[],
  metadata?: Record<string, string>,
  elementType: FloatType = 'F32',
): Buffer {
  const fields = metadata === undefined ? [] : [`"__metadata__":${JSON.stringify(metadata)}`];
  const names = new Set(['__metadata__']);
  let startByte = 0;
  for (const { name, shape } of tensors) {
    if (names.has(name)) throw new Error(`two tensors are named ${name}, or the name is reserved`);
    names.add(name);
    const endByte = startByte + elementCount(shape) * bytesPerValue[elementType];
    const entry = { dtype: elementType, shape, data_offsets: [startByte, endByte] };
    // Not JSON.stringify of one object, which would move names that look like integers to the front.
    fields.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
    startByte = endByte;
  }
  const json = Buffer.from(`{${fields.join(',')}}`);
  const padding = (alignment - ((8 + json.length) % alignment)) % alignment;
  if (json.length + padding > maximumHeaderBytes) throw new Error('too many tensors for one safetensors file');
  return Buffer.concat([json, Buffer.alloc(padding, ' ')]);
}

/**
 * Checks a header and returns its tensors in the order of their data.
 * @param dataBytes number of bytes that follow the header in the file
 * @param accepted the element types that may occur; files written by clm have only one
 * @throws BadHeader if the tensors do not cover exactly those bytes, or anything in the header is malformed
 */
export function parseHeader(
  header: Uint8Array,
  dataBytes: number,
  accepted: readonly string[] = ['F32'],
): TensorEntry[] {
  if (header[0] !== 0x7b) throw new BadHeader('its header is not a JSON object');
  let text: string;
  let fields: Record<string, unknown>;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(header);
    fields = JSON.parse(text) as Record<string, unknown>;
  } catch {
    throw new BadHeader('its header is not valid JSON in UTF-8');
  }
  const entries: TensorEntry[] = [];
  for (const name of topLevelKeys(text)) {
    if (name === '__metadata__') checkMetadata(fields[name]);
    else entries.push(parseEntry(name, fields[name], accepted));
  }
  entries.sort((a, b) => a.startByte - b.startByte || a.endByte - b.endByte);
  checkCoverage(entries, dataBytes);
  return entries;
}

function parseEntry(name: string, field: unknown, accepted: readonly string[]): TensorEntry {
  const label = `tensor ${JSON.stringify(name)}`;
  if (!isObject(field)) throw new BadHeader(`${label} is not described by an object`);
  const { dtype, shape, data_offsets: offsets } = field;
  if (typeof dtype !== 'string') throw new BadHeader(`${label} has no dtype`);
  if (!isElementType(dtype) || !accepted.includes(dtype)) {
    const known = accepted.join(', ');
    throw new BadHeader(`${label} has dtype ${JSON.stringify(dtype)}, clm reads only ${known}`);
  }
  if (!isCounts(shape)) throw new BadHeader(`the shape of ${label} is not a list of sizes`);
  if (!isCounts(offsets) || offsets.length !== 2) throw new BadHeader(`${label} has no valid data_offsets`);
  const [startByte, endByte] = offsets as [number, number];
  const bytes = elementCount(shape) * bytesPerValue[dtype];
  if (!Number.isSafeInteger(bytes)) throw new BadHeader(`the shape of ${label} is too large`);
  if (endByte < startByte) throw new BadHeader(`${label} ends before it begins`);
  if (endByte - startByte !== bytes) {
    throw new BadHeader(`${label} has ${endByte - startByte} bytes of data, its shape (${shape}) needs ${bytes}`);
  }
  return { name, elementType: dtype, shape, startByte, endByte };
}

function checkMetadata(field: unknown): void {
  if (isObject(field) && Object.values(field).every((value) => typeof value === 'string')) return;
  throw new BadHeader('its __metadata__ is not an object of strings');
}

/** The format allows neither gaps nor overlaps nor bytes after the last tensor. */
function checkCoverage(entries: readonly TensorEntry[], dataBytes: number): void {
  let coveredBytes = 0;
  for (const { name, startByte, endByte } of entries) {
    const label = `tensor ${JSON.stringify(name)}`;
    if (startByte < coveredBytes) throw new BadHeader(`${label} overlaps the tensor before it`);
    if (startByte > coveredBytes) throw new BadHeader(`there is a gap of unused bytes before ${label}`);
    if (endByte > dataBytes) throw new BadHeader(`${label} ends beyond the file, which is probably truncated`);
    coveredBytes = endByte;
  }
  const strayBytes = dataBytes - coveredBytes;
  if (strayBytes > 0) throw new BadHeader(`its last ${strayBytes} bytes do not belong to any tensor`);
}

/**
 * Keys of the outermost object in the order of the text, which must be valid JSON. JSON.parse would not do: it silently
 * keeps the last of two equal keys, and moves names that look like integers to the front.
 * @throws BadHeader if any object in the text has a duplicate key
 */
function topLevelKeys(text: string): string[] {
  const open: Set<string>[] = []; // one set of keys for each open object or array
  let topLevel: string[] = [];
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (character === '{' || character === '[') open.push(new Set());
    else if (character === '}' || character === ']') {
      const keys = open.pop();
      if (open.length === 0 && keys !== undefined) topLevel = [...keys];
    } else if (character === '"') {
      const start = i++;
      while (text[i] !== '"') i += text[i] === '\\' ? 2 : 1;
      if (!colonFollows(text, i + 1)) continue;
      const key = JSON.parse(text.slice(start, i + 1)) as string;
      const keys = open.at(-1);
      if (keys?.has(key)) throw new BadHeader(`its header has the duplicate key ${JSON.stringify(key)}`);
      keys?.add(key);
    }
  }
  return topLevel;
}

function colonFollows(text: string, index: number): boolean {
  while (index < text.length && ' \t\n\r'.includes(text[index]!)) index++;
  return text[index] === ':';
}

const isElementType = (dtype: string): dtype is ElementType => Object.hasOwn(bytesPerValue, dtype);

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isCounts = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && (item as number) >= 0);
