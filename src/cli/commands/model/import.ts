/** `clm import`: a Hugging Face folder becomes a run. */
import path from 'node:path';
import type { CommandModule } from 'yargs';
import { wrongInput } from '../../../errors.ts';
import { importModel } from '../../../huggingface/importModel.ts';
import { jsonOption, quietOption } from '../../options.ts';
import { grouped, note, printJson } from '../../terminal/output.ts';

interface ImportArguments {
  directory: string;
  run: string;
  contextLength?: number;
  json: boolean;
  quiet: boolean;
}

export const importCommand: CommandModule<object, ImportArguments> = {
  command: 'import <directory>',
  describe: 'Make a run of a Hugging Face folder (GPT-2, Llama, Mistral, Qwen2, Qwen3, SmolLM)',
  builder: (parser) =>
    parser
      .positional('directory', {
        type: 'string',
        demandOption: true,
        describe: 'Folder with config.json, safetensors and tokenizer.json',
      })
      .option('run', { type: 'string', demandOption: true, describe: 'Run directory to make' })
      .option('context-length', { type: 'number', describe: 'Shorter context than the model’s own (not for GPT-2)' })
      .options({ ...jsonOption, ...quietOption })
      .example('clm import SmolLM-135M --run runs/smollm', 'A run that can be sampled and evaluated')
      .example(
        'clm import Qwen3-0.6B --run runs/qwen3 --context-length 1024',
        'With a context that fits the memory',
      ) as never,
  handler: async (args) => {
    const { contextLength = null } = args;
    if (contextLength !== null && !(Number.isSafeInteger(contextLength) && contextLength >= 1)) {
      throw wrongInput('--context-length must be a whole number of at least 1');
    }
    if (args.run === '') throw wrongInput('--run is empty. Name the run directory to make.');
    const imported = await importModel(args.directory, path.resolve(args.run), { contextLength });
    if (args.json) printJson(imported);
    if (args.quiet) return;
    const shown = path.relative(process.cwd(), imported.runDirectory) || '.';
    note(
      `${imported.kind}: ${grouped(imported.parameters)} parameters, context of ${grouped(imported.contextLength)} tokens, into ${shown}`,
    );
    if (imported.paddingRows > 0)
      note(`${imported.paddingRows} rows of the embedding have no token in the tokenizer: kept, and never sampled`);
    note(`to sample: clm sample ${shown}; to train on: start: { from: ${shown} } in a config`);
  },
};
