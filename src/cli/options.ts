/** Arguments and options that several commands share, and the check of a whole number. */
import { wrongInput } from '../errors.ts';

export const configArgument = { config: { type: 'string', demandOption: true, describe: 'YAML config' } } as const;

export const runArgument = {
  run: { type: 'string', demandOption: true, describe: 'Run directory or checkpoint folder' },
} as const;

export const runsArgument = {
  runs: { type: 'string', array: true, demandOption: true, describe: 'Run directories, or folders that contain runs' },
} as const;

export const inputOptions = {
  text: { type: 'string', describe: 'The text itself' },
  file: { type: 'string', describe: 'UTF-8 text file (default: stdin)' },
} as const;

export const setOption = {
  set: {
    type: 'string',
    array: true,
    nargs: 1,
    default: [] as string[],
    describe: 'Override a config key, e.g. --set model.layers=6; repeatable',
  },
} as const;

export const checkpointOption = {
  checkpoint: { type: 'string', default: 'last', describe: 'Checkpoint to load: last, best, or a step number' },
} as const;

export const deviceOption = {
  device: { choices: ['auto', 'cpu', 'cuda'], describe: 'Device to compute on; overrides the config' },
} as const;

export const eagerOption = {
  eager: { type: 'boolean', default: false, describe: 'Execute op by op instead of as one recorded graph (slower)' },
} as const;

export const logOption = {
  log: {
    type: 'string',
    array: true,
    nargs: 1,
    describe:
      'Also write TensorBoard event files (tensorboard) or metrics.csv (csv), overriding reports.log, or hand every ' +
      'fact to a module (./my-sink.mjs); repeatable',
  },
} as const;

export const ignoreHangupOption = {
  'ignore-hangup': {
    type: 'boolean',
    default: false,
    describe: 'Go on when the terminal is closed (SIGHUP), as with nohup',
  },
} as const;

export const jsonOption = {
  json: { type: 'boolean', default: false, describe: 'Print results as JSON, one object per line' },
} as const;

export const quietOption = {
  quiet: { type: 'boolean', default: false, describe: 'Print only results, warnings and errors' },
} as const;

export const verboseOption = {
  verbose: { type: 'boolean', default: false, describe: 'Also print TensorFlow’s own log' },
} as const;

/** @throws wrongInput if the number of an option is not whole or too small */
export function assertWhole(option: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return;
  throw wrongInput(`--${option} must be a whole number of at least ${least}`);
}
