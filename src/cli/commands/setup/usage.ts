/** Interfaces of the commands for configs and the installation. */
import { configArgument, deviceOption, jsonOption, quietOption, setOption, verboseOption } from '../../options.ts';
import { defineUsage } from '../../usage.ts';

export const configShowUsage = defineUsage({
  command: 'config show <config>',
  describe: 'Print the complete config, with defaults and overrides',
  positionals: configArgument,
  options: { ...setOption, ...jsonOption },
  examples: [['clm config show configs/moby-dick.yaml --set model.layers=6', 'Print the config with an override']],
});

export const configSchemaUsage = defineUsage({
  command: 'config schema',
  describe: 'Print the JSON Schema of configs, for editors',
  options: jsonOption,
  examples: [['clm config schema > config.schema.json', 'Save the schema']],
});

export const doctorUsage = defineUsage({
  command: 'doctor',
  describe: 'Check what is installed, what is missing and which device is used',
  options: {
    device: { ...deviceOption.device, describe: 'Device to check (default: auto)' },
    'clear-cache': {
      type: 'boolean',
      default: false,
      describe: 'Remove copies of libtensorflow that other versions of clm from npm have unpacked',
    },
    ...jsonOption,
    ...quietOption,
    ...verboseOption,
  },
  examples: [
    ['clm doctor', 'Check this machine, and list what the cache folder holds'],
    ['clm doctor --clear-cache', 'Remove what older versions left there'],
  ],
});

export const completionUsage = defineUsage({
  command: 'completion <shell>',
  describe: 'Print a completion script for bash, zsh or fish',
  positionals: {
    shell: {
      choices: ['bash', 'zsh', 'fish', 'json'],
      demandOption: true,
      describe: 'Shell to complete in; json prints all commands and options as data',
    },
  },
  options: jsonOption,
  examples: [
    ['clm completion bash > ~/.local/share/bash-completion/completions/clm', 'Install for bash'],
    ['clm completion zsh > "${fpath[1]}/_clm"', 'Install for zsh'],
    ['clm completion fish > ~/.config/fish/completions/clm.fish', 'Install for fish'],
  ],
});
