/** Texts on disk for the tests of data, in a folder that is removed when the test file is done. */
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { afterAll } from 'vitest';

import { openCorpus } from '../../src/data/files/openCorpus.ts';
import type { Corpus } from '../../src/data/files/corpus.ts';

const folders: string[] = [];

afterAll(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

/** A new folder with these files, by relative path. */
export async function folderOf(files: Record<string, string | Uint8Array>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'clm-data-'));
  folders.push(folder);
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), content);
  }
  return folder;
}

/** The corpus of these files, with `tail` of it for validation. */
export async function corpusOf(contents: (string | Uint8Array)[], tail = 0.1): Promise<Corpus> {
  const files = Object.fromEntries(contents.map((content, i) => [`${String(i).padStart(3, '0')}.txt`, content]));
  return openCorpus({ sources: [{ path: await folderOf(files) }], validation: { tail }, shuffleTokens: 1024 });
}

/** The error that a promise is rejected with. */
export async function rejection(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was thrown');
}

export async function all<Value>(values: AsyncIterable<Value>): Promise<Value[]> {
  const list: Value[] = [];
  for await (const value of values) list.push(value);
  return list;
}

/** The first `count` values; the generator is closed. */
export async function take<Value>(values: AsyncIterable<Value>, count: number): Promise<Value[]> {
  const list: Value[] = [];
  for await (const value of values) {
    list.push(value);
    if (list.length === count) break;
  }
  return list;
}
