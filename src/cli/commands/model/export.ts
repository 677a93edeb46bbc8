/** `clm export`: writes a run as a Hugging Face model folder. */
import path from 'node:path';
import { wrongInput } from '../../../errors.ts';
import { exportModel } from '../../../huggingface/exportModel.ts';
import { note, printJson } from '../../terminal/output.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { exportUsage } from './usage.ts';

export async function exportRun(args: ArgumentsOf<typeof exportUsage>): Promise<void> {
  if (args.checkpoint !== 'last' && !/^\d+$/.test(args.checkpoint))
    throw wrongInput(`--checkpoint must be last or a step number, not "${args.checkpoint}"`);
  const which = args.checkpoint === 'last' ? 'last' : Number(args.checkpoint);
  const exported = await exportModel(args.run, path.resolve(args.directory), {
    checkpoint: which,
    dtype: args.dtype,
  });
  if (args.json) printJson(exported);
  const { kind, step, dtype, files } = exported;
  if (!args.quiet) note(`${kind} after ${step} steps, ${dtype}: wrote ${files.join(', ')} to ${args.directory}`);
}
