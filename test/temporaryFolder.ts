import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import type { CheckpointContent } from '../src/checkpoint/checkpoint.ts';

/** A fresh folder for every test of the file, gone afterwards; call the result for its path. */
export function useTemporaryFolder(): () => string {
  let folder = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'clm-checkpoint-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));
  return () => folder;
}

/** A checkpoint of 11 values whose numbers depend on the step. */
export function smallCheckpoint(step: number) {
  const values = (count: number, first: number) => Float32Array.from({ length: count }, (_, i) => first + i / 7 + step);
  return {
    step,
    state: { cursor: { epoch: 2, window: step * 3 }, tokensSeen: step * 13 },
    configText: 'name: small\nseed: 7\n',
    tokenizerText: '{"kind":"bytes"}\n',
    model: [
      { name: 'embedding', shape: [2, 3], values: values(6, 1) },
      { name: 'blocks.0.norm', shape: [5], values: values(5, -2) },
    ],
    optimizer: [{ name: 'moment/embedding', shape: [2, 3], values: values(6, 0.5) }],
  } satisfies CheckpointContent;
}

/** Every file of a folder (not below) with its bytes, in the order of the names. */
export async function contentsOf(folder: string): Promise<[string, Buffer][]> {
  const names = (await readdir(folder)).sort();
  return Promise.all(names.map(async (name): Promise<[string, Buffer]> => [name, await readFile(join(folder, name))]));
}

/** The promise's rejection, which must be one of our failures of the given kind. */
export async function failureOf(promise: Promise<unknown>): Promise<{ kind: string; message: string }> {
  const error: unknown = await promise.then(
    () => new Error('it succeeded'),
    (reason: unknown) => reason,
  );
  if (error instanceof Error && 'kind' in error) return { kind: String(error.kind), message: error.message };
  throw error;
}
