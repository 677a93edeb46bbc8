/**
 * LoRA (Hu et al. 2021, https://arxiv.org/abs/2106.09685): the weights W of a linear map stay as they are, and the map
 * becomes x·W + (alpha / rank)·(x·A)·B. A starts as in PEFT (Kaiming-uniform), B at 0, so that training starts with the
 * function of the base.
 *
 * Queries, keys and values are columns of one matrix W. A target `query`, `key` or `value` has an A and a B of its own,
 * whose product is added to the columns of that part; the target `queryKeyValue` has one pair for the whole matrix.
 */
import type { Config } from '../config/schema.ts';
import type { AdapterTarget } from '../config/sections/adapter.ts';
import { wrongInput } from '../errors.ts';
import type { Dropout } from '../ops/dropout.ts';
import type { ModelConfig, ParameterSpec } from './parameters.ts';

/** The adapter of a run. */
export interface Adapter {
  rank: number;
  alpha: number;
  /** Probability that an input of A is dropped in training. */
  dropout: number;
  targets: readonly AdapterTarget[];
}

export interface AdapterPass {
  /** What the product of the two matrices is multiplied by. */
  scaling: number;
  dropout: Dropout | null;
}

/** The adapter of a complete config; null if it has none. */
export const adapterOf = ({ adapter }: Pick<Config, 'adapter'>): Adapter | null =>
  adapter.kind === null ? null : { ...adapter, targets: adapter.targets ?? [] };

/** e.g. `LoRA of rank 8 on query, value` */
export const adapterText = ({ rank, targets }: Adapter): string => `LoRA of rank ${rank} on ${targets.join(', ')}`;

/** How an adapter takes part in a pass. @param dropout of its inputs; null outside training */
export const adapterPass = (adapter: Adapter | null, dropout: Dropout | null = null): AdapterPass | null =>
  adapter && { scaling: adapter.alpha / adapter.rank, dropout };

/** The names of the two matrices of a map, e.g. `blocks.3.attention.query.loraA`. */
export const adapterNames = (path: string): { a: string; b: string } => ({ a: `${path}.loraA`, b: `${path}.loraB` });

/** A map that can be adapted: columns of the matrix of a linear operation. */
export interface AdaptedMap {
  target: AdapterTarget;
  /** e.g. `blocks.3.attention.query` */
  path: string;
  /** Its columns of the matrix. */
  start: number;
  columns: number;
}

/**
 * The maps that a linear operation consists of.
 *
 * @param path of the operation, e.g. `blocks.3.attention.queryKeyValue` @param outputs columns of its matrix
 */
export function mapsOf(path: string, outputs: number, { heads, keyValueHeads, headSize }: ModelConfig): AdaptedMap[] {
  const dot = path.lastIndexOf('.');
  const [place, target] = [path.slice(0, dot), path.slice(dot + 1) as AdapterTarget];
  const whole = { target, path, start: 0, columns: outputs };
  if (target !== 'queryKeyValue') return [whole];
  const [queries, keys] = [heads * headSize, keyValueHeads * headSize];
  return [
    whole,
    { target: 'query', path: `${place}.query`, start: 0, columns: queries },
    { target: 'key', path: `${place}.key`, start: queries, columns: keys },
    { target: 'value', path: `${place}.value`, start: queries + keys, columns: keys },
  ];
}

/**
 * The parameters of an adapter, in the order of the matrices that they adapt: A (inputs, rank) and B (rank, outputs) of
 * each target in each block. @param table of the base
 */
export const adapterTable = (
  table: readonly ParameterSpec[],
  { rank, targets }: Adapter,
  model: ModelConfig,
): ParameterSpec[] =>
  table
    .filter(({ name }) => name.startsWith('blocks.') && name.endsWith('.weight'))
    .flatMap(({ name, shape: [inputs, outputs], parts }) =>
      mapsOf(name.slice(0, -'.weight'.length), outputs!, model)
        .filter(({ target }) => targets.includes(target))
        .flatMap(({ target, path, columns }): ParameterSpec[] => {
          const names = adapterNames(path);
          const common = { decays: true, multiplies: true };
          return [
            {
              ...common,
              name: names.a,
              shape: [inputs!, rank],
              initial: { kind: 'uniform', bound: 1 / Math.sqrt(inputs!) },
            },
            {
              ...common,
              name: names.b,
              shape: [rank, columns],
              initial: { kind: 'constant', value: 0 },
              ...(target === 'queryKeyValue' && parts && { parts }),
            },
          ];
        }),
    );

/**
 * A·B has at most the rank of the smaller side of the map that it is added to. Maps differ: a rank that is too much for
 * one, as PEFT allows, is not refused while it helps another.
 *
 * @param table of the adapter
 * @throws wrongInput if the rank is above that of every map, with the limit
 */
export function refuseHighRank(adapter: Adapter | null, table: readonly ParameterSpec[]): void {
  if (adapter === null) return;
  const ranks = new Map<string, number>();
  for (const { name, shape } of table) {
    const map = name.replace(/\.lora[AB]$/, '');
    const side = name.endsWith('.loraA') ? shape[0]! : shape[1]!;
    ranks.set(map, Math.min(side, ranks.get(map) ?? Infinity));
  }
  const [map, most] = [...ranks].reduce((a, b) => (b[1] > a[1] ? b : a));
  if (adapter.rank <= most) return;
  throw wrongInput(
    `adapter.rank is ${adapter.rank}, but no adapted map has a higher rank than ${most} (${map}): ` +
      `set adapter.rank to at most ${most}.`,
  );
}
