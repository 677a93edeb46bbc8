/** Loads a trained model from a run directory or a checkpoint folder. */
import path from 'node:path';
import { openModelCheckpoint } from '../checkpoint/modelCheckpoint.ts';
import { readState } from '../checkpoint/checkpointFiles.ts';
import { checkpointFolder } from '../checkpoint/chosenCheckpoint.ts';
import { withSafetensors } from '../tensors/safetensors.ts';
import { assertSameTensors, elementCount, type NamedTensor } from '../tensors/tensors.ts';
import type { Config } from '../config/schema.ts';
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { tokenizerFromFile } from '../data/tokenizers/tokenizerFile.ts';
import { mergeOf, type Merge } from '../model/mergedWeights.ts';
import { parameterTable, type ParameterSpec } from '../model/parameters.ts';
import { openSession } from '../runtime/openSession.ts';
import type { Session } from '../runtime/session.ts';
import type { Precision } from '../runtime/variables.ts';

export interface LoadedModel {
  config: Config;
  /** The folder of the checkpoint. */
  directory: string;
  tokenizer: Tokenizer;
  step: number;
  /** Hash of the file with the weights. */
  modelSha256: string;
  weights: Precision;
  /** Contains the parameters of `table`. */
  session: Session;
  table: ParameterSpec[];
  close(): void;
}

type DeviceOption = 'auto' | 'cpu' | 'cuda' | undefined;

/**
 * @param run a run directory or a checkpoint folder
 * @param options.checkpoint `last`, `best` (by validation loss) or a step
 * @param options.precision of matrix products; the default is the run's
 * @param options.weights type of the matrices in memory; with bfloat16 they can only be used by programs that read them
 *   by `Variables.weights`
 * @throws wrong input if there is no such checkpoint or it is damaged
 */
export async function loadModel(
  run: string,
  options: { checkpoint: string; device?: DeviceOption; precision?: Precision; weights?: Precision },
): Promise<LoadedModel> {
  const directory = await checkpointFolder(run, options.checkpoint);
  const { checkpoint, config, weightsFile, adapter } = await openModelCheckpoint(directory);
  const tokenizer = tokenizerFromFile(checkpoint.tokenizerText, path.join(directory, 'tokenizer.json'));
  const table = parameterTable(config.model, tokenizer.vocabularySize);
  const precision = options.precision ?? config.training.precision;
  const open = (): Session => openSession({ mode: 'recorded', precision, device: options.device ?? config.device });
  const { weights = 'float32' } = options;
  const merge = mergeOf(config, table, adapter);
  const session = await sessionOf(weightsFile, table, open, weights, merge);
  const modelSha256 = (await readState(directory)).files['model.safetensors'].sha256;
  return {
    config,
    directory,
    tokenizer,
    step: checkpoint.step,
    modelSha256,
    weights,
    session,
    table,
    close: () => session.close(),
  };
}

/** Bytes of weights read at a time, so that the model is never in memory twice. */
const bytesAtATime = 64e6;

/** A session with the tensors of a file, after `merge`: an adapter costs nothing once it is part of the weights. */
async function sessionOf(
  file: string,
  table: readonly ParameterSpec[],
  open: () => Session,
  weights: Precision,
  merge: Merge,
): Promise<Session> {
  return withSafetensors(file, ['F32'], async (entries, read) => {
    assertSameTensors(table, entries, file);
    const session = open();
    for (const stored of new Set<Precision>([weights, 'float32'])) {
      let group: NamedTensor[] = [];
      const own = entries.filter(({ shape }) => (shape.length === 2 ? weights : 'float32') === stored);
      for (const [i, entry] of own.entries()) {
        group.push({ name: entry.name, shape: entry.shape, values: merge(entry, await read(entry)) });
        const bytes = group.reduce((sum, { shape }) => sum + 4 * elementCount(shape), 0);
        if (bytes < bytesAtATime && i < own.length - 1) continue;
        await session.addVariables(group, stored);
        group = [];
      }
    }
    return session;
  });
}
