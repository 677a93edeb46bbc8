/** `clm export`: a run becomes a Hugging Face folder. */
import path from 'node:path';
import { wrongInput } from '../../../errors.ts';
import { exportModel } from '../../../huggingface/exportModel.ts';
import { note, printJson } from '../../terminal/output.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { exportUsage } from './usage.ts';

export async function exportRun(args: ArgumentsOf<typeof exportUsage>): Promise<void> {
  if (args.checkpoint !== 'last' && !/^\d+$/.test(args.checkpoint))
    throw wrongInput(`--checkpoint is ${args.checkpoint}; it must be last or a step`);
  const which = args.checkpoint === 'last' ? 'last' : Number(args.checkpoint);
  const exported = await exportModel(args.run, path.resolve(args.directory), {
    checkpoint: which,
    dtype: args.dtype,
  });
  if (args.json) printJson(exported);
  if (!args.quiet)
    note(
      `${exported.kind} after ${exported.step} steps, ${exported.dtype}: ${exported.files.join(', ')} in ${args.directory}`,
    );
}
