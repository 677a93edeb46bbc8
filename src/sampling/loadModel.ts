/** A trained model, ready to be asked: from a run directory or a checkpoint folder alone. */
import path from 'node:path';
import { loadCheckpoint } from '../checkpoint/checkpoint.ts';
import { resolveCheckpoint } from '../checkpoint/find.ts';
import { bestCheckpoint } from '../checkpoint/retention.ts';
import { assertSameTensors } from '../checkpoint/tensors.ts';
import { parseResolvedConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { tokenizerFromFile } from '../data/tokenizers/tokenizerFile.ts';
import { wrongInput } from '../errors.ts';
import { parameterTable, type ParameterSpec } from '../model/parameters.ts';
import { openSession } from '../runtime/openSession.ts';
import type { Precision, Session } from '../runtime/session.ts';

export interface LoadedModel {
  config: Config;
  tokenizer: Tokenizer;
  step: number;
  /** Holds the parameters of `table`. */
  session: Session;
  table: ParameterSpec[];
  close(): void;
}


export type DeviceOption = 'auto' | 'cpu' | 'cuda' | undefined;

/**
 * @param run a run directory or a checkpoint folder
 * @param options.checkpoint `last`, `best` (by validation loss) or a step
 * @param options.precision the run's own where it is left out
 * @throws wrong input where there is no such checkpoint, or it is damaged
 */
export async function loadModel(
  run: string,
  options: { checkpoint: string; device?: DeviceOption; precision?: Precision },
): Promise<LoadedModel> {
  const directory = await checkpointFolder(run, options.checkpoint);
  const checkpoint = await loadCheckpoint(directory, { optimizer: false });
  const config = parseResolvedConfig(checkpoint.configText, path.join(directory, 'config.yaml'));
  const tokenizer = tokenizerFromFile(checkpoint.tokenizerText, path.join(directory, 'tokenizer.json'));
  const table = parameterTable(config.model, tokenizer.vocabularySize);
  assertSameTensors(table, checkpoint.model, path.join(directory, 'model.safetensors'));
  const session = openSession({
    mode: 'recorded',
    precision: options.precision ?? config.training.precision,
    device: options.device ?? config.device,
  });
  await session.addVariables(checkpoint.model);
  return { config, tokenizer, step: checkpoint.step, session, table, close: () => session.close() };
}

/** The folder that `--checkpoint` means. */
async function checkpointFolder(run: string, which: string): Promise<string> {
  if (which === 'last') return resolveCheckpoint(run, which);
  if (/^\d+$/.test(which)) return resolveCheckpoint(run, Number(which));
  if (which !== 'best') throw wrongInput(`--checkpoint is ${which}; it must be last, best or the step of a checkpoint, as --checkpoint 500`);
  const best = await bestCheckpoint(run);
  if (best !== undefined) return best.path;
  throw wrongInput(`${run} has no checkpoint whose validation loss is known. Take --checkpoint last.`);
}
