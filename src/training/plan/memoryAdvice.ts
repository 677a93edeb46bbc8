/**
 * Which keys to change, in which order, if a run does not fit a machine: first those that cost only time, last those
 * that change the model. Each change builds on the ones before it; the list ends with the last one needed.
 */
import type { Config } from '../../config/schema.ts';
import { environmentFailure } from '../../errors.ts';
import { parameterTable, vocabularyRows } from '../../model/parameters.ts';
import { memoryPlan } from './memory.ts';

type SizedConfig = Pick<Config, 'corpus' | 'model' | 'training' | 'optimizer'>;

/** Keys to set together, and the predicted peak of the run with them and the changes before. */
export interface MemoryAdvice {
  keys: Readonly<Record<string, number | string | null>>;
  bytes: number;
}

/** The values worth trying for some keys, smallest change first. */
type Change = (config: SizedConfig) => MemoryAdvice['keys'][];

const changes: readonly Change[] = [
  // The same windows per step in smaller parts: the update stays the same.
  ({ training: { microBatchSize, microBatchesPerStep } }) =>
    smallerDivisors(microBatchSize).map((size) => ({
      'training.microBatchSize': size,
      'training.microBatchesPerStep': (microBatchSize * microBatchesPerStep) / size,
    })),
  ({ training }) => (training.recompute === null ? [{ 'training.recompute': 'block' }] : []),
  ({ training }) => (training.emaDecay === null ? [] : [{ 'training.emaDecay': null }]),
  ({ optimizer }) => (optimizer.kind === 'adamw' ? [{ 'optimizer.kind': 'muon' }] : []),
  ({ model }) => halvings(model.contextLength, 64).map((length) => ({ 'model.contextLength': length })),
  ({ model }) => halvings(model.layers, 1).map((layers) => ({ 'model.layers': layers })),
];

/** A change that leaves more than this share of the peak is not worth naming. */
const worthwhile = 0.99;

/**
 * @param tokens vocabulary size of the tokenizer
 * @returns nothing if the run fits; otherwise the `bytes` of the last change say whether all of them together suffice
 */
export function memoryAdvice(config: SizedConfig, tokens: number, machineBytes: number): MemoryAdvice[] {
  const peak = (changed: SizedConfig): number =>
    memoryPlan(changed, parameterTable(changed.model, tokens), vocabularyRows(changed.model, tokens)).total;
  const advice: MemoryAdvice[] = [];
  let current = config;
  let bytes = peak(config);
  for (const change of changes) {
    if (bytes <= machineBytes) break;
    const tried = change(current)
      .map((keys) => ({ keys, config: withKeys(current, keys) }))
      .map((each) => ({ ...each, bytes: peak(each.config) }));
    const chosen = tried.find((each) => each.bytes <= machineBytes) ?? tried.at(-1);
    if (chosen === undefined || chosen.bytes > worthwhile * bytes) continue;
    advice.push({ keys: chosen.keys, bytes: chosen.bytes });
    ({ config: current, bytes } = chosen);
  }
  return advice;
}

/** The advice as a sentence. */
export function adviceText(advice: readonly MemoryAdvice[], machineBytes: number): string {
  const last = advice.at(-1);
  if (last === undefined) return 'Lower model.width.';
  const changes = advice.map(({ keys, bytes }) => {
    const values = Object.entries(keys).map(([key, value]) => `${key}: ${value}`);
    return `${values.join(', ')} (${(bytes / 1e9).toFixed(1)} GB)`;
  });
  const rest =
    last.bytes <= machineBytes ? '' : ' That is not enough: also lower model.width, or use a machine with more memory.';
  return `Change these keys in this order until it fits: ${changes.join(', then ')}.${rest}`;
}

/** TensorFlow's failure to allocate memory, as a failure that names the keys to lower; any other error as it is. */
export function explainedOutOfMemory(error: unknown): unknown {
  const isOutOfMemory =
    error instanceof Error &&
    /OOM when allocating|RESOURCE_EXHAUSTED|ResourceExhausted|std::bad_alloc|Array buffer allocation failed/.test(
      error.message,
    );
  if (!isOutOfMemory) return error;
  return environmentFailure(
    'There is not enough memory for this run. Lower training.microBatchSize (and raise training.microBatchesPerStep ' +
      'to keep the number of tokens per step), then model.contextLength, then model.width.',
    { cause: error },
  );
}

/** The config with keys such as `model.layers` set. */
function withKeys(config: SizedConfig, keys: MemoryAdvice['keys']): SizedConfig {
  let changed = config;
  for (const [path, value] of Object.entries(keys)) {
    const [section, key] = path.split('.') as [keyof SizedConfig, string];
    changed = { ...changed, [section]: { ...changed[section], [key]: value } };
  }
  return changed;
}

function halvings(value: number, least: number): number[] {
  const values: number[] = [];
  for (let half = Math.floor(value / 2); half >= least; half = Math.floor(half / 2)) values.push(half);
  return values;
}

const smallerDivisors = (value: number): number[] =>
  Array.from({ length: value - 1 }, (_, i) => value - 1 - i).filter((divisor) => value % divisor === 0);
