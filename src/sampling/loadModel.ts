/** A trained model, ready to complete prompts: from a run directory or a checkpoint folder alone. */
import path from 'node:path';
import { loadCheckpoint } from '../checkpoint/checkpoint.ts';
import { resolveCheckpoint } from '../checkpoint/find.ts';
import { assertSameTensors } from '../checkpoint/tensors.ts';
import { parseResolvedConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { tokenizerFromFile } from '../data/tokenizers/tokenizerFile.ts';
import { wrongInput } from '../errors.ts';
import { parameterTable } from '../model/parameters.ts';
import { openSession } from '../runtime/openSession.ts';
import { recordNextLogits, type NextLogits } from './completion.ts';

export interface LoadedModel {
  config: Config;
  tokenizer: Tokenizer;
  step: number;
  nextLogits: NextLogits;
  close(): void;
}

/**
 * @param run a run directory or a checkpoint folder
 * @param options.checkpoint `last`, or a step
 * @throws wrong input where there is no such checkpoint, or it is damaged
 */
export async function loadModel(
  run: string,
  options: { checkpoint: string; device?: 'auto' | 'cpu' | 'cuda' | undefined },
): Promise<LoadedModel> {
  const directory = await resolveCheckpoint(run, parseWhich(options.checkpoint));
  const checkpoint = await loadCheckpoint(directory, { optimizer: false });
  const config = parseResolvedConfig(checkpoint.configText, path.join(directory, 'config.yaml'));
  const tokenizer = tokenizerFromFile(checkpoint.tokenizerText, path.join(directory, 'tokenizer.json'));
  const table = parameterTable(config.model, tokenizer.vocabularySize);
  assertSameTensors(table, checkpoint.model, path.join(directory, 'model.safetensors'));
  const session = openSession({
    mode: 'recorded',
    precision: config.training.precision,
    device: options.device ?? config.device,
  });
  await session.addVariables(checkpoint.model);
  const nextLogits = recordNextLogits(session, config.model, table);
  return { config, tokenizer, step: checkpoint.step, nextLogits, close: () => session.close() };
}

function parseWhich(which: string): 'last' | number {
  if (which === 'last') return which;
  if (/^\d+$/.test(which)) return Number(which);
  throw wrongInput(`--checkpoint is ${which}; it must be last or the step of a checkpoint, as --checkpoint 500`);
}
