/**
 * Saves training state as a folder `checkpoints/step-00000500`, complete or absent, and loads it. Resuming or sampling
 * needs nothing else than its files. Stage: checkpoint (src/README.md).
 *
 *   config.yaml  tokenizer.json  model.safetensors  optimizer.safetensors  state.json
 *
 * Equal state gives equal bytes: no time, path or machine is in them.
 */
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  beginVerifying,
  digestOf,
  readCheckpointFile,
  readState,
  stateFile,
  stateText,
  verifyFile,
  type StoredRecord,
  type TrainingRecord,
} from './checkpointFiles.ts';
import { assertFreeSpace, writeFolderDurably } from '../storage/durable.ts';
import { ExpectedError } from '../errors.ts';
import { checkpointPath, listCheckpoints } from '../run/findCheckpoint.ts';
import { pruneCheckpoints, type Retention } from './retention.ts';
import { readSafetensors, writeSafetensors, type LazyTensor } from '../tensors/safetensors.ts';
import { elementCount, type NamedTensor } from '../tensors/tensors.ts';

/** Upper bound for a tensor's entries in the header and in state.json, for the check of free space. */
const entryBytes = 512;
const floatBytes = 4;

/** The contents of a checkpoint to save; `step` is the number of updates applied. */
export interface CheckpointContent<State extends TrainingRecord = StoredRecord> {
  step: number;
  state: State;
  configText: string;
  tokenizerText: string;
  model: readonly NamedTensor[];
  optimizer: readonly NamedTensor[];
}

/** A loaded checkpoint. `optimizer` is empty unless it was requested. */
export interface Checkpoint extends CheckpointContent {
  path: string;
}

type SavedContent<State extends TrainingRecord> = Omit<CheckpointContent<State>, 'model'> & {
  model: readonly (NamedTensor | LazyTensor)[];
};

/**
 * Checks the free space for a checkpoint before anything of it is written.
 * @param or what else the user can do, for the message
 * @throws environmentFailure with the space needed and free
 */
export async function assertSpaceFor<State extends TrainingRecord>(
  runDirectory: string,
  { configText, tokenizerText, model, optimizer }: SavedContent<State>,
  or?: string,
): Promise<void> {
  const texts = configText.length + tokenizerText.length;
  const bytes = [...model, ...optimizer].reduce(
    (sum, { shape }) => sum + elementCount(shape) * floatBytes + entryBytes,
    texts,
  );
  await assertFreeSpace(dirname(checkpointPath(runDirectory, 0)), bytes, or);
}

/**
 * Writes the checkpoint of a step, replacing one of the same step, and then deletes older ones.
 * @param retention which of the older ones to keep
 * @returns the checkpoint's folder
 * @throws environmentFailure if the disk refuses; all earlier checkpoints are then untouched
 */
export async function saveCheckpoint<State extends TrainingRecord>(
  runDirectory: string,
  content: SavedContent<State>,
  retention: Retention,
): Promise<string> {
  if (retention.keepLast !== null && retention.keepLast < 1) throw new Error('keepLast must be at least 1, or null');
  const path = checkpointPath(runDirectory, content.step);
  await assertSpaceFor(runDirectory, content);
  await writeFolderDurably(path, async (folder) => {
    const { step, state, configText, tokenizerText, model, optimizer } = content;
    await writeFile(join(folder, 'config.yaml'), configText);
    await writeFile(join(folder, 'tokenizer.json'), tokenizerText);
    const written = {
      'model.safetensors': await writeSafetensors(join(folder, 'model.safetensors'), model),
      'optimizer.safetensors': await writeSafetensors(join(folder, 'optimizer.safetensors'), optimizer),
    };
    const files = {
      'config.yaml': digestOf(configText),
      'tokenizer.json': digestOf(tokenizerText),
      'model.safetensors': written['model.safetensors'].digest,
      'optimizer.safetensors': written['optimizer.safetensors'].digest,
    };
    const tensors = {
      'model.safetensors': written['model.safetensors'].checksums,
      'optimizer.safetensors': written['optimizer.safetensors'].checksums,
    };
    await writeFile(join(folder, stateFile), stateText(step, state, files, tensors));
  });
  await pruneCheckpoints(runDirectory, content.step, retention);
  return path;
}

/**
 * Loads a checkpoint, after checking length and hash of every file it reads.
 * @param directory the checkpoint's folder
 * @param options.optimizer whether to check and read the optimizer's tensors, which are most of the bytes and needed
 *   only to resume
 * @throws wrongInput naming the file if anything is missing, damaged or of another version
 */
export async function loadCheckpoint(directory: string, options: { optimizer: boolean }): Promise<Checkpoint> {
  return {
    ...(await openCheckpoint(directory, options)),
    model: await readSafetensors(join(directory, 'model.safetensors')),
    optimizer: options.optimizer ? await readSafetensors(join(directory, 'optimizer.safetensors')) : [],
  };
}

/** Like `loadCheckpoint`, with the same checks, but the caller reads the tensors as it needs them. */
export async function openCheckpoint(
  directory: string,
  options: { optimizer: boolean },
): Promise<Omit<Checkpoint, 'model' | 'optimizer'>> {
  const { verified, ...checkpoint } = await beginOpening(directory, options);
  await verified;
  return checkpoint;
}

/** As `openCheckpoint`, while the hash of the model is still computed: `verified` is rejected if it is not right. */
export async function beginOpening(
  directory: string,
  options: { optimizer: boolean },
): Promise<Omit<Checkpoint, 'model' | 'optimizer'> & { verified: Promise<void> }> {
  const { step, record, files } = await readState(directory);
  const { verified } = await beginVerifying(directory, 'model.safetensors', files['model.safetensors']);
  for (const name of ['config.yaml', 'tokenizer.json'] as const) await verifyFile(directory, name, files[name]);
  if (options.optimizer) await verifyFile(directory, 'optimizer.safetensors', files['optimizer.safetensors']);
  const text = async (name: string) => (await readCheckpointFile(join(directory, name))).toString('utf8');
  return {
    path: directory,
    step,
    state: record,
    configText: await text('config.yaml'),
    tokenizerText: await text('tokenizer.json'),
    verified,
  };
}

/** A checkpoint that cannot be used, and why. */
export interface SkippedCheckpoint {
  path: string;
  reason: string;
}

/**
 * Loads the newest checkpoint, including the optimizer, that passes every check, and reports the newer ones that do
 * not. If there is no checkpoint but some are skipped, all are damaged: such a run must not silently start again.
 * @throws environmentFailure if the disk refuses, which says nothing about the checkpoint
 */
export async function newestValidCheckpoint(
  runDirectory: string,
): Promise<{ checkpoint: Checkpoint | undefined; skipped: SkippedCheckpoint[] }> {
  const skipped: SkippedCheckpoint[] = [];
  for (const { path } of (await listCheckpoints(runDirectory)).reverse()) {
    try {
      return { checkpoint: await loadCheckpoint(path, { optimizer: true }), skipped };
    } catch (error) {
      if (!(error instanceof ExpectedError) || error.kind !== 'wrongInput') throw error;
      skipped.push({ path, reason: error.message });
    }
  }
  return { checkpoint: undefined, skipped };
}
