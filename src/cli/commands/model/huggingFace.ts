/** `clm import` and `clm export`: a Hugging Face model folder as a run, and a run as such a folder. */
import path from 'node:path';
import { wrongInput } from '../../../errors.ts';
import { exportGguf } from '../../../gguf/exportGguf.ts';
import { exportModel } from '../../../huggingface/exportModel.ts';
import { importModel } from '../../../huggingface/importModel.ts';
import { shellPath } from '../../../shellWord.ts';
import { assertWhole } from '../../options.ts';
import { grouped, note, printJson, printWarning } from '../../terminal/output.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { exportUsage, importUsage } from './usage.ts';

export async function importFolder(args: ArgumentsOf<typeof importUsage>): Promise<void> {
  const { contextLength = null, ignoreKey: ignoredKeys = [] } = args;
  if (contextLength !== null) assertWhole('context-length', contextLength, 1);
  if (args.run === '') throw wrongInput('--run is empty. Name the run directory to create.');
  const imported = await importModel(args.directory, path.resolve(args.run), { contextLength, ignoredKeys });
  for (const warning of imported.warnings) printWarning(warning);
  if (args.json) printJson(imported);
  if (args.quiet) return;
  const shown = path.relative(process.cwd(), imported.runDirectory) || '.';
  const context = `context length ${grouped(imported.contextLength)}`;
  note(`${imported.kind}: ${grouped(imported.parameters)} parameters, ${context}, into ${shown}`);
  const { paddingRows, sampling } = imported;
  const settings = Object.entries(sampling).map(([key, value]) => `${key} ${String(value)}`);
  if (settings.length > 0)
    note(`sampling as generation_config.json says: ${settings.join(', ')} (samples in its config.yaml)`);
  if (paddingRows > 0)
    note(`${paddingRows} rows of the embedding have no token in the tokenizer: they are kept, but never sampled`);
  note(
    `to sample: clm sample ${shellPath(shown)}; to fine-tune: start: { from: ${JSON.stringify(shown)} } in a config`,
  );
}

export async function exportRun(args: ArgumentsOf<typeof exportUsage>): Promise<void> {
  const { checkpoint, dtype, path: target } = args;
  if (isGgufName(target)) return exportGgufFile(args);
  if (dtype === 'q8_0') throw wrongInput('--dtype q8_0 is only for GGUF: name a file that ends in .gguf');
  const exported = await exportModel(args.run, path.resolve(target), { checkpoint, dtype });
  if (args.json) printJson(exported);
  const { kind, step, files } = exported;
  if (!args.quiet) note(`${kind} after ${step} steps, ${dtype}: wrote ${files.join(', ')} to ${target}`);
}

const isGgufName = (name: string): boolean => name.toLowerCase().endsWith('.gguf');

async function exportGgufFile(args: ArgumentsOf<typeof exportUsage>): Promise<void> {
  const { checkpoint, dtype, path: target } = args;
  const exported = await exportGguf(args.run, path.resolve(target), { checkpoint, dtype });
  for (const warning of exported.warnings) printWarning(warning);
  if (args.json) printJson(exported);
  const { kind, step, bytes } = exported;
  if (!args.quiet) note(`${kind} after ${step} steps, ${dtype}: wrote ${grouped(bytes)} bytes to ${target}`);
}
