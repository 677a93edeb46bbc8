/** Reading is bounded: no more than the block in use and the next one, whatever the size of the corpus. */
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { open, truncate } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, describe, expect, test, vi } from 'vitest';

import { trainingBatches } from '../../src/data/windows/batches.ts';
import { openCorpus } from '../../src/data/files/openCorpus.ts';
import { bytesTokenizer } from '../../src/data/tokenizers/bytes.ts';
import { defaultChunkBytes } from '../../src/data/files/utf8Chunks.ts';
import { folderOf, take } from './texts.ts';

const megabyte = 1024 * 1024;
const options = { seed: 3, contextLength: 1024, microBatchSize: 61, shuffleTokens: megabyte };

/** A corpus of NUL characters in one sparse file. */
async function sparseCorpus(bytes: number) {
  const folder = await folderOf({ 'a.txt': '' });
  await truncate(join(folder, 'a.txt'), bytes);
  return openCorpus({ sources: [{ path: folder }], validation: { tail: 0.5 / bytes }, shuffleTokens: megabyte });
}

/** Adds up the bytes that are read from any file from now on. */
async function countReads(path: string): Promise<() => number> {
  const handle = await open(path);
  const prototype = Object.getPrototypeOf(handle) as FileHandle;
  await handle.close();
  let bytes = 0;
  const read = prototype.read;
  vi.spyOn(prototype, 'read').mockImplementation(async function (this: FileHandle, ...args: unknown[]) {
    const result = await Reflect.apply(read, this, args);
    bytes += result.bytesRead;
    return result;
  } as typeof read);
  return () => bytes;
}

const canListDescriptors = existsSync('/proc/self/fd'); // Linux

/** How many descriptors of this process stand for `path` right now. */
function openDescriptors(path: string): number {
  const isOpen = (descriptor: string): boolean => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`) === path;
    } catch {
      return false; // the descriptor that listed the folder is gone by now
    }
  };
  return readdirSync('/proc/self/fd').filter(isOpen).length;
}

const aMoment = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));

afterEach(() => vi.restoreAllMocks());

describe('a corpus of 64 MB', () => {
  test('is read at most two blocks ahead of the block in use', async () => {
    const corpus = await sparseCorpus(64 * megabyte);
    const bytesRead = await countReads(corpus.files[0]!.path);
    let used = 0;
    let furthest = 0;
    let batches = 0;
    for await (const { targetCount, cursor } of trainingBatches(corpus, bytesTokenizer(), options)) {
      furthest = Math.max(furthest, bytesRead() - used);
      used += targetCount;
      if (++batches % 3 === 0) await aMoment(); // a step, in which reading goes on
      if (cursor.block === 60) break;
    }
    expect(used).toBeGreaterThan(59 * megabyte);
    expect(furthest).toBeGreaterThan(1.5 * megabyte); // the next block was indeed read ahead
    expect(furthest).toBeLessThan(2 * megabyte + 2 * defaultChunkBytes + options.microBatchSize * 1024);
  });

  test('is resumed at any position by reading one block', async () => {
    const corpus = await sparseCorpus(64 * megabyte);
    const late = { version: 1 as const, epoch: 1, block: 50, startByte: 50 * 1000 * 1024, windowsTaken: 7 };
    const bytesRead = await countReads(corpus.files[0]!.path);
    const cursor = { ...late, trainingBytes: corpus.training.endByte };
    const batches = trainingBatches(corpus, bytesTokenizer(), options, cursor);
    await batches.next();
    expect(bytesRead()).toBeGreaterThan(megabyte / 2);
    expect(bytesRead()).toBeLessThan(megabyte + 2 * defaultChunkBytes);
    await batches.return();
  });

  test.skipIf(!canListDescriptors)('is closed when training stops, and reading ahead stops soon', async () => {
    const corpus = await sparseCorpus(64 * megabyte);
    const { path } = corpus.files[0]!;
    const bytesRead = await countReads(path);
    const batches = trainingBatches(corpus, bytesTokenizer(), { ...options, shuffleTokens: 16 * megabyte });
    await batches.next();
    expect(openDescriptors(path)).toBe(1);
    const before = bytesRead();
    await batches.return();
    expect(openDescriptors(path)).toBe(0);
    expect(bytesRead() - before).toBeLessThan(4 * megabyte); // of the 16 of the next block
  });

  test.skipIf(!canListDescriptors)('is closed when training stops after the next block has been read', async () => {
    const corpus = await sparseCorpus(64 * megabyte);
    const { path } = corpus.files[0]!;
    const bytesRead = await countReads(path);
    const batches = trainingBatches(corpus, bytesTokenizer(), options);
    await batches.next();
    while (bytesRead() < 1.9 * megabyte) await aMoment();
    await aMoment();
    expect(openDescriptors(path)).toBe(1);
    await batches.return();
    expect(openDescriptors(path)).toBe(0);
  });
});

test.skipIf(!canListDescriptors)('an error in what is read ahead comes when its block does, not before', async () => {
  const folder = await folderOf({ 'a.txt': 'a'.repeat(40), 'b.txt': Uint8Array.from({ length: 40 }, () => 0xff) });
  const corpus = await openCorpus({ sources: [{ path: folder }], validation: { tail: 0.02 }, shuffleTokens: 1024 });
  const small = { seed: 3, contextLength: 2, microBatchSize: 1, shuffleTokens: 31 };
  const batches = trainingBatches(corpus, bytesTokenizer(), small);
  for (let i = 0; i < 15; i++) {
    await aMoment(); // in which the reading ahead fails
    expect((await batches.next()).done).toBe(false);
  }
  await expect(batches.next()).rejects.toThrow('is not UTF-8: invalid bytes at byte 0 of ');
  expect(openDescriptors(corpus.files[1]!.path)).toBe(0);
});

test('a short corpus does not allocate a whole block', async () => {
  const corpus = await sparseCorpus(4099);
  const before = process.memoryUsage().arrayBuffers;
  const largeBlocks = { ...options, shuffleTokens: 64 * megabyte, microBatchSize: 1 };
  await take(trainingBatches(corpus, bytesTokenizer(), largeBlocks), 2);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * megabyte); // a block would take 256 MB
});
