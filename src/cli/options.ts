/** Options that several commands share, and what follows from them. */
import type { Config } from '../config/schema.ts';
import { wrongInput } from '../errors.ts';
import { hasBfloat16Arithmetic } from '../runtime/bfloat16Support.ts';
import { printWarning } from './terminal/output.ts';

export const setOption = {
  set: {
    type: 'string',
    array: true,
    nargs: 1,
    default: [] as string[],
    describe: 'Override a config key, as --set model.layers=6; may be repeated',
  },
} as const;

export const deviceOption = {
  device: {
    choices: ['auto', 'cpu', 'cuda'] as const,
    describe: 'Where to compute; overrides the config',
  },
} as const;

export const jsonOption = {
  json: { type: 'boolean', default: false, describe: 'Results as JSON, one object a line' },
} as const;

export const quietOption = {
  quiet: { type: 'boolean', default: false, describe: 'Only results, warnings and errors' },
  verbose: { type: 'boolean', default: false, describe: 'Also what TensorFlow has to say' },
} as const;

/** @throws wrongInput where the number of an option is not whole or too small */
export function assertWhole(option: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return;
  throw wrongInput(`--${option} must be a whole number of at least ${least}`);
}

/** bfloat16 without hardware for it is allowed, but no favour. */
export function warnOfSlowBfloat16({ training, device }: Pick<Config, 'training' | 'device'>): void {
  if (training.precision !== 'bfloat16' || device === 'cuda' || hasBfloat16Arithmetic() !== false) return;
  printWarning(
    'training.precision is bfloat16, but this processor has no bfloat16 arithmetic: expect it to be slower than float32',
  );
}

/** `--verbose` lets TensorFlow's own log through; must be called before it is loaded. */
export function applyVerbose(verbose: boolean): void {
  if (verbose) process.env['CLM_TENSORFLOW_LOG'] = '1';
}
