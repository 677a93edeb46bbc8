/**
 * Reads the parameters of a Hugging Face folder tensor by tensor. Names with or without the prefix of the model's body,
 * and an output head that is tied to the embedding, are taken as transformers 5 does.
 */
import { bytesPerValue, floatTypes, isFloatType, type ElementType } from '../tensors/elementTypes.ts';
import { withSafetensors, type LazyTensor } from '../tensors/safetensors.ts';
import { wrongInput } from '../errors.ts';
import { parameterTable, type ModelConfig, type ParameterSpec } from '../model/parameters.ts';
import { mappingOf, parameterFromTensors, tensorShape, type TensorMapping } from './tensorMapping.ts';
import { findWeightFiles } from './weightFiles.ts';

/** Tensors that are not parameters: masks and frequencies that older versions of transformers saved. */
const buffers = /(^|\.)(attn\.(bias|masked_bias)|rotary_emb\.inv_freq)$/;

const everyType = Object.keys(bytesPerValue) as ElementType[];

/** A tensor as found in a file. */
interface StoredTensor {
  /** As in the file. */
  name: string;
  file: string;
  shape: readonly number[];
  elementType: ElementType;
}

export interface ModelTensors {
  directory: string;
  /** By the names that transformers gives them. */
  found: ReadonlyMap<string, StoredTensor>;
  /** False if the config ties the output head to the embedding, but the folder has another head. */
  tiedEmbeddings: boolean;
  warnings: string[];
}

/**
 * @param tokens of the tokenizer
 * @throws wrongInput if the files of the weights are missing, or two tensors of one name have different values
 */
export async function openModelTensors(directory: string, model: ModelConfig, tokens: number): Promise<ModelTensors> {
  const { files, warnings } = findWeightFiles(directory);
  const stored = await storedTensors(files);
  // Before a table is made of so many layers.
  if (model.layers > stored.length)
    throw wrongInput(`${directory}: config.json has ${model.layers} layers, the files only ${stored.length} tensors`);
  const names = namesOf({ ...model, tiedEmbeddings: false }, tokens);
  const found = new Map<string, StoredTensor>();
  for (const tensor of stored) {
    const { name, file } = tensor;
    const canonical = canonicalName(name, names);
    const other = found.get(canonical);
    if (other !== undefined && !(await areEqual(tensor, other))) {
      throw wrongInput(
        `${directory} has two different tensors for ${canonical}: ${other.name} in ${other.file} and ` +
          `${name} in ${file}. Remove the one that does not belong to the model.`,
      );
    }
    found.set(canonical, tensor);
  }
  const { embedding, head } = names;
  if (!model.tiedEmbeddings) return { directory, found, tiedEmbeddings: false, warnings };
  const [storedEmbedding, storedHead] = [found.get(embedding), found.get(head)];
  // The tensor that exists is both.
  if (storedEmbedding === undefined && storedHead !== undefined) found.set(embedding, storedHead);
  const hasBoth = storedEmbedding !== undefined && storedHead !== undefined;
  const differs = hasBoth && !(await areEqual(storedEmbedding, storedHead));
  if (differs) {
    warnings.push(
      `config.json ties the output head to the embedding, but ${storedHead.name} has other values than ` +
        `${storedEmbedding.name}: took both, untied, as transformers 5 does (tie_word_embeddings: false would say so)`,
    );
  }
  return { directory, found, tiedEmbeddings: !differs, warnings };
}

async function storedTensors(files: readonly string[]): Promise<StoredTensor[]> {
  const tensors: StoredTensor[] = [];
  for (const file of files) {
    const entries = await withSafetensors(file, everyType, async (all) => all);
    for (const { name, shape, elementType } of entries) tensors.push({ name, file, shape, elementType });
  }
  return tensors;
}

/**
 * The parameters of `table`; each is read from the folder when its values are requested.
 *
 * @throws wrongInput naming tensors that are missing, unknown, or have the wrong shape or type
 */
export function modelParameters(
  { directory, found }: ModelTensors,
  table: readonly ParameterSpec[],
  model: ModelConfig,
): LazyTensor[] {
  const mappings = table.map((parameter) => mappingOf(parameter, model));
  assertSame(mappings, found, directory, model);
  return mappings.map((mapping) => {
    const { name, shape } = mapping.parameter;
    return { name, shape, values: () => parameterFromTensors(mapping, ({ name }) => valuesOf(found.get(name)!)) };
  });
}

const valuesOf = ({ file, name }: StoredTensor): Promise<Float32Array> =>
  withSafetensors(file, everyType, async (entries, read) => read(entries.find((entry) => entry.name === name)!));

async function areEqual(a: StoredTensor, b: StoredTensor): Promise<boolean> {
  if (a.shape.join() !== b.shape.join() || !isFloatType(a.elementType) || !isFloatType(b.elementType)) return false;
  const [left, right] = [await valuesOf(a), await valuesOf(b)];
  return left.every((value, i) => value === right[i]);
}

interface ExpectedNames {
  all: ReadonlySet<string>;
  /** What the names of the model's body begin with, e.g. `model.`. */
  prefix: string;
  embedding: string;
  head: string;
}

function namesOf(model: ModelConfig, tokens: number): ExpectedNames {
  const named = parameterTable(model, tokens).flatMap((parameter) =>
    mappingOf(parameter, model).tensors.map(({ name }) => ({ parameter: parameter.name, name })),
  );
  const of = (parameter: string): string => named.find((one) => one.parameter === parameter)!.name;
  return {
    all: new Set(named.map(({ name }) => name)),
    prefix: model.family === 'gpt2' ? 'transformer.' : 'model.',
    embedding: of('embedding.tokens'),
    head: of('head.weight'),
  };
}

/** A body saved without its head has names without the prefix; transformers adds it, or removes one too many. */
function canonicalName(name: string, { all, prefix }: ExpectedNames): string {
  const shorter = name.startsWith(prefix) ? name.slice(prefix.length) : '';
  if (all.has(shorter)) return shorter;
  return all.has(prefix + name) ? prefix + name : name;
}

function assertSame(
  mappings: readonly TensorMapping[],
  found: ReadonlyMap<string, StoredTensor>,
  directory: string,
  model: ModelConfig,
): void {
  const tensors = mappings.flatMap((mapping) =>
    mapping.tensors.map((tensor) => ({ name: tensor.name, shape: tensorShape(mapping, tensor).join(', ') })),
  );
  const expected = new Set(tensors.map(({ name }) => name));
  const unknown = [...found.keys()].filter((name) => {
    const isTiedHead = name === 'lm_head.weight' && model.tiedEmbeddings;
    return !expected.has(name) && !buffers.test(name) && !isTiedHead;
  });
  const prefixed = withExtraPrefix(unknown, expected);
  const differences: string[] = [];
  if (prefixed !== null) {
    const { prefix, names } = prefixed;
    differences.push(
      `the names of ${names.size} tensors begin with ${JSON.stringify(prefix)}, which is not part of the model ` +
        `(e.g. ${prefix}${[...names][0]}); rename them without it, or save the model itself, not what wraps it`,
    );
  }
  for (const { name, shape } of tensors) {
    const stored = found.get(name);
    const storedShape = stored?.shape.join(', ');
    if (stored === undefined) {
      if (!prefixed?.names.has(name)) differences.push(`${name} (${shape}) is missing`);
    } else if (storedShape !== shape)
      differences.push(`${name} has shape (${storedShape}), config.json requires (${shape})`);
    else if (!isFloatType(stored.elementType))
      differences.push(`${name} has dtype ${stored.elementType}; weights must be ${floatTypes.join(', ')}`);
  }
  for (const name of unknown) {
    if (prefixed === null || !name.startsWith(prefixed.prefix)) differences.push(`${name} is not known to clm`);
  }
  if (differences.length === 0) return;
  const listed = differences.slice(0, 8);
  const rest = differences.length - listed.length;
  if (rest > 0) listed.push(`and ${rest} more`);
  throw wrongInput(`The tensors of ${directory} do not match its config.json:\n  ${listed.join('\n  ')}`);
}

/** The text before expected names, e.g. `_orig_mod.` of torch.compile, if at least two unknown names begin with it. */
function withExtraPrefix(
  unknown: readonly string[],
  expected: ReadonlySet<string>,
): { prefix: string; names: ReadonlySet<string> } | null {
  const parts = unknown[0]?.split('.') ?? [];
  for (let count = 1; count < parts.length; count++) {
    const prefix = `${parts.slice(0, count).join('.')}.`;
    const names = unknown
      .filter((name) => name.startsWith(prefix))
      .map((name) => name.slice(prefix.length))
      .map((name) => [name, `model.${name}`, `transformer.${name}`].find((whole) => expected.has(whole)) ?? name);
    const areKnown = names.every((name) => expected.has(name) || name === 'lm_head.weight');
    if (names.length > 1 && areKnown) return { prefix, names: new Set(names) };
  }
  return null;
}
