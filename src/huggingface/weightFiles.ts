/** Reads the weights of a Hugging Face folder, from one safetensors file or several with an index, tensor by tensor. */
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { readBounded } from '../storage/boundedFile.ts';
import { bytesPerValue, floatTypes, isFloatType, type ElementType } from '../tensors/elementTypes.ts';
import { withSafetensors, type LazyTensor } from '../tensors/safetensors.ts';
import { wrongInput } from '../errors.ts';
import type { ModelConfig, ParameterSpec } from '../model/parameters.ts';
import {
  mappingOf,
  parameterFromTensors,
  tensorShape,
  type MappedTensor,
  type TensorMapping,
} from './tensorMapping.ts';

/** Tensors that are not parameters: masks and frequencies that older versions of transformers saved. */
const buffers = /(\.attn\.(bias|masked_bias)|\.rotary_emb\.inv_freq)$/;

const everyType = Object.keys(bytesPerValue) as ElementType[];

/**
 * The parameters of `table`; each is read from the folder when its values are requested.
 *
 * @throws wrongInput naming tensors that are missing, unknown, or have the wrong shape or type
 */
export async function openParameters(
  directory: string,
  table: readonly ParameterSpec[],
  model: ModelConfig,
): Promise<LazyTensor[]> {
  const files = await weightFiles(directory);
  const found = new Map<string, StoredTensor>();
  for (const file of files) {
    await withSafetensors(file, everyType, async (entries) => {
      for (const { name, shape, elementType } of entries)
        found.set(canonical(name, model), { file, shape, elementType });
    });
  }
  const mappings = table.map((parameter) => mappingOf(parameter, model));
  assertSame(mappings, found, directory, model);

  const read = ({ name }: MappedTensor): Promise<Float32Array> =>
    withSafetensors(found.get(name)!.file, everyType, async (entries, values) =>
      values(entries.find((entry) => canonical(entry.name, model) === name)!),
    );
  return mappings.map((mapping) => {
    const { name, shape } = mapping.parameter;
    return { name, shape, values: () => parameterFromTensors(mapping, read) };
  });
}

/** A tensor as found in a file. */
interface StoredTensor {
  file: string;
  shape: readonly number[];
  elementType: ElementType;
}

/** OpenAI's GPT-2 checkpoints name tensors without the prefix `transformer.`. */
const canonical = (name: string, { family }: ModelConfig): string =>
  family === 'gpt2' && /^(wte|wpe|h|ln_f)\./.test(name) ? `transformer.${name}` : name;

function assertSame(
  mappings: readonly TensorMapping[],
  found: ReadonlyMap<string, StoredTensor>,
  directory: string,
  model: ModelConfig,
): void {
  const expected = new Set<string>();
  const differences: string[] = [];
  for (const mapping of mappings) {
    for (const tensor of mapping.tensors) {
      const { name } = tensor;
      expected.add(name);
      const shape = tensorShape(mapping, tensor).join(', ');
      const stored = found.get(name);
      const storedShape = stored?.shape.join(', ');
      if (stored === undefined) differences.push(`${name} (${shape}) is missing`);
      else if (storedShape !== shape)
        differences.push(`${name} has shape (${storedShape}), config.json requires (${shape})`);
      else if (!isFloatType(stored.elementType))
        differences.push(`${name} has dtype ${stored.elementType}; weights must be ${floatTypes.join(', ')}`);
    }
  }
  for (const name of found.keys()) {
    const isTiedHead = name === 'lm_head.weight' && model.tiedEmbeddings;
    if (!expected.has(name) && !buffers.test(name) && !isTiedHead) differences.push(`${name} is not known to clm`);
  }
  if (differences.length === 0) return;
  const listed = differences.slice(0, 8);
  const rest = differences.length - listed.length;
  if (rest > 0) listed.push(`and ${rest} more`);
  throw wrongInput(`The tensors of ${directory} do not match its config.json:\n  ${listed.join('\n  ')}`);
}

/** model.safetensors, or the files that model.safetensors.index.json names. */
async function weightFiles(directory: string): Promise<string[]> {
  const single = join(directory, 'model.safetensors');
  const index = `${single}.index.json`;
  if (!existsSync(index)) {
    if (existsSync(single)) return [single];
    throw wrongInput(
      `${directory} has neither model.safetensors nor model.safetensors.index.json; ` +
        'other formats (pytorch_model.bin, GGUF) are not supported',
    );
  }
  let map: unknown;
  try {
    map = (JSON.parse(readBounded(index).toString('utf8')) as { weight_map?: unknown }).weight_map;
  } catch (cause) {
    throw wrongInput(`${index} is not JSON. Download it again.`, { cause });
  }
  const names = typeof map === 'object' && map !== null ? [...new Set(Object.values(map))] : [];
  if (names.length === 0) throw wrongInput(`${index} has no weight_map. Download it again.`);
  return names.map((name) => {
    // Never read files outside of the folder: the index comes from somebody else.
    if (typeof name !== 'string' || basename(name) !== name)
      throw wrongInput(`${index} names ${JSON.stringify(name)}, which is not a file of its folder`);
    const file = join(directory, name);
    if (!existsSync(file)) throw wrongInput(`${file} is missing, but ${basename(index)} names it`);
    return file;
  });
}
