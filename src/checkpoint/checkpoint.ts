/**
 * Row 12 of the walk: training state → a folder `checkpoints/step-00000500`, complete or absent, that can be
 * resumed or sampled from with nothing else:
 *
 *   config.yaml  tokenizer.json  model.safetensors  optimizer.safetensors  state.json
 *
 * The same state gives the same bytes: nothing in it names a time, a path or a machine.
 */
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  checkpointFiles,
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
import { checkpointPath } from '../run/findCheckpoint.ts';
import { pruneCheckpoints, type Retention } from './retention.ts';
import { readSafetensors, writeSafetensors, type LazyTensor } from '../tensors/safetensors.ts';
import { elementCount, type NamedTensor } from '../tensors/tensors.ts';

/** Room for what a tensor takes in a header and in the table of contents, when free space is asked for. */
const entryBytes = 512;
const floatBytes = 4;

/** What goes into a checkpoint; `step` counts the updates applied. */
export interface CheckpointContent<State extends TrainingRecord = StoredRecord> {
  step: number;
  state: State;
  configText: string;
  tokenizerText: string;
  model: readonly NamedTensor[];
  optimizer: readonly NamedTensor[];
}

/** What comes out of one. `optimizer` is empty unless it was asked for. */
export interface Checkpoint extends CheckpointContent {
  path: string;
}

/**
 * Writes the checkpoint of a step, replacing one of the same step, and then deletes older ones.
 * @param retention which of the older ones stay
 * @returns the checkpoint's folder
 * @throws environmentFailure when the disk refuses; every earlier checkpoint is then untouched
 */
export async function saveCheckpoint<State extends TrainingRecord>(
  runDirectory: string,
  content: Omit<CheckpointContent<State>, 'model'> & { model: readonly (NamedTensor | LazyTensor)[] },
  retention: Retention,
): Promise<string> {
  if (retention.keepLast !== null && retention.keepLast < 1) throw new Error('keepLast must be at least 1, or null');
  const path = checkpointPath(runDirectory, content.step);
  const texts = content.configText.length + content.tokenizerText.length;
  const bytes = [...content.model, ...content.optimizer].reduce(
    (sum, { shape }) => sum + elementCount(shape) * floatBytes + entryBytes,
    texts,
  );
  await assertFreeSpace(dirname(path), bytes);
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
 * Reads a checkpoint after checking length and hash of every file it takes.
 * @param directory the checkpoint's folder
 * @param options.optimizer whether to read (and check) the optimizer's tensors, which are most of the bytes
 *   and which only resuming needs
 * @throws wrongInput naming the file when anything is missing, damaged, or of another version
 */
export async function loadCheckpoint(directory: string, options: { optimizer: boolean }): Promise<Checkpoint> {
  return {
    ...(await openCheckpoint(directory, options)),
    model: await readSafetensors(join(directory, 'model.safetensors')),
    optimizer: options.optimizer ? await readSafetensors(join(directory, 'optimizer.safetensors')) : [],
  };
}

/** As `loadCheckpoint`, all checked, but the tensors, which the caller reads as it needs them. */
export async function openCheckpoint(
  directory: string,
  options: { optimizer: boolean },
): Promise<Omit<Checkpoint, 'model' | 'optimizer'>> {
  const { step, record, files } = await readState(directory);
  for (const name of checkpointFiles) {
    if (name !== 'optimizer.safetensors' || options.optimizer) await verifyFile(directory, name, files[name]);
  }
  const text = async (name: string) => (await readCheckpointFile(join(directory, name))).toString('utf8');
  return {
    path: directory,
    step,
    state: record,
    configText: await text('config.yaml'),
    tokenizerText: await text('tokenizer.json'),
  };
}
