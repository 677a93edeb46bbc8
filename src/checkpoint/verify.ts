/**
 * Verifies every checkpoint of a run against the lengths, hashes and checksums in its state.json; of an adapter, its
 * base too.
 */
import { join } from 'node:path';
import { ExpectedError } from '../errors.ts';
import { pinnedBase } from './adapterBase.ts';
import { loadCheckpoint } from './checkpoint.ts';
import { readState } from './checkpointFiles.ts';
import { openModelCheckpoint } from './modelCheckpoint.ts';
import { isCheckpointFolder, listCheckpoints } from '../run/findCheckpoint.ts';
import { readSafetensors } from '../tensors/safetensors.ts';
import { tensorChecksum } from '../tensors/tensors.ts';

export interface Verdict {
  path: string;
  /** Updates applied; null if not even that can be read. */
  step: number | null;
  valid: boolean;
  /** What is wrong; null if nothing is. */
  reason: string | null;
  /** Tensors whose values differ from those saved; empty if that cannot be determined. */
  damagedTensors: string[];
}

/**
 * @param runOrCheckpoint a run directory or a checkpoint folder
 * @returns a verdict for each checkpoint, oldest first
 * @throws environmentFailure if the disk cannot be read
 */
export async function* verifyCheckpoints(runOrCheckpoint: string): AsyncGenerator<Verdict, void, void> {
  const places = (await isCheckpointFolder(runOrCheckpoint))
    ? [{ path: runOrCheckpoint, step: null }]
    : await listCheckpoints(runOrCheckpoint);
  for (const { path, step } of places) yield verify(path, step);
}

async function verify(path: string, step: number | null): Promise<Verdict> {
  try {
    const checkpoint = await loadCheckpoint(path, { optimizer: true });
    if (pinnedBase(checkpoint.state)) await (await openModelCheckpoint(path)).verified;
    return { path, step: checkpoint.step, valid: true, reason: null, damagedTensors: [] };
  } catch (error) {
    if (!(error instanceof ExpectedError) || error.kind !== 'wrongInput') throw error;
    return { path, step, valid: false, reason: error.message, damagedTensors: await damagedTensors(path) };
  }
}

async function damagedTensors(path: string): Promise<string[]> {
  try {
    const { tensors } = await readState(path);
    const damaged: string[] = [];
    for (const [file, expected] of Object.entries(tensors)) {
      const actual = new Map<string, string>();
      for (const { name, values } of await readSafetensors(join(path, file)))
        actual.set(name, await tensorChecksum(values));
      damaged.push(...Object.keys(expected).filter((name) => actual.get(name) !== expected[name]));
    }
    return damaged;
  } catch (error) {
    if (error instanceof ExpectedError && error.kind === 'wrongInput') return []; // not even state.json can be read
    throw error;
  }
}
