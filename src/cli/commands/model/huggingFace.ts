/** `clm import` and `clm export`: a Hugging Face folder or a GGUF file as a run, and a run as either. */
import path from 'node:path';
import { wrongInput } from '../../../errors.ts';
import { exportGguf } from '../../../gguf/exportGguf.ts';
import { importGguf } from '../../../gguf/importGguf.ts';
import { adapterConfigFile } from '../../../huggingface/adapters/adapterFiles.ts';
import { importAdapter } from '../../../huggingface/adapters/importAdapter.ts';
import { exportModel } from '../../../huggingface/exportModel.ts';
import { importModel } from '../../../huggingface/importModel.ts';
import { shellPath } from '../../../shellWord.ts';
import { isGgufFile } from '../../../storage/importable.ts';
import { assertWhole } from '../../options.ts';
import { grouped, note, printJson, printWarning } from '../../terminal/output.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { exportUsage, importUsage } from './usage.ts';

export async function importFolder(args: ArgumentsOf<typeof importUsage>): Promise<void> {
  const { contextLength = null, ignoreKey: ignoredKeys = [] } = args;
  if (contextLength !== null) assertWhole('context-length', contextLength, 1);
  if (args.run === '') throw wrongInput('--run is empty. Name the run directory to create.');
  if (args.base !== undefined) return importFor(args.base, args);
  const options = { contextLength, ignoredKeys };
  const isGguf = isGgufName(args.path) || isGgufFile(args.path);
  const runDirectory = path.resolve(args.run);
  const gguf = isGguf ? await importGguf(args.path, runDirectory, options) : undefined;
  const imported = gguf ?? (await importModel(args.path, runDirectory, options));
  for (const warning of imported.warnings) printWarning(warning);
  if (args.json) printJson(imported);
  if (args.quiet) return;
  const shown = path.relative(process.cwd(), imported.runDirectory) || '.';
  const context = `context length ${grouped(imported.contextLength)}`;
  const types = gguf ? ` (${gguf.types.join(', ')} in the file, float32 in the run)` : '';
  note(`${imported.kind}: ${grouped(imported.parameters)} parameters${types}, ${context}, into ${shown}`);
  const { paddingRows, sampling } = imported;
  const settings = Object.entries(sampling).map(([key, value]) => `${key} ${String(value)}`);
  const source = gguf ? 'the file' : 'generation_config.json';
  if (settings.length > 0) note(`sampling as ${source} says: ${settings.join(', ')} (samples in its config.yaml)`);
  if (paddingRows > 0)
    note(`${paddingRows} rows of the embedding have no token in the tokenizer: they are kept, but never sampled`);
  note(
    `to sample: clm sample ${shellPath(shown)}; to fine-tune: start: { from: ${JSON.stringify(shown)} } in a config`,
  );
}

/** Imports an adapter of PEFT for the run `base`. */
async function importFor(base: string, args: ArgumentsOf<typeof importUsage>): Promise<void> {
  if (base === '') throw wrongInput('--base is empty. Name the run of the model that the adapter is for.');
  if (args.contextLength !== undefined) throw wrongInput('--context-length is that of --base; leave it out');
  const options = { base, ignoredKeys: args.ignoreKey };
  const imported = await importAdapter(args.path, path.resolve(args.run), options);
  for (const warning of imported.warnings) printWarning(warning);
  if (args.json) printJson(imported);
  if (args.quiet) return;
  const { adapter, baseName } = imported;
  const shown = path.relative(process.cwd(), imported.runDirectory) || '.';
  note(
    `LoRA of rank ${adapter.rank} on ${adapter.targets.join(', ')}: ${grouped(imported.parameters)} parameters for ` +
      `step ${imported.base.step} of ${base}, into ${shown}`,
  );
  if (baseName !== null) note(`it was made for ${baseName}, says its ${adapterConfigFile}`);
  note(`to sample: clm sample ${shellPath(shown)}; as a model of its own: clm export ${shellPath(shown)} DIR --merge`);
}

export async function exportRun(args: ArgumentsOf<typeof exportUsage>): Promise<void> {
  const { checkpoint, dtype, path: target, merge, adapter } = args;
  if (merge && adapter) throw wrongInput('--merge and --adapter exclude each other: give one of them');
  if (isGgufName(target)) return exportGgufFile(args);
  if (dtype === 'q8_0') throw wrongInput('--dtype q8_0 is only for GGUF: name a file that ends in .gguf');
  const as = merge ? 'merge' : adapter ? 'adapter' : null;
  const exported = await exportModel(args.run, path.resolve(target), { checkpoint, dtype, as });
  if (args.json) printJson(exported);
  const { kind, step, files, baseName } = exported;
  if (args.quiet) return;
  note(`${kind} after ${step} steps, ${dtype}: wrote ${files.join(', ')} to ${target}`);
  if (baseName === null) {
    note(
      'base_model_name_or_path is null, since clm does not know where the base is published: load the base first, ' +
        `then PeftModel.from_pretrained(base, ${JSON.stringify(target)})`,
    );
  }
}

const isGgufName = (name: string): boolean => name.toLowerCase().endsWith('.gguf');

async function exportGgufFile(args: ArgumentsOf<typeof exportUsage>): Promise<void> {
  const { checkpoint, dtype, path: target, merge, adapter } = args;
  const as = merge ? 'merge' : adapter ? 'adapter' : null;
  const exported = await exportGguf(args.run, path.resolve(target), { checkpoint, dtype, as });
  for (const warning of exported.warnings) printWarning(warning);
  if (args.json) printJson(exported);
  const { kind, step, bytes } = exported;
  if (!args.quiet) note(`${kind} after ${step} steps, ${dtype}: wrote ${grouped(bytes)} bytes to ${target}`);
}
