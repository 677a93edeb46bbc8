/** `clm config show CONFIG` prints what would run; `clm config schema` the JSON Schema for editors. */
import type { CommandModule } from 'yargs';
import { renderConfigJsonSchema } from '../../../config/jsonSchema.ts';
import { loadConfig } from '../../../config/load.ts';
import { renderConfig } from '../../../config/resolved.ts';
import { printJson } from '../../terminal/output.ts';
import { jsonOption, setOption } from '../../options.ts';

interface ShowArguments {
  config: string;
  set: string[];
  json: boolean;
}

const show: CommandModule<object, ShowArguments> = {
  command: 'show <config>',
  describe: 'Print the complete config that would run',
  builder: (parser) =>
    parser
      .positional('config', { type: 'string', demandOption: true, describe: 'YAML config' })
      .options({ ...setOption, ...jsonOption })
      .example(
        'clm config show configs/moby-dick.yaml --set model.layers=6',
        'Defaults, file, flags together',
      ) as never,
  handler: ({ config: path, set, json }) => {
    const config = loadConfig(path, { set });
    if (json) printJson(config);
    else process.stdout.write(renderConfig(config));
  },
};

const schema: CommandModule = {
  command: 'schema',
  describe: 'Print the JSON Schema of configs, for editors',
  handler: () => void process.stdout.write(renderConfigJsonSchema()),
};

export const configCommand: CommandModule = {
  command: 'config <action>',
  describe: 'Show a config as it would run, or the schema for editors',
  builder: (parser) =>
    parser
      .command(show as CommandModule<object, never>)
      .command(schema)
      .demandCommand(1, 'show or schema?'),
  handler: () => {},
};
