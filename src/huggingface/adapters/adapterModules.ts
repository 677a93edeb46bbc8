/**
 * Which module of a Hugging Face model is which map of clm's adapter. For the Llama family q_proj, k_proj and v_proj
 * are the maps query, key and value; GPT-2's c_attn is the map queryKeyValue.
 */
import { mapsOf, type AdaptedMap } from '../../model/adapter.ts';
import type { ModelConfig, ParameterSpec } from '../../model/parameters.ts';
import { mappingOf } from '../tensorMapping.ts';

/** A linear module of a Hugging Face model: some columns of the matrix of a linear operation of clm. */
export interface AdapterModule {
  /** e.g. `model.layers.3.self_attn.q_proj` */
  name: string;
  inputs: number;
  /** Its columns of clm's matrix. */
  start: number;
  columns: number;
  /** Of the columns, all that clm can adapt, also together with others. */
  maps: AdaptedMap[];
}

/** The modules inside the blocks, in the order of the parameters. @param table of the base */
export const adapterModules = (table: readonly ParameterSpec[], model: ModelConfig): AdapterModule[] =>
  table
    .filter(({ name }) => name.startsWith('blocks.') && name.endsWith('.weight'))
    .flatMap((parameter) => {
      const [inputs, outputs] = parameter.shape as [number, number];
      const maps = mapsOf(parameter.name.slice(0, -'.weight'.length), outputs, model);
      return mappingOf(parameter, model).tensors.map(({ name, startColumn, columns }) => ({
        name: name.slice(0, -'.weight'.length),
        inputs,
        start: startColumn,
        columns,
        maps: maps.filter((map) => map.start < startColumn + columns && startColumn < map.start + map.columns),
      }));
    });

/** The map that consists of exactly the columns of a module. */
export const mapOf = ({ maps, start, columns }: AdapterModule): AdaptedMap =>
  maps.find((map) => map.start === start && map.columns === columns)!;
