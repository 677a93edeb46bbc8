/**
 * `clm import FILE.gguf`: turns a GGUF file into a run with a checkpoint at step 0. Everything is checked before the
 * first write. Only one tensor is in memory at a time; quantised ones become the float32 values that they stand for.
 */
import { vocabularyRows, parameterTable, type ModelConfig } from '../model/parameters.ts';
import { wrongInput } from '../errors.ts';
import type { SamplingDefaults } from '../huggingface/generationConfig.ts';
import { createImportedRun, importedConfig } from '../huggingface/importedRun.ts';
import { parameterFromTensors, tensorShape } from '../huggingface/tensorMapping.ts';
import { assertFreshStart } from '../run/runDirectory.ts';
import { shellWord } from '../shellWord.ts';
import type { LazyTensor } from '../tensors/safetensors.ts';
import { elementCount } from '../tensors/tensors.ts';
import { architectures, type Architecture } from './architectures.ts';
import { metadataReader, type MetadataReader } from './metadataReader.ts';
import { openGguf, valuesOf, type GgufModel } from './file/openGguf.ts';
import { readModel } from './readModel.ts';
import { ignoredTokenizerKeys, readTokenizer } from './readTokenizer.ts';
import { readSampling } from './samplingMetadata.ts';
import { factorsTensor, interleaved, mappingOf } from './tensorMapping.ts';

export interface ImportedGguf {
  runDirectory: string;
  checkpoint: string;
  kind: Architecture;
  /** The types of the file's matrices, those of most values first, e.g. Q4_K, Q6_K. */
  types: string[];
  parameters: number;
  vocabularySize: number;
  /** Rows of the embedding beyond the tokens of the tokenizer. They are kept, but never sampled. */
  paddingRows: number;
  contextLength: number;
  /** Defaults of sampling that the file gives; they are in `samples` of the run's config. */
  sampling: SamplingDefaults;
  /** What was passed over or ignored. */
  warnings: string[];
}

/** Older files keep the frequencies of RoPE, which follow from the metadata. */
const buffers = /^blk\.\d+\.attn_rot_embd(\.weight)?$/;

/**
 * @param path the file, or the first of a split model
 * @param runDirectory to create; must not contain a run
 * @param options.contextLength shorter than the model's own, for RoPE models; null keeps it
 * @param options.ignoredKeys metadata that clm does not know, to be treated as if they were not there
 * @throws wrongInput if the file is damaged, or clm would not compute the model as llama.cpp does
 */
export async function importGguf(
  path: string,
  runDirectory: string,
  { contextLength, ignoredKeys = [] }: { contextLength: number | null; ignoredKeys?: readonly string[] },
): Promise<ImportedGguf> {
  await assertFreshStart(runDirectory, { mayResume: false });
  const file = await openGguf(path);
  const reader = metadataReader(file.metadata, ignoredKeys);
  const kind = architectureIn(reader, path);
  const embedding = file.tensors.get('token_embd.weight');
  if (embedding === undefined) throw wrongInput(`${path} has no tensor token_embd.weight; is it a whole model?`);
  const factors = file.tensors.get(factorsTensor);
  const ropeFactors = factors === undefined ? null : await valuesOf(factors);
  const facts = { has: (name: string) => file.tensors.has(name), rows: embedding.shape[0]!, ropeFactors };
  const model = readModel(reader, kind, facts, contextLength);
  const sampling = readSampling(reader);
  const tokenizer = readTokenizer(reader, path);
  for (const key of ignoredTokenizerKeys) reader.has(key);
  for (const key of file.metadata.keys()) {
    if (!/^tokenizer\.(chat_template.|huggingface\.|ggml\.suppress_tokens$)/.test(key)) continue;
    reader.has(key);
    reader.warnings.push(`${key} is not taken over`);
  }
  refuseProblems(reader, `${kind}.`, path);

  const { vocabularySize } = tokenizer;
  const rows = vocabularyRows(model, vocabularySize);
  // Before a table is made of so many layers.
  if (model.layers > file.tensors.size)
    throw wrongInput(`${path}: its metadata have ${model.layers} layers, the file only ${file.tensors.size} tensors`);
  if (vocabularySize > rows)
    throw wrongInput(`${path} has ${vocabularySize} tokens, but its embedding has only ${rows} rows`);
  const config = importedConfig({ model, samples: sampling }, tokenizer, { runDirectory, file: path });
  const table = parameterTable(config.model, vocabularySize);
  const parameters = parametersOf(file, config.model, kind, path);
  const checkpoint = await createImportedRun(runDirectory, {
    config,
    tokenizer,
    record: { imported: { kind } },
    model: parameters,
  });
  return {
    runDirectory,
    checkpoint,
    kind,
    types: typesOf(file),
    parameters: table.reduce((sum, { shape }) => sum + elementCount(shape), 0),
    vocabularySize,
    paddingRows: rows - vocabularySize,
    contextLength: config.model.contextLength,
    sampling,
    warnings: reader.warnings,
  };
}

function architectureIn(reader: MetadataReader, path: string): Architecture {
  const type = reader.text('general.type') ?? 'model';
  const name = reader.text('general.architecture');
  const found = architectures.find((known) => known === name);
  if (type === 'model' && found !== undefined) return found;
  const what = type === 'model' ? `its general.architecture is ${JSON.stringify(name)}` : `it is of type ${type}`;
  throw wrongInput(
    `${path} cannot be imported: ${what}; clm imports models of ${architectures.join(', ')} ` +
      '(SmolLM, SmolLM2 and Mistral are llama)',
  );
}

function refuseProblems(reader: MetadataReader, prefix: string, path: string): void {
  reader.finish([prefix, 'tokenizer.', 'general.sampling.']);
  if (reader.problems.length === 0) return;
  const keys = reader.unknownKeys.map((key) => ` --ignore-key ${shellWord(key)}`).join('');
  const wayOn = keys && `\nIf they change nothing for this model, import without them:${keys}`;
  throw wrongInput(`${path} cannot be imported:\n  ${reader.problems.join('\n  ')}${wayOn}`);
}

/** The parameters of the model; each is read from the file when its values are requested. */
function parametersOf({ tensors }: GgufModel, model: ModelConfig, kind: Architecture, path: string): LazyTensor[] {
  const mappings = parameterTable(model, 0).map((parameter) => mappingOf(parameter, model, kind));
  const expected = new Map(
    mappings.flatMap((mapping) =>
      mapping.tensors.map((tensor) => [tensor.name, tensorShape(mapping, tensor).join(', ')] as const),
    ),
  );
  const differences: string[] = [];
  for (const [name, shape] of expected) {
    const stored = tensors.get(name)?.shape.join(', ');
    if (stored === undefined) differences.push(`${name} (${shape}) is missing`);
    else if (stored !== shape) differences.push(`${name} has shape (${stored}), its metadata require (${shape})`);
  }
  for (const name of tensors.keys())
    if (!expected.has(name) && name !== factorsTensor && !buffers.test(name))
      differences.push(`${name} is not known to clm`);
  if (differences.length > 0) {
    const listed = differences.slice(0, 8);
    if (differences.length > 8) listed.push(`and ${differences.length - 8} more`);
    throw wrongInput(`The tensors of ${path} are not those of a ${kind}:\n  ${listed.join('\n  ')}`);
  }
  return mappings.map((mapping) => ({
    ...mapping.parameter,
    values: () =>
      parameterFromTensors(mapping, async ({ name }) => {
        const values = await valuesOf(tensors.get(name)!);
        const { interleavedHeads: heads, columns } = mapping.tensors.find((tensor) => tensor.name === name)!;
        return heads === null ? values : interleaved(values, columns, heads, true);
      }),
  }));
}

function typesOf({ tensors }: GgufModel): string[] {
  const counts = new Map<string, number>();
  for (const { type, shape } of tensors.values())
    if (shape.length > 1) counts.set(type, (counts.get(type) ?? 0) + elementCount(shape));
  return [...counts].sort(([, a], [, b]) => b - a).map(([type]) => type);
}
