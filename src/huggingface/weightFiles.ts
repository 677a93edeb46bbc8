/** The safetensors of a Hugging Face folder, one file or several with an index, read one tensor at a time. */
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { readBounded } from '../storage/boundedFile.ts';
import { bytesPerValue, floatTypes, isFloatType, type ElementType } from '../tensors/elementTypes.ts';
import { withSafetensors, type LazyTensor } from '../tensors/safetensors.ts';
import { wrongInput } from '../errors.ts';
import type { ModelConfig, ParameterSpec } from '../model/parameters.ts';
import { assembled, counterpartOf, partShape, type Counterpart, type Part } from './counterparts.ts';

/** Tensors that hold no parameter: masks and frequencies that older versions saved. */
const buffers = /(\.attn\.(bias|masked_bias)|\.rotary_emb\.inv_freq)$/;

const everyType = Object.keys(bytesPerValue) as ElementType[];

/**
 * The parameters of `table`, each read from the folder when its values are asked for.
 *
 * @throws wrongInput naming what is missing, too much, of another shape or of a type that holds no weights
 */
export async function openParameters(
  directory: string,
  table: readonly ParameterSpec[],
  model: ModelConfig,
): Promise<LazyTensor[]> {
  const files = await weightFiles(directory);
  const places = new Map<string, Place>();
  for (const file of files) {
    await withSafetensors(file, everyType, async (entries) => {
      for (const { name, shape, elementType } of entries)
        places.set(canonical(name, model), { file, shape, elementType });
    });
  }
  const counterparts = table.map((parameter) => counterpartOf(parameter, model));
  assertSame(counterparts, places, directory, model);

  const read = (part: Part): Promise<Float32Array> =>
    withSafetensors(places.get(part.name)!.file, everyType, async (entries, values) =>
      values(entries.find(({ name }) => canonical(name, model) === part.name)!),
    );
  return counterparts.map((counterpart) => {
    const { name, shape } = counterpart.parameter;
    return { name, shape, values: () => assembled(counterpart, read) };
  });
}

/** Where a tensor stands. */
interface Place {
  file: string;
  shape: readonly number[];
  elementType: ElementType;
}

/** GPT-2's own file names its tensors without the prefix `transformer.`. */
const canonical = (name: string, { family }: ModelConfig): string =>
  family === 'gpt2' && /^(wte|wpe|h|ln_f)\./.test(name) ? `transformer.${name}` : name;

function assertSame(
  counterparts: readonly Counterpart[],
  places: ReadonlyMap<string, Place>,
  directory: string,
  model: ModelConfig,
): void {
  const wanted = new Set<string>();
  const differences: string[] = [];
  for (const counterpart of counterparts) {
    for (const part of counterpart.parts) {
      wanted.add(part.name);
      const shape = partShape(counterpart, part).join(', ');
      const place = places.get(part.name);
      const found = place?.shape.join(', ');
      if (place === undefined) differences.push(`${part.name} (${shape}) is missing`);
      else if (found !== shape) differences.push(`${part.name} has shape (${found}), config.json asks for (${shape})`);
      else if (!isFloatType(place.elementType)) {
        differences.push(`${part.name} has dtype ${place.elementType}; weights are read from ${floatTypes.join(', ')}`);
      }
    }
  }
  for (const name of places.keys()) {
    const isTiedHead = name === 'lm_head.weight' && model.tiedEmbeddings;
    if (!wanted.has(name) && !buffers.test(name) && !isTiedHead) differences.push(`${name} is not known to clm`);
  }
  if (differences.length === 0) return;
  const listed = differences.slice(0, 8);
  const rest = differences.length - listed.length;
  throw wrongInput(
    `The tensors of ${directory} do not fit its config.json:\n  ${listed.join('\n  ')}${rest > 0 ? `\n  and ${rest} more` : ''}`,
  );
}

/** model.safetensors, or the files that model.safetensors.index.json names. */
async function weightFiles(directory: string): Promise<string[]> {
  const single = join(directory, 'model.safetensors');
  const index = `${single}.index.json`;
  if (!existsSync(index)) {
    if (existsSync(single)) return [single];
    throw wrongInput(
      `${directory} has neither model.safetensors nor model.safetensors.index.json; other formats (pytorch_model.bin, GGUF) are not read.`,
    );
  }
  let map: unknown;
  try {
    map = (JSON.parse(readBounded(index).toString('utf8')) as { weight_map?: unknown }).weight_map;
  } catch (cause) {
    throw wrongInput(`${index} is not JSON. Get it anew from its source.`, { cause });
  }
  const names = typeof map === 'object' && map !== null ? [...new Set(Object.values(map))] : [];
  if (names.length === 0) throw wrongInput(`${index} has no weight_map. Get it anew from its source.`);
  return names.map((name) => {
    // Only files of this folder: an index may come from anywhere.
    if (typeof name !== 'string' || basename(name) !== name)
      throw wrongInput(`${index} names ${JSON.stringify(name)}, which is no file of its folder.`);
    const file = join(directory, name);
    if (!existsSync(file)) throw wrongInput(`${file} is missing, ${basename(index)} names it.`);
    return file;
  });
}
