/** `clm export`: a run becomes a Hugging Face folder. */
import path from 'node:path';
import type { CommandModule } from 'yargs';
import { wrongInput } from '../../../errors.ts';
import { exportModel, type ExportType } from '../../../huggingface/exportModel.ts';
import { jsonOption, quietOption } from '../../options.ts';
import { note, printJson } from '../../terminal/output.ts';

interface ExportArguments {
  run: string;
  directory: string;
  dtype: ExportType;
  checkpoint: string;
  json: boolean;
  quiet: boolean;
}

export const exportCommand: CommandModule<object, ExportArguments> = {
  command: 'export <run> <directory>',
  describe: 'Write a run as a Hugging Face folder that transformers loads',
  builder: (parser) =>
    parser
      .positional('run', { type: 'string', demandOption: true, describe: 'Run directory or checkpoint folder' })
      .positional('directory', { type: 'string', demandOption: true, describe: 'Folder to make' })
      .option('dtype', {
        choices: ['float32', 'float16', 'bfloat16'] as const,
        default: 'float32',
        describe: 'Number format of the weights',
      })
      .option('checkpoint', { type: 'string', default: 'last', describe: 'last, or the step of a checkpoint' })
      .options({ ...jsonOption, ...quietOption })
      .example('clm export runs/moby-dick exported', 'config.json, model.safetensors, tokenizer.json')
      .example('clm export runs/smollm exported --dtype bfloat16', 'In half the bytes') as never,
  handler: async (args) => {
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
  },
};
