/** `clm export --adapter`: writes the adapter of a run as a folder that PEFT loads onto its base. */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { OpenedAdapter } from '../../checkpoint/modelCheckpoint.ts';
import { adapterOf } from '../../model/adapter.ts';
import { parameterTable } from '../../model/parameters.ts';
import { assertSameAdapter } from '../../model/mergedWeights.ts';
import { readEnvironment } from '../../run/environment.ts';
import { writeFolderDurably } from '../../storage/durable.ts';
import type { FloatType } from '../../tensors/elementTypes.ts';
import { writeSafetensors } from '../../tensors/safetensors.ts';
import type { ExportSource } from '../exportSource.ts';
import { tokenizerFiles } from '../tokenizerJson.ts';
import { adapterConfigFile, adapterFiles, adapterWeightsFile } from './adapterFiles.ts';

/**
 * @param directory to create
 * @returns the files written, and `base_model_name_or_path`: null unless the base was imported from a folder
 *   that exists
 */
export async function exportAdapter(
  directory: string,
  { checkpoint, config, tokenizer }: ExportSource,
  opened: OpenedAdapter,
  type: FloatType,
): Promise<{ files: string[]; baseName: string | null }> {
  const { model } = config;
  const table = parameterTable(model, tokenizer.vocabularySize);
  assertSameAdapter(config, table, opened);
  const baseName = nameSaid(checkpoint.state['imported']) ?? nameOfModelIn(opened.base.path);
  const { config: adapterConfig, weights } = adapterFiles(opened.tensors, adapterOf(config)!, {
    table,
    model,
    baseName,
  });
  const texts: Record<string, string> = {
    [adapterConfigFile]: `${JSON.stringify(adapterConfig, null, 2)}\n`,
    ...tokenizerFiles(tokenizer, model.contextLength),
  };
  await writeFolderDurably(directory, async (folder) => {
    for (const [name, text] of Object.entries(texts)) await writeFile(join(folder, name), text);
    await writeSafetensors(join(folder, adapterWeightsFile), weights, { format: 'pt' }, type);
  });
  return { files: [...Object.keys(texts), adapterWeightsFile], baseName };
}

/** The name or path of the folder that a checkpoint's run was imported from; null if there is none any more. */
function nameOfModelIn(checkpoint: string): string | null {
  const folder = readEnvironment(join(checkpoint, '..', '..'))?.importedFrom;
  if (typeof folder !== 'string' || !existsSync(folder)) return null;
  const published = /models--([^/]+)--([^/]+)\/snapshots\//.exec(folder); // in the cache of Hugging Face's hub
  return published === null ? folder : `${published[1]}/${published[2]}`;
}

/** What the adapter_config.json that an adapter was imported with says. */
function nameSaid(imported: unknown): string | null {
  const { baseName } = (imported ?? {}) as { baseName?: unknown };
  return typeof baseName === 'string' ? baseName : null;
}
