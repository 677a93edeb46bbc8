/** What an export reads of a run: config and tokenizer, and the parameters one at a time, with its adapter in them. */
import { join } from 'node:path';
import { withChosenCheckpoint } from '../checkpoint/chosenCheckpoint.ts';
import { openModelCheckpoint, type ModelCheckpoint } from '../checkpoint/modelCheckpoint.ts';
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { tokenizerFromFile } from '../data/tokenizers/tokenizerFile.ts';
import { wrongInput } from '../errors.ts';
import { mergeOf } from '../model/mergedWeights.ts';
import { parameterTable, type ParameterSpec } from '../model/parameters.ts';
import { withSafetensors } from '../tensors/safetensors.ts';
import { assertSameTensors, elementCount } from '../tensors/tensors.ts';

/** What becomes of an adapter: part of the weights, or a folder of its own; null for a run without one. */
export type AdapterExport = 'merge' | 'adapter' | null;

export interface ExportSource extends ModelCheckpoint {
  tokenizer: Tokenizer;
}

/**
 * @param run a run directory or a checkpoint folder
 * @param options.checkpoint `last`, `best` (lowest validation loss) or a step
 * @throws wrongInput if there is no such checkpoint, or `options.as` does not fit the run
 */
export async function openExportSource(
  run: string,
  options: { checkpoint: string; as?: AdapterExport },
): Promise<ExportSource> {
  return withChosenCheckpoint(run, options.checkpoint, async (directory) => {
    const opened = await openModelCheckpoint(directory);
    await opened.verified;
    refuseOtherForm(run, options.as ?? null, opened.adapter !== null);
    const tokenizer = tokenizerFromFile(opened.checkpoint.tokenizerText, join(directory, 'tokenizer.json'));
    return { ...opened, tokenizer };
  });
}

function refuseOtherForm(run: string, form: AdapterExport, isAdapter: boolean): void {
  if (!isAdapter && form !== null) throw wrongInput(`${run} has no adapter; export it without --${form}`);
  if (!isAdapter || form !== null) return;
  throw wrongInput(
    `${run} is a run with an adapter. Add --merge to export base and adapter as one model, or --adapter to export ` +
      'the adapter alone, for PEFT.',
  );
}

/**
 * Opens the weights for `use`, which reads the values of one parameter at a time; those that the run does not have are
 * zeros.
 */
export async function withParameters<R>(
  { config, tokenizer, weightsFile, adapter }: ExportSource,
  use: (valuesOf: (parameter: ParameterSpec) => Promise<Float32Array>) => Promise<R>,
): Promise<R> {
  const table = parameterTable(config.model, tokenizer.vocabularySize);
  const merge = mergeOf(config, table, adapter);
  return withSafetensors(weightsFile, ['F32'], async (entries, read) => {
    assertSameTensors(table, entries, weightsFile);
    return use(async ({ name, shape }) => {
      const entry = entries.find((tensor) => tensor.name === name);
      return entry === undefined ? new Float32Array(elementCount(shape)) : merge(entry, await read(entry));
    });
  });
}
