/**
 * A file of the token cache: the `EncodedText`s of a part of the corpus, in blocks that can be found by position.
 *
 * block …   chunks u32, tokens u32; startByte f64 of each chunk, tokens u32 of each, flags u8 of each; the ids as u16
 * or u32; a byte of loss mask for each token of the chunks that have one. Padded to 8 bytes, little-endian. index
 * JSON: bytes of an id, tokens, and of each block: offset in the file, bytes, CRC-32, startByte trailer   "clmtoken",
 * bytes of the index u32, CRC-32 of the index u32
 *
 * Nothing is used before its checksum is verified.
 */
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';

import { z } from 'zod';

import { writeFully } from '../../storage/durable.ts';
import type { EncodedText } from './encodedText.ts';

/** Part of the cache key, so that a file of another layout is never found. */
export const tokenFileVersion = 1;

/** Minimum tokens of every block but the last. A block is read and verified as a whole. */
const blockTokens = 2 ** 18;
const magic = 'clmtoken';
const trailerBytes = 16;
const [starts, ends, hasLossMask] = [1, 2, 4];

const indexSchema = z.strictObject({
  idBytes: z.literal([2, 4]),
  tokens: z.int().min(0),
  blocks: z.array(z.tuple([z.int().min(0), z.int().min(0), z.int().min(0), z.int().min(0)])),
});
type Index = z.output<typeof indexSchema>;

/** Writes a new file. @returns the number of tokens; throws what `texts` throws */
export async function writeTokenFile(
  path: string,
  texts: AsyncIterable<EncodedText>,
  vocabularySize: number,
): Promise<number> {
  const file = await open(path, 'wx');
  try {
    const index: Index = { idBytes: vocabularySize <= 2 ** 16 ? 2 : 4, tokens: 0, blocks: [] };
    let offset = 0;
    let gathered: EncodedText[] = [];
    let tokens = 0;
    const writeBlock = async (): Promise<void> => {
      const block = blockOf(gathered, tokens, index.idBytes);
      await writeFully(file, block);
      index.blocks.push([offset, block.length, crc32(block), gathered[0]!.startByte]);
      index.tokens += tokens;
      offset += block.length;
      gathered = [];
      tokens = 0;
    };
    for await (const text of texts) {
      gathered.push(text);
      tokens += text.tokenIds.length;
      if (tokens >= blockTokens) await writeBlock();
    }
    if (gathered.length > 0) await writeBlock();
    const indexText = Buffer.from(JSON.stringify(index));
    const trailer = Buffer.alloc(trailerBytes);
    trailer.write(magic);
    trailer.writeUInt32LE(indexText.length, 8);
    trailer.writeUInt32LE(crc32(indexText), 12);
    await writeFully(file, Buffer.concat([indexText, trailer]));
    return index.tokens;
  } finally {
    await file.close();
  }
}

/** The number of tokens in a file, by its index; null if the file is missing or its index is damaged. */
export async function tokensOfFile(path: string): Promise<number | null> {
  const file = await openIfThere(path);
  if (file === null) return null;
  try {
    return (await readIndex(file))?.tokens ?? null;
  } finally {
    await file.close();
  }
}

/**
 * The contents of a file from a position on.
 * @param startByte start with the first text that begins there or later, or with `inside`, the text it is in
 * @returns null at the end; if the file is damaged, the position from which on the text itself has to be read
 */
export async function* readTokenFile(
  path: string,
  startByte: number,
  inside: boolean,
): AsyncGenerator<EncodedText, number | null, void> {
  const file = await openIfThere(path);
  if (file === null) return startByte;
  try {
    const index = await readIndex(file);
    if (index === null) return startByte;
    let block = Math.max(
      0,
      firstAtLeast(
        index.blocks.map(([, , , blockStart]) => blockStart),
        startByte,
      ) - 1,
    );
    for (let isFirst = true; block < index.blocks.length; block++) {
      const [offset, bytes, checksum, blockStart] = index.blocks[block]!;
      const content = new Uint8Array(bytes);
      const { bytesRead } = await file.read(content, 0, bytes, offset);
      if (bytesRead < bytes || crc32(content) !== checksum) return isFirst ? startByte : blockStart;
      const texts = textsOf(content, index.idBytes);
      if (!isFirst) {
        yield* texts;
        continue;
      }
      const first = firstAtLeast(
        texts.map((text) => text.startByte),
        startByte,
      );
      const isInside = inside && first > 0 && texts[first]?.startByte !== startByte;
      const wanted = texts.slice(isInside ? first - 1 : first);
      yield* wanted;
      isFirst = wanted.length === 0;
    }
    return null;
  } finally {
    await file.close();
  }
}

/** Index of the first element of an ascending list that is at least `value`. */
function firstAtLeast(values: readonly number[], value: number): number {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

async function openIfThere(path: string): Promise<FileHandle | null> {
  try {
    return await open(path, 'r');
  } catch {
    return null; // an unreadable file is written again
  }
}

async function readIndex(file: FileHandle): Promise<Index | null> {
  const { size } = await file.stat();
  if (size < trailerBytes) return null;
  const trailer = Buffer.alloc(trailerBytes);
  await file.read(trailer, 0, trailerBytes, size - trailerBytes);
  const bytes = trailer.readUInt32LE(8);
  if (trailer.toString('latin1', 0, 8) !== magic || bytes > size - trailerBytes) return null;
  const text = Buffer.alloc(bytes);
  await file.read(text, 0, bytes, size - trailerBytes - bytes);
  if (crc32(text) !== trailer.readUInt32LE(12)) return null;
  return indexSchema.safeParse(JSON.parse(text.toString())).data ?? null;
}

const padded = (bytes: number): number => Math.ceil(bytes / 8) * 8;

/** Byte offsets of the parts of a block. */
function layout(
  chunks: number,
  tokens: number,
  idBytes: number,
): { counts: number; flags: number; ids: number; lossMasks: number } {
  const counts = 8 + 8 * chunks;
  const flags = counts + 4 * chunks;
  const ids = padded(flags + chunks);
  return { counts, flags, ids, lossMasks: ids + padded(idBytes * tokens) };
}

function blockOf(texts: readonly EncodedText[], tokens: number, idBytes: 2 | 4): Uint8Array {
  const maskedTokens = texts.reduce((sum, { lossMask }) => sum + (lossMask?.length ?? 0), 0);
  const at = layout(texts.length, tokens, idBytes);
  const buffer = new ArrayBuffer(at.lossMasks + padded(maskedTokens));
  new Uint32Array(buffer, 0, 2).set([texts.length, tokens]);
  const startBytes = new Float64Array(buffer, 8, texts.length);
  const counts = new Uint32Array(buffer, at.counts, texts.length);
  const flags = new Uint8Array(buffer, at.flags, texts.length);
  const ids = idBytes === 2 ? new Uint16Array(buffer, at.ids, tokens) : new Uint32Array(buffer, at.ids, tokens);
  const lossMasks = new Uint8Array(buffer, at.lossMasks, maskedTokens);
  let idOffset = 0;
  let maskOffset = 0;
  for (const [i, { startByte, tokenIds, lossMask, startsDocument, endsDocument }] of texts.entries()) {
    startBytes[i] = startByte;
    counts[i] = tokenIds.length;
    flags[i] = (startsDocument ? starts : 0) | (endsDocument ? ends : 0) | (lossMask === null ? 0 : hasLossMask);
    ids.set(tokenIds, idOffset);
    idOffset += tokenIds.length;
    if (lossMask === null) continue;
    lossMasks.set(lossMask, maskOffset);
    maskOffset += lossMask.length;
  }
  return new Uint8Array(buffer);
}

/** @param content a block whose checksum is verified */
function textsOf({ buffer }: Uint8Array<ArrayBuffer>, idBytes: 2 | 4): EncodedText[] {
  const [chunks = 0, tokens = 0] = new Uint32Array(buffer, 0, 2);
  const at = layout(chunks, tokens, idBytes);
  const startBytes = new Float64Array(buffer, 8, chunks);
  const counts = new Uint32Array(buffer, at.counts, chunks);
  const flags = new Uint8Array(buffer, at.flags, chunks);
  const ids = new Int32Array(
    idBytes === 2 ? new Uint16Array(buffer, at.ids, tokens) : new Uint32Array(buffer, at.ids, tokens),
  );
  let idOffset = 0;
  let maskOffset = at.lossMasks;
  return Array.from(counts, (count, i) => {
    const flag = flags[i]!;
    let lossMask: Uint8Array | null = null;
    if ((flag & hasLossMask) !== 0) {
      lossMask = new Uint8Array(buffer, maskOffset, count);
      maskOffset += count;
    }
    const tokenIds = ids.subarray(idOffset, (idOffset += count));
    return {
      startByte: startBytes[i]!,
      tokenIds,
      lossMask,
      startsDocument: (flag & starts) !== 0,
      endsDocument: (flag & ends) !== 0,
    };
  });
}
