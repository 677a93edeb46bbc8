/**
 * A model whose adapter has been added to the weights: W + (alpha / rank)·A·B. It computes the same as base and adapter
 * side by side, and costs no more than the base.
 */
import type { Config } from '../config/schema.ts';
import { assertSameTensors, type NamedTensor } from '../tensors/tensors.ts';
import { adapterNames, adapterOf, adapterTable, mapsOf, type Adapter } from './adapter.ts';
import type { ModelConfig, ParameterSpec } from './parameters.ts';

/** Ranks that are added at a time; each pass over a matrix reads and writes all of it. */
const ranksAtATime = 4;

/** Adds to the values of a parameter, in place, what an adapter has for it; each sum is rounded to float32 once. */
export type Merge = (parameter: { name: string; shape: readonly number[] }, values: Float32Array) => Float32Array;

/**
 * What to do with each parameter of a checkpoint's model.
 *
 * @param table of the model @param opened the adapter that was opened with it; null without one
 * @throws wrong input if its tensors are not those of the config
 */
export function mergeOf(
  config: Pick<Config, 'model' | 'adapter'>,
  table: readonly ParameterSpec[],
  opened: { file: string; tensors: readonly NamedTensor[] } | null,
): Merge {
  const adapter = adapterOf(config);
  if (opened === null || adapter === null) return (_, values) => values;
  assertSameAdapter(config, table, opened);
  return adapterMerge(opened.tensors, adapter, config.model);
}

/** @throws wrong input if the tensors of an adapter are not those of the config */
export const assertSameAdapter = (
  config: Pick<Config, 'model' | 'adapter'>,
  table: readonly ParameterSpec[],
  { file, tensors }: { file: string; tensors: readonly NamedTensor[] },
): void => assertSameTensors(adapterTable(table, adapterOf(config)!, config.model), tensors, file);

/** @param tensors of the adapter */
export function adapterMerge(tensors: readonly NamedTensor[], adapter: Adapter, model: ModelConfig): Merge {
  const valuesOf = new Map(tensors.map(({ name, values }) => [name, values]));
  const scaling = adapter.alpha / adapter.rank;
  return ({ name, shape: [inputs, outputs] }, values) => {
    if (!name.startsWith('blocks.') || !name.endsWith('.weight')) return values;
    for (const { path, start, columns } of mapsOf(name.slice(0, -'.weight'.length), outputs!, model)) {
      const names = adapterNames(path);
      const [a, b] = [valuesOf.get(names.a), valuesOf.get(names.b)];
      if (a && b) addProduct(values, a, b, { inputs: inputs!, outputs: outputs!, start, columns, scaling });
    }
    return values;
  };
}

/** values (inputs, outputs)[:, start…] += scaling · a (inputs, rank) · b (rank, columns). */
function addProduct(
  values: Float32Array,
  a: Float32Array,
  b: Float32Array,
  sizes: { inputs: number; outputs: number; start: number; columns: number; scaling: number },
): void {
  const { inputs, outputs, start, columns, scaling } = sizes;
  const rank = a.length / inputs;
  const padded = Math.ceil(rank / ranksAtATime) * ranksAtATime;
  const factors = new Float64Array(padded); // of one row; zeros beyond the rank
  const rows = new Float64Array(padded * columns); // of b, in the precision of the sum
  rows.set(b);
  const sum = new Float64Array(columns);
  for (let row = 0; row < inputs; row++) {
    for (let k = 0; k < rank; k++) factors[k] = scaling * a[row * rank + k]!;
    const target = values.subarray(row * outputs + start, row * outputs + start + columns);
    sum.set(target);
    for (let k = 0; k < padded; k += ranksAtATime) {
      const [f0, f1, f2, f3] = [factors[k]!, factors[k + 1]!, factors[k + 2]!, factors[k + 3]!];
      const [r0, r1, r2, r3] = [k * columns, (k + 1) * columns, (k + 2) * columns, (k + 3) * columns];
      for (let i = 0; i < columns; i++)
        sum[i]! += f0 * rows[r0 + i]! + f1 * rows[r1 + i]! + f2 * rows[r2 + i]! + f3 * rows[r3 + i]!;
    }
    target.set(sum);
  }
}
