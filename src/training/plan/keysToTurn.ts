/**
 * What lowers the peak of a run that does not fit a machine, in the order in which to turn it: first what costs nothing
 * but time, last what makes another model. Each stands on top of those before it, and the last one needed ends the
 * list.
 */
import type { Config } from '../../config/schema.ts';
import { parameterTable, vocabularyRows } from '../../model/parameters.ts';
import { memoryPlan } from './memory.ts';

type SizedConfig = Pick<Config, 'corpus' | 'model' | 'training' | 'optimizer'>;

/** Keys to set together, and the peak of the run with them and those before. */
export interface KeyToTurn {
  keys: Readonly<Record<string, number | string | null>>;
  bytes: number;
}

/** The values worth trying of one turn, mildest first; each is the keys to set. */
type Turn = (config: SizedConfig) => KeyToTurn['keys'][];

const halvings = (value: number, least: number): number[] => {
  const values: number[] = [];
  for (let half = Math.floor(value / 2); half >= least; half = Math.floor(half / 2)) values.push(half);
  return values;
};

const smallerDivisors = (value: number): number[] =>
  Array.from({ length: value - 1 }, (_, i) => value - 1 - i).filter((divisor) => value % divisor === 0);

const turns: readonly Turn[] = [
  // The same windows in a step, in smaller parts: the same update.
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

/** A turn that leaves more than this of the peak is not worth naming. */
const worthwhile = 0.99;

/**
 * @param tokens of the tokenizer @returns none where the run fits; else the last one's `bytes` say whether it does then
 */
export function keysToTurn(config: SizedConfig, tokens: number, machineBytes: number): KeyToTurn[] {
  const peak = (turned: SizedConfig): number =>
    memoryPlan(turned, parameterTable(turned.model, tokens), vocabularyRows(turned.model, tokens)).total;
  const turned: KeyToTurn[] = [];
  let now = config;
  let bytes = peak(config);
  for (const turn of turns) {
    if (bytes <= machineBytes) break;
    const tried = turn(now)
      .map((keys) => ({ keys, config: withKeys(now, keys) }))
      .map((each) => ({ ...each, bytes: peak(each.config) }));
    const chosen = tried.find((each) => each.bytes <= machineBytes) ?? tried.at(-1);
    if (chosen === undefined || chosen.bytes > worthwhile * bytes) continue;
    turned.push({ keys: chosen.keys, bytes: chosen.bytes });
    ({ config: now, bytes } = chosen);
  }
  return turned;
}

/** The config with keys such as `model.layers` set. */
function withKeys(config: SizedConfig, keys: KeyToTurn['keys']): SizedConfig {
  return Object.entries(keys).reduce<SizedConfig>((turned, [path, value]) => {
    const [section, key] = path.split('.') as [keyof SizedConfig, string];
    return { ...turned, [section]: { ...turned[section], [key]: value } };
  }, config);
}

/** As `training.microBatchSize: 1, training.microBatchesPerStep: 5 (9.1 GB)`. */
export const turnText = ({ keys, bytes }: KeyToTurn): string =>
  `${Object.entries(keys)
    .map(([key, value]) => `${key}: ${value}`)
    .join(', ')} (${(bytes / 1e9).toFixed(1)} GB)`;
