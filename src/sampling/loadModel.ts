/** Loads a trained model from a run directory or a checkpoint folder. */
import path from 'node:path';
import { openModelCheckpoint } from '../checkpoint/modelCheckpoint.ts';
import { readState } from '../checkpoint/checkpointFiles.ts';
import { withChosenCheckpoint } from '../checkpoint/chosenCheckpoint.ts';
import { withSafetensors } from '../tensors/safetensors.ts';
import { assertSameTensors, elementCount } from '../tensors/tensors.ts';
import type { Config } from '../config/schema.ts';
import { wrongInput } from '../errors.ts';
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { tokenizerFromFile } from '../data/tokenizers/tokenizerFile.ts';
import { mergeOf, type Merge } from '../model/mergedWeights.ts';
import { parameterTable, type ParameterSpec } from '../model/parameters.ts';
import { mapFile, type MappedFile } from '../runtime/libc.ts';
import { openSession } from '../runtime/openSession.ts';
import type { InitialValue, Session } from '../runtime/session.ts';
import type { Precision, StoredAs } from '../runtime/variables.ts';
import { storageOf } from './weightStorage.ts';

export interface LoadedModel {
  config: Config;
  /** The folder of the checkpoint. */
  directory: string;
  tokenizer: Tokenizer;
  step: number;
  /** Hash of the file with the weights. */
  modelSha256: string;
  weights: StoredAs;
  /** Contains the parameters of `table`. */
  session: Session;
  table: ParameterSpec[];
  /** Rejected if the weights are damaged; until it is settled, programs of the session give no results. */
  verified: Promise<void>;
  close(): void;
}

interface LoadOptions {
  device?: 'auto' | 'cpu' | 'cuda' | undefined;
  precision?: Precision;
  weights?: StoredAs;
}

/**
 * @param run a run directory or a checkpoint folder
 * @param options.checkpoint `last`, `best` (by validation loss) or a step
 * @param options.precision of matrix products; the default is the run's, or float32 if the weights are not in float32
 * @param options.weights type of the matrices in memory; those of another than float32 can only be used by programs
 *   that read them by `Variables.weight`
 * @throws wrong input if there is no such checkpoint or it is damaged, or for int8 on a GPU
 */
export async function loadModel(run: string, options: LoadOptions & { checkpoint: string }): Promise<LoadedModel> {
  return withChosenCheckpoint(run, options.checkpoint, (directory) => loadFolder(directory, options));
}

async function loadFolder(directory: string, options: LoadOptions): Promise<LoadedModel> {
  const { checkpoint, config, weightsFile, adapter, verified } = await openModelCheckpoint(directory);
  const tokenizer = tokenizerFromFile(checkpoint.tokenizerText, path.join(directory, 'tokenizer.json'));
  const table = parameterTable(config.model, tokenizer.vocabularySize);
  const { weights = 'float32' } = options;
  const precision = options.precision ?? (weights === 'float32' ? config.training.precision : 'float32');
  const open = (): Session => openSession({ mode: 'recorded', precision, device: options.device ?? config.device });
  const merge = mergeOf(config, table, adapter);
  const modelSha256 = (await readState(directory)).files['model.safetensors'].sha256;
  const file = mapWeights(weightsFile);
  const fill = sessionOf({ file: weightsFile, floats: file.floats, table, open, weights, merge });
  // If the file is damaged, that is the reason whatever else fails.
  const session = await fill.catch(async (error) => {
    await verified;
    throw error;
  });
  session.resultsAfter(verified);
  return {
    config,
    directory,
    tokenizer,
    step: checkpoint.step,
    modelSha256,
    weights,
    session,
    table,
    verified,
    close: () => {
      session.close();
      file.close();
    },
  };
}

function mapWeights(file: string): MappedFile {
  try {
    return mapFile(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw wrongInput(`${file} was deleted while it was read. Choose a checkpoint that still exists.`);
  }
}

/** Bytes of weights that are converted at a time, so that the model is never in memory twice. */
const bytesAtATime = 256e6;

/** A session with the tensors of a file, after `merge`: an adapter costs nothing once it is part of the weights. */
async function sessionOf({
  file,
  floats,
  table,
  open,
  weights,
  merge,
}: {
  file: string;
  floats: MappedFile['floats'];
  table: readonly ParameterSpec[];
  open: () => Session;
  weights: StoredAs;
  merge: Merge;
}): Promise<Session> {
  return withSafetensors(file, ['F32'], async (entries, _, dataStartByte) => {
    assertSameTensors(table, entries, file);
    const session = open();
    if (weights === 'int8' && session.settings.device !== 'cpu')
      throw wrongInput(
        'int8 weights are computed with on the CPU only: add --device cpu, or keep the weights in float32.',
      );
    let group: InitialValue[] = [];
    for (const [i, entry] of entries.entries()) {
      const { name, shape } = entry;
      const values = merge(entry, floats(dataStartByte + entry.startByte, elementCount(shape)));
      group.push({ name, shape, values, ...storageOf(entry, weights), isKept: true });
      const bytes = group.reduce((sum, { values }) => sum + values.byteLength, 0);
      if (bytes < bytesAtATime && i < entries.length - 1) continue;
      await session.addVariables(group);
      group = [];
    }
    return session;
  });
}
