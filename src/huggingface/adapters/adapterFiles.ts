/** An adapter of clm as the two files that PEFT loads. */
import { adapterNames, type Adapter } from '../../model/adapter.ts';
import type { ModelConfig, ParameterSpec } from '../../model/parameters.ts';
import type { LazyTensor } from '../../tensors/safetensors.ts';
import type { NamedTensor } from '../../tensors/tensors.ts';
import { adapterModules, type AdapterModule } from './adapterModules.ts';

export const adapterConfigFile = 'adapter_config.json';
export const adapterWeightsFile = 'adapter_model.safetensors';

/** The name of one of the two matrices of a module in the file. */
export const matrixName = (module: string, matrix: 'A' | 'B'): string =>
  `base_model.model.${module}.lora_${matrix}.weight`;

/**
 * Each module gets the matrices of all maps that its columns belong to: one below the other in A, side by side in B.
 * So queries, keys and values adapted on their own are one module of three times the rank in GPT-2, and what is adapted
 * as one is three modules with the same A in the other families.
 *
 * @param tensors of the adapter @param table of the base
 * @param baseName `base_model_name_or_path`; null if it is not known
 */
export function adapterFiles(
  tensors: readonly NamedTensor[],
  adapter: Adapter,
  { table, model, baseName }: { table: readonly ParameterSpec[]; model: ModelConfig; baseName: string | null },
): { config: object; weights: LazyTensor[] } {
  const valuesOf = new Map(tensors.map(({ name, values }) => [name, values]));
  const modules = adapterModules(table, model);
  const adapted = modules.flatMap((module) => {
    const maps = module.maps.filter(({ path }) => valuesOf.has(adapterNames(path).a));
    return maps.length === 0 ? [] : [{ module, maps, rank: maps.length * adapter.rank }];
  });
  const nameOf = shortNames(modules, new Set(adapted.map(({ module }) => module.name)));
  const wider = new Map(
    adapted.filter(({ rank }) => rank !== adapter.rank).map(({ module, rank }) => [nameOf(module), rank]),
  );
  const scaling = adapter.alpha / adapter.rank;
  return {
    config: {
      peft_type: 'LORA',
      task_type: 'CAUSAL_LM',
      base_model_name_or_path: baseName,
      revision: null,
      inference_mode: true,
      r: adapter.rank,
      lora_alpha: adapter.alpha,
      lora_dropout: adapter.dropout,
      target_modules: [...new Set(adapted.map(({ module }) => nameOf(module)))],
      rank_pattern: Object.fromEntries(wider),
      alpha_pattern: Object.fromEntries([...wider].map(([name, rank]) => [name, scaling * rank])),
      fan_in_fan_out: model.family === 'gpt2',
      bias: 'none',
      modules_to_save: null,
      init_lora_weights: true,
      use_rslora: false,
      use_dora: false,
    },
    weights: adapted.flatMap(({ module, maps, rank }): LazyTensor[] => {
      const pairs = maps.map(({ path, start, columns }) => {
        const names = adapterNames(path);
        return { a: valuesOf.get(names.a)!, b: valuesOf.get(names.b)!, start, columns };
      });
      return [
        { name: matrixName(module.name, 'A'), shape: [rank, module.inputs], values: () => stackedA(pairs, module) },
        { name: matrixName(module.name, 'B'), shape: [module.columns, rank], values: () => joinedB(pairs, module) },
      ];
    }),
  };
}

/** The matrices of a map, as in clm: a (inputs, rank), b (rank, columns). */
interface Pair {
  a: Float32Array;
  b: Float32Array;
  start: number;
  columns: number;
}

/** (pairs · rank, inputs) */
function stackedA(pairs: readonly Pair[], { inputs }: AdapterModule): Float32Array {
  const rank = pairs[0]!.a.length / inputs;
  const stacked = new Float32Array(pairs.length * rank * inputs);
  for (const [p, { a }] of pairs.entries())
    for (let i = 0; i < a.length; i++) stacked[(p * rank + (i % rank)) * inputs + Math.floor(i / rank)] = a[i]!;
  return stacked;
}

/** (columns, pairs · rank); 0 where a column does not belong to the map of the pair. */
function joinedB(pairs: readonly Pair[], module: AdapterModule): Float32Array {
  const rank = pairs[0]!.a.length / module.inputs;
  const width = pairs.length * rank;
  const joined = new Float32Array(module.columns * width);
  for (const [p, { b, start, columns }] of pairs.entries()) {
    const first = Math.max(start, module.start);
    const end = Math.min(start + columns, module.start + module.columns);
    for (let column = first; column < end; column++)
      for (let k = 0; k < rank; k++)
        joined[(column - module.start) * width + p * rank + k] = b[k * columns + column - start]!;
  }
  return joined;
}

/** Names for `target_modules`: the last part, as usual, unless that would name modules that are not adapted. */
function shortNames(
  modules: readonly AdapterModule[],
  adapted: ReadonlySet<string>,
): (module: AdapterModule) => string {
  const last = ({ name }: AdapterModule): string => name.slice(name.lastIndexOf('.') + 1);
  const ambiguous = new Set(modules.filter(({ name }) => !adapted.has(name)).map(last));
  return (module) => (ambiguous.has(last(module)) ? module.name.split('.').slice(-2).join('.') : last(module));
}
