/** `clm import`: makes a run of a Hugging Face model folder. */
import path from 'node:path';
import { wrongInput } from '../../../errors.ts';
import { importModel } from '../../../huggingface/importModel.ts';
import { grouped, note, printJson } from '../../terminal/output.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { importUsage } from './usage.ts';

export async function importFolder(args: ArgumentsOf<typeof importUsage>): Promise<void> {
  const { contextLength = null } = args;
  if (contextLength !== null && !(Number.isSafeInteger(contextLength) && contextLength >= 1)) {
    throw wrongInput('--context-length must be a whole number of at least 1');
  }
  if (args.run === '') throw wrongInput('--run is empty. Name the run directory to create.');
  const imported = await importModel(args.directory, path.resolve(args.run), { contextLength });
  if (args.json) printJson(imported);
  if (args.quiet) return;
  const shown = path.relative(process.cwd(), imported.runDirectory) || '.';
  const context = `context length ${grouped(imported.contextLength)}`;
  note(`${imported.kind}: ${grouped(imported.parameters)} parameters, ${context}, into ${shown}`);
  if (imported.paddingRows > 0)
    note(
      `${imported.paddingRows} rows of the embedding have no token in the tokenizer: they are kept, but never sampled`,
    );
  note(`to sample: clm sample ${shown}; to fine-tune: start: { from: ${shown} } in a config`);
}
