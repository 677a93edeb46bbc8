/** Opens a GGUF model, in one file or split into several, and reads its tensors one at a time. */
import { closeSync, openSync } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { wrongInput } from '../../errors.ts';
import { diskFailure, errorCode } from '../../storage/diskFailure.ts';
import { refusePointerAt } from '../../storage/pointerFiles.ts';
import { dequantize } from './blocks.ts';
import { BadGguf } from './headerCursor.ts';
import type { Metadata } from './metadata.ts';
import { readHeader, type GgufEntry, type GgufHeader } from './readHeader.ts';

export interface GgufTensor extends GgufEntry {
  file: string;
}

export interface GgufModel {
  /** Of the first file. */
  metadata: Metadata;
  tensors: ReadonlyMap<string, GgufTensor>;
}

const splitName = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i;
const readBytes = 8 << 20;

/**
 * Reads the headers of a model.
 * @param path the file, or the first of a split model
 * @throws wrongInput naming the file if it is missing, truncated or malformed, has a kind of tensor that clm does not
 *   read, or is not the first of its model; environmentFailure if the disk refuses
 */
export async function openGguf(path: string): Promise<GgufModel> {
  const first = await headerOf(path);
  const count = numberOf(first, 'split.count') ?? 1;
  const files = count > 1 ? splitFiles(path, first, count) : [path];
  const tensors = new Map<string, GgufTensor>();
  for (const [i, file] of files.entries()) {
    const header = i === 0 ? first : await headerOf(file);
    if (i > 0 && numberOf(header, 'split.no') !== i)
      throw wrongInput(`${file} is not part ${i + 1} of ${basename(path)}: its split.no says something else.`);
    for (const entry of header.entries) {
      if (tensors.has(entry.name)) throw wrongInput(`${file} has the tensor ${entry.name} of another part again.`);
      tensors.set(entry.name, { ...entry, file });
    }
  }
  const expected = numberOf(first, 'split.tensors.count');
  if (count > 1 && expected !== undefined && expected !== tensors.size)
    throw wrongInput(`${path}: the parts have ${tensors.size} tensors, not ${expected}. Download them again.`);
  return { metadata: first.metadata, tensors };
}

/** The values of a tensor. @throws as `openGguf` */
export async function valuesOf({ file: path, type, startByte, endByte }: GgufTensor): Promise<Float32Array> {
  try {
    const file = await open(path, 'r');
    try {
      const bytes = Buffer.alloc(endByte - startByte);
      for (let done = 0; done < bytes.length; ) {
        const length = Math.min(readBytes, bytes.length - done);
        const { bytesRead } = await file.read(bytes, done, length, startByte + done);
        if (bytesRead === 0) throw new BadGguf('it ended while being read');
        done += bytesRead;
      }
      return dequantize(bytes, type);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw failureOf(error, path);
  }
}

async function headerOf(path: string): Promise<GgufHeader> {
  refusePointerAt(path);
  try {
    const stats = await stat(path);
    if (!stats.isFile()) throw new BadGguf('it is not a file');
    const file = openSync(path, 'r');
    try {
      return readHeader(file, stats.size);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw failureOf(error, path);
  }
}

function failureOf(error: unknown, path: string): unknown {
  if (error instanceof BadGguf) return wrongInput(`${path} is not a GGUF file that clm can use: ${error.message}.`);
  if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return wrongInput(`${path} does not exist.`);
  return diskFailure(error, 'read', path);
}

function splitFiles(path: string, first: GgufHeader, count: number): string[] {
  const match = splitName.exec(basename(path));
  const nameOf = (number: number): string =>
    join(dirname(path), `${match![1]}-${String(number).padStart(5, '0')}-of-${match![3]}.gguf`);
  if (match === null || Number(match[3]) !== count)
    throw wrongInput(
      `${path} is one of ${count} parts of a model, which clm finds by their names, e.g. ` +
        `name-00001-of-${String(count).padStart(5, '0')}.gguf. Rename them as they were.`,
    );
  if (numberOf(first, 'split.no') !== 0) throw wrongInput(`${path} is not the first part; import ${nameOf(1)}.`);
  return Array.from({ length: count }, (_, i) => (i === 0 ? path : nameOf(i + 1)));
}

function numberOf({ metadata }: Pick<GgufHeader, 'metadata'>, key: string): number | undefined {
  const value = metadata.get(key)?.value;
  return typeof value === 'number' ? value : undefined;
}
