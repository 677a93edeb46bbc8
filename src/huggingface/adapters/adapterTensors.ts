/** Reads the adapter_model.safetensors of a PEFT folder, and makes the parameters of clm's adapter of it. */
import { adapterNames, type Adapter } from '../../model/adapter.ts';
import { wrongInput } from '../../errors.ts';
import { floatTypes, isFloatType } from '../../tensors/elementTypes.ts';
import { withSafetensors } from '../../tensors/safetensors.ts';
import type { TensorEntry } from '../../tensors/safetensorsHeader.ts';
import type { NamedTensor } from '../../tensors/tensors.ts';
import type { AdapterConfig } from './adapterConfig.ts';
import { matrixName } from './adapterFiles.ts';
import { mapOf, type AdapterModule } from './adapterModules.ts';

/** The two matrices of a module as PEFT has them: A (rank, inputs), B (outputs, rank). */
interface LowRank {
  module: AdapterModule;
  rank: number;
  scale: number;
  a: Float32Array;
  b: Float32Array;
}

/**
 * @param file adapter_model.safetensors
 * @param modules of the base
 * @throws wrongInput naming tensors that are missing, unknown, or do not fit the base
 */
export async function readLowRanks(
  file: string,
  config: AdapterConfig,
  modules: readonly AdapterModule[],
): Promise<LowRank[]> {
  const settings = config.modulesOf(modules.map(({ name }) => name));
  return withSafetensors(file, [...floatTypes, 'F64', 'I64', 'I32', 'I8', 'U8', 'BOOL'], async (entries, read) => {
    const found = new Map(entries.map((entry) => [entry.name, entry]));
    const adapted = modules.filter(({ name }) => settings.has(name));
    const expected = adapted.flatMap(({ name, inputs, columns }) => {
      const { rank } = settings.get(name)!;
      return [
        { name: matrixName(name, 'A'), shape: [rank, inputs] },
        { name: matrixName(name, 'B'), shape: [columns, rank] },
      ];
    });
    refuseDifferences(expected, found, modules, file);
    if (adapted.length === 0) throw wrongInput(`${file} adapts no module of the base`);
    const lowRanks: LowRank[] = [];
    for (const module of adapted) {
      const values = (matrix: 'A' | 'B') => read(found.get(matrixName(module.name, matrix))!);
      lowRanks.push({ module, ...settings.get(module.name)!, a: await values('A'), b: await values('B') });
    }
    return lowRanks;
  });
}

function refuseDifferences(
  expected: readonly { name: string; shape: readonly number[] }[],
  found: ReadonlyMap<string, TensorEntry>,
  modules: readonly AdapterModule[],
  file: string,
): void {
  const wanted = new Map(expected.map(({ name, shape }) => [name, shape.join(', ')]));
  const differences = expected.flatMap(({ name, shape }) => {
    const entry = found.get(name);
    if (entry === undefined) return [`${name} (${shape.join(', ')}) is missing`];
    if (entry.shape.join(', ') !== shape.join(', '))
      return [
        `${name} has shape (${entry.shape.join(', ')}), base and adapter_config.json require (${shape.join(', ')})`,
      ];
    return isFloatType(entry.elementType)
      ? []
      : [`${name} has dtype ${entry.elementType}; weights must be ${floatTypes.join(', ')}`];
  });
  for (const name of found.keys()) if (!wanted.has(name)) differences.push(`${name} ${whyUnknown(name, modules)}`);
  if (differences.length === 0) return;
  const listed = differences.slice(0, 8);
  if (differences.length > listed.length) listed.push(`and ${differences.length - listed.length} more`);
  throw wrongInput(
    `${file} does not fit the base and its adapter_config.json:\n  ${listed.join('\n  ')}\n` +
      'Is --base the model that the adapter was made for?',
  );
}

function whyUnknown(name: string, modules: readonly AdapterModule[]): string {
  if (name.includes('.lora_magnitude_vector')) return 'belongs to DoRA, which clm does not support';
  if (/\.(lora_embedding_[AB]|(embed_tokens|wte|wpe|lm_head)\.)/.test(name))
    return 'is of an embedding or an output head; clm adapts the linear maps of the blocks only';
  if (!/\.lora_[AB]\.weight$/.test(name)) return 'is not a matrix of LoRA';
  const isKnown = modules.some(
    (module) => name === matrixName(module.name, 'A') || name === matrixName(module.name, 'B'),
  );
  return isKnown ? 'is of a module that adapter_config.json leaves out' : 'is of a module that the base does not have';
}

/** The adapter of clm that computes the same, and what had to be changed for it. */
export interface ConvertedAdapter {
  adapter: Adapter;
  tensors: NamedTensor[];
  notes: string[];
}

/**
 * One rank and one scaling for all maps: smaller matrices are filled up with zeros, which training leaves zero, other
 * scalings are multiplied into B, and maps of the same kind in other blocks get zeros.
 */
export function convertedAdapter(
  lowRanks: readonly LowRank[],
  modules: readonly AdapterModule[],
  { dropout }: AdapterConfig,
): ConvertedAdapter {
  const rank = Math.max(...lowRanks.map((one) => one.rank));
  const { scale } = lowRanks[0]!;
  const byName = new Map(lowRanks.map((one) => [one.module.name, one]));
  const targets = [...new Set(lowRanks.map(({ module }) => mapOf(module).target))];
  const covered = modules.filter((module) => targets.includes(mapOf(module).target));
  const tensors = covered.flatMap((module): NamedTensor[] => {
    const { path, columns } = mapOf(module);
    const names = adapterNames(path);
    const one = byName.get(module.name);
    const factor = (one?.scale ?? scale) / scale;
    return [
      { name: names.a, shape: [module.inputs, rank], values: transposed(one?.a, module.inputs, [module.inputs, rank]) },
      { name: names.b, shape: [rank, columns], values: transposed(one?.b, one?.rank ?? 0, [rank, columns], factor) },
    ];
  });
  const others = lowRanks.filter((one) => one.scale !== scale).length;
  const smaller = lowRanks.filter((one) => one.rank < rank).length;
  const empty = covered.length - lowRanks.length;
  return {
    adapter: { rank, alpha: scale * rank, dropout, targets },
    tensors,
    notes: [
      ...(smaller > 0 ? [`${smaller} of its modules have a rank below ${rank}: filled up with zeros`] : []),
      ...(others > 0 ? [`${others} of its modules have another scaling: multiplied into lora_B`] : []),
      ...(empty > 0 ? [`modules of the same kinds without an adapter: ${empty} (their matrices are zeros)`] : []),
    ],
  };
}

/** The transpose of a matrix, times a factor, in the upper left corner of zeros. @param columns of the matrix */
function transposed(
  values: Float32Array | undefined,
  columns: number,
  [targetRows, targetColumns]: readonly [number, number],
  factor = 1,
): Float32Array {
  const target = new Float32Array(targetRows * targetColumns);
  values?.forEach((value, i) => {
    target[(i % columns) * targetColumns + Math.floor(i / columns)] = value * factor;
  });
  return target;
}
