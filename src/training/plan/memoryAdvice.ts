/**
 * Which keys to change, in which order, if a run does not fit a machine: first those that cost only time, last those
 * that change the model. Each change builds on the ones before it; the list ends with the last one needed.
 */
import type { Config } from '../../config/schema.ts';
import { derivedKeys } from '../../config/sections/derivedKeys.ts';
import { model as modelSection } from '../../config/sections/model.ts';
import { environmentFailure } from '../../errors.ts';
import { vocabularyRows } from '../../model/parameters.ts';
import { parameterRoles } from '../../model/trainedParameters.ts';
import { hasBfloat16Arithmetic } from '../../processor.ts';
import { bytesText } from '../../units.ts';
import { memoryPlan } from './memory.ts';

type SizedConfig = Pick<Config, 'start' | 'adapter' | 'corpus' | 'model' | 'training' | 'optimizer'>;

/** Keys to set together, and the predicted peak of the run with them and the changes before. */
export interface MemoryAdvice {
  keys: Readonly<Record<string, number | string | null>>;
  bytes: number;
}

/** The values worth trying for some keys, smallest change first. */
type Change = (config: SizedConfig) => MemoryAdvice['keys'][];

/** Least harm first. */
const changes: readonly Change[] = [
  // The same windows per step in smaller parts: the update stays the same.
  ({ training: { microBatchSize, microBatchesPerStep } }) =>
    typeof microBatchesPerStep === 'number'
      ? smallerDivisors(microBatchSize).map((size) => ({
          'training.microBatchSize': size,
          'training.microBatchesPerStep': (microBatchSize * microBatchesPerStep) / size,
        }))
      : [],
  ({ adapter, start }) =>
    adapter.kind !== null && start.weights === 'float32' ? [{ 'start.weights': 'bfloat16' }] : [],
  ({ training }) => (training.recompute === null ? [{ 'training.recompute': 'block' }] : []),
  ({ training }) =>
    training.precision === 'float32' && hasBfloat16Arithmetic() === true ? [{ 'training.precision': 'bfloat16' }] : [],
  ({ training }) => (training.emaDecay === null ? [] : [{ 'training.emaDecay': null }]),
  ({ adapter, optimizer }) =>
    optimizer.kind === 'adamw' && adapter.kind === null ? [{ 'optimizer.kind': 'muon' }] : [],
];

/** What makes another model: halved in turns, so that no size shrinks to nothing while another stays. */
const modelHalvings: readonly Change[] = [
  ({ model }) => (model.contextLength >= 128 ? [{ 'model.contextLength': model.contextLength >> 1 }] : []),
  ({ adapter, model }) => (adapter.kind === null ? halfWidth(model) : []), // the base of an adapter has its size
  ({ adapter, model }) => (adapter.kind === null && model.layers >= 2 ? [{ 'model.layers': model.layers >> 1 }] : []),
];

/** A change that leaves more than this share of the peak is not worth naming. */
const worthwhile = 0.99;

const peakOf = (config: SizedConfig, tokens: number): number =>
  memoryPlan(config, parameterRoles(config, tokens), vocabularyRows(config.model, tokens)).total;

/**
 * @param tokens vocabulary size of the tokenizer
 * @returns nothing if the run fits; otherwise the `bytes` of the last change say whether all of them together suffice
 */
export function memoryAdvice(config: SizedConfig, tokens: number, machineBytes: number): MemoryAdvice[] {
  const advice: MemoryAdvice[] = [];
  let current = config;
  let bytes = peakOf(config, tokens);
  /** Makes the smallest of these changes that fits, else the largest, unless it hardly helps. */
  const tryChange = (change: Change): MemoryAdvice['keys'] | undefined => {
    const tried = change(current)
      .map((keys) => ({ keys, config: withKeys(current, keys) }))
      .map((each) => ({ ...each, bytes: peakOf(each.config, tokens) }));
    const chosen = tried.find((each) => each.bytes <= machineBytes) ?? tried.at(-1);
    if (chosen === undefined || chosen.bytes > worthwhile * bytes) return undefined;
    ({ config: current, bytes } = chosen);
    return chosen.keys;
  };
  for (const change of changes) {
    const keys = bytes > machineBytes && tryChange(change);
    if (keys) advice.push({ keys, bytes });
  }
  const before = current;
  const halved = modelHalvings.map((): MemoryAdvice['keys'] => ({}));
  for (let hasHelped = true; hasHelped && bytes > machineBytes; ) {
    hasHelped = false;
    for (const [i, change] of modelHalvings.entries()) {
      const keys = bytes > machineBytes && tryChange(change);
      if (!keys) continue;
      halved[i] = { ...halved[i], ...keys };
      hasHelped = true;
    }
  }
  // Each key with all its halvings; those of the last keys may then not be needed.
  current = before;
  bytes = peakOf(before, tokens);
  for (const keys of halved) {
    if (Object.keys(keys).length === 0 || bytes <= machineBytes) continue;
    current = withKeys(current, keys);
    bytes = peakOf(current, tokens);
    advice.push({ keys, bytes });
  }
  return advice;
}

/** Further keys that lower the peak, in the same order: those of the changes that `advice` does not need. */
export function otherKeys(config: Config, tokens: number, advice: readonly MemoryAdvice[]): string[] {
  if (advice.length === 0) return [];
  const named = new Set(advice.flatMap(({ keys }) => Object.keys(keys)));
  const before = peakOf(config, tokens);
  const helps = (peak: number): boolean => peak <= worthwhile * before;
  const keys = [...changes, ...modelHalvings].flatMap((change) => {
    const last = change(config).at(-1);
    return last !== undefined && helps(peakOf(withKeys(config, last), tokens)) ? [Object.keys(last)[0]!] : [];
  });
  if (config.tokenizer.kind === 'bpe' && helps(peakOf(config, tokens >> 1))) keys.push('tokenizer.vocabularySize');
  return keys.filter((key) => !named.has(key));
}

/** The advice as a sentence or two. */
export function adviceText(advice: readonly MemoryAdvice[], others: readonly string[], machineBytes: number): string {
  const last = advice.at(-1);
  if (last === undefined) return 'No key makes it fit: it needs a machine with more memory.';
  const made = advice.map(({ keys, bytes }) => {
    const values = Object.entries(keys).map(([key, value]) => `${key}: ${value}`);
    return `${values.join(', ')} (${bytesText(bytes)})`;
  });
  const rest = last.bytes <= machineBytes ? '' : ' That is not enough: it needs a machine with more memory.';
  const also = others.length === 0 ? '' : ` Other keys that help: ${others.join(', ')}.`;
  return `Change these keys in this order until it fits: ${made.join(', then ')}.${rest}${also}`;
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

/** The config with keys such as `model.layers` set; what follows from the width follows from the new one. */
function withKeys(config: SizedConfig, keys: MemoryAdvice['keys']): SizedConfig {
  let changed = config;
  for (const [path, value] of Object.entries(keys)) {
    const [section, key] = path.split('.') as [keyof SizedConfig, string];
    changed = { ...changed, [section]: { ...changed[section], [key]: value } };
  }
  if (changed.model === config.model) return changed;
  const followed = Object.entries(derivedKeys(config.model)).filter(([key]) => !(`model.${key}` in keys));
  return { ...changed, model: modelSection.parse({ ...changed.model, ...Object.fromEntries(followed) }) };
}

const narrowest = 64;

/** Half the width, with heads of the same size if the number of heads can be halved with it. */
function halfWidth(model: Config['model']): MemoryAdvice['keys'][] {
  const { width, heads, preset } = model;
  const derived = derivedKeys(model);
  const half = width / 2;
  const halvesHeads = heads % 2 === 0 && 'keyValueHeads' in derived && 'headSize' in derived && preset === null;
  const headSize = 'headSize' in derived ? half / (halvesHeads ? heads / 2 : heads) : model.headSize;
  if (half < narrowest || headSize % 2 !== 0) return [];
  return [
    {
      'model.width': half,
      ...(halvesHeads && { 'model.heads': heads / 2 }),
      ...(!('feedForwardWidth' in derived) && { 'model.feedForwardWidth': Math.ceil(model.feedForwardWidth / 2) }),
    },
  ];
}

const smallerDivisors = (value: number): number[] =>
  Array.from({ length: value - 1 }, (_, i) => value - 1 - i).filter((divisor) => value % divisor === 0);
