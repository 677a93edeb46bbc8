/** `clm import --base`: turns a PEFT folder into a run whose checkpoint at step 0 is an adapter of another run. */
import { existsSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { baseToPin } from '../../checkpoint/adapterBase.ts';
import { openCheckpoint } from '../../checkpoint/checkpoint.ts';
import { parseResolvedConfig } from '../../config/load.ts';
import { chatFormatOf } from '../../data/chat/chatFormats.ts';
import { tokenizerFromFile, withChat } from '../../data/tokenizers/tokenizerFile.ts';
import { wrongInput } from '../../errors.ts';
import type { Adapter } from '../../model/adapter.ts';
import { parameterTable } from '../../model/parameters.ts';
import { assertFreshStart } from '../../run/runDirectory.ts';
import { readBounded } from '../../storage/boundedFile.ts';
import { isGgufFile } from '../../storage/importable.ts';
import { elementCount } from '../../tensors/tensors.ts';
import { createImportedRun, importedConfig } from '../importedRun.ts';
import { readAdapterConfig } from './adapterConfig.ts';
import { adapterConfigFile, adapterWeightsFile } from './adapterFiles.ts';
import { adapterModules } from './adapterModules.ts';
import { convertedAdapter, readLowRanks } from './adapterTensors.ts';

interface ImportedAdapter {
  runDirectory: string;
  checkpoint: string;
  kind: 'lora';
  /** The checkpoint that it adapts. */
  base: { path: string; step: number };
  /** The model that it was made for, as adapter_config.json calls it; null if it does not say. */
  baseName: string | null;
  adapter: Adapter;
  parameters: number;
  /** What is stored in another way than in the folder, and what was not read. */
  warnings: string[];
}

/** Whether PEFT would load a folder as an adapter. */
export const isAdapterFolder = (directory: string): boolean => existsSync(join(directory, adapterConfigFile));

/**
 * @param directory with adapter_config.json and adapter_model.safetensors
 * @param runDirectory to create; must not contain a run
 * @param options.base run directory or checkpoint folder of the model that it adapts; of a run the last checkpoint
 * @param options.ignoredKeys keys of adapter_config.json that clm does not know, to be treated as not there
 * @throws wrongInput if the folder is incomplete or damaged, does not fit the base, or clm would not compute the same
 */
export async function importAdapter(
  directory: string,
  runDirectory: string,
  options: { base: string; ignoredKeys?: readonly string[] },
): Promise<ImportedAdapter> {
  await assertFreshStart(runDirectory);
  const found = readAdapterConfig(textOf(directory), join(directory, adapterConfigFile), options.ignoredKeys);
  const from = resolve(options.base);
  const base = await baseToPin(from);
  const { configText, tokenizerText } = await openCheckpoint(base.path, { optimizer: false });
  const { model, samples } = parseResolvedConfig(configText, join(base.path, 'config.yaml'));
  const ofBase = tokenizerFromFile(tokenizerText, join(base.path, 'tokenizer.json'));
  const chat = chatFormatOf(directory);
  const tokenizer = chat === null ? ofBase : withChat(ofBase, chat);
  const modules = adapterModules(parameterTable(model, tokenizer.vocabularySize), model);
  const weights = weightsOf(directory);
  const { adapter, tensors, notes } = convertedAdapter(await readLowRanks(weights, found, modules), modules, found);
  const sections = { start: { from }, adapter: { kind: 'lora', ...adapter }, model, samples } as const;
  const config = importedConfig(sections, tokenizer, { runDirectory, file: join(directory, adapterConfigFile) });
  const checkpoint = await createImportedRun(runDirectory, {
    config,
    tokenizer,
    record: { imported: { kind: 'lora', baseName: found.baseName }, base: { step: base.step, sha256: base.sha256 } },
    model: tensors,
    importedFrom: directory,
  });
  const hasOtherChat = chat !== null && chat.template !== ofBase.chat?.template;
  return {
    ...{ runDirectory, checkpoint, kind: 'lora', adapter, baseName: found.baseName },
    base: { path: base.path, step: base.step },
    parameters: tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0),
    warnings: [
      ...notes,
      ...(hasOtherChat ? [`chats are formatted by the chat template in ${directory}, not by that of the base`] : []),
      ...(existsSync(join(directory, 'tokenizer.json'))
        ? [`tokenizer.json in ${directory} is not read: the tokens are those of the base`]
        : []),
    ],
  };
}

function textOf(directory: string): string {
  const path = join(directory, adapterConfigFile);
  if (!existsSync(directory)) throw wrongInput(`${directory} does not exist`);
  if (isGgufFile(directory))
    throw wrongInput(
      `${directory} is a GGUF file, and --base is for adapters that PEFT saved, which are folders. A model in GGUF ` +
        'is imported without --base.',
    );
  if (!statSync(directory).isDirectory()) throw wrongInput(`${directory} is a file; name the folder that it is in`);
  if (existsSync(path)) return readBounded(path).toString('utf8');
  throw wrongInput(
    `${directory} has no ${adapterConfigFile}: it is not an adapter that PEFT saved. A whole model is imported ` +
      'without --base.',
  );
}

function weightsOf(directory: string): string {
  const file = join(directory, adapterWeightsFile);
  if (existsSync(file)) return file;
  const older = existsSync(join(directory, 'adapter_model.bin'))
    ? '; adapter_model.bin is not supported: load the adapter with PEFT and save it again (save_pretrained)'
    : '';
  throw wrongInput(`${file} is missing${older}`);
}
