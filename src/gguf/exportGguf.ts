/** `clm export RUN FILE.gguf`: writes a run as one GGUF file, which llama.cpp, Ollama and LM Studio run. */
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { wrongInput } from '../errors.ts';
import {
  openExportSource,
  withParameters,
  type AdapterExport,
  type ExportSource,
} from '../huggingface/exportSource.ts';
import { tensorFromParameter, tensorShape } from '../huggingface/tensorMapping.ts';
import { parameterTable, vocabularyRows, type ModelConfig, type ParameterSpec } from '../model/parameters.ts';
import { ropeFrequencies } from '../model/ropeFrequencies.ts';
import { removeAbandonedWrites } from '../storage/abandonedWrites.ts';
import { assertFreeSpace, replaceFileDurably } from '../storage/durable.ts';
import { linkTarget } from '../storage/outputFile.ts';
import type { FloatType } from '../tensors/elementTypes.ts';
import { elementCount } from '../tensors/tensors.ts';
import { architectureOf, modelMetadata, type Architecture } from './architectures.ts';
import { ggmlTypes } from './file/ggmlTypes.ts';
import { text, uint32, type MetadataValue } from './file/metadata.ts';
import { samplingMetadata } from './samplingMetadata.ts';
import { factorsTensor, interleaved, mappingOf } from './tensorMapping.ts';
import { tokenizerMetadata } from './tokenizerMetadata.ts';
import { ggufBytes, writeGguf, type WrittenTensor } from './file/writeGguf.ts';

/** Types of the matrices by their names on the command line, and their numbers in `general.file_type`. */
const exportTypes = {
  float32: { type: 'F32', fileType: 0 },
  float16: { type: 'F16', fileType: 1 },
  bfloat16: { type: 'BF16', fileType: 32 },
  q8_0: { type: 'Q8_0', fileType: 7 },
} as const;
export type GgufExportType = keyof typeof exportTypes;

export interface ExportedGguf {
  file: string;
  kind: Architecture;
  step: number;
  dtype: GgufExportType;
  bytes: number;
  /** Where llama.cpp does something else than clm, or a tensor could not have the wanted type. */
  warnings: string[];
}

/** What is exported: the values of a parameter are read when its tensors are written, one at a time. */
interface Source extends Pick<ExportSource, 'config' | 'tokenizer'> {
  valuesOf(parameter: ParameterSpec): Promise<Float32Array>;
}

/**
 * @param run a run directory or a checkpoint folder
 * @param file to create; must not exist
 * @param options.checkpoint `last`, `best` (lowest validation loss) or a step
 * @throws wrongInput if there is no such checkpoint, llama.cpp has no such model or tokenizer, or `options.as` does not
 *   fit the run
 */
export async function exportGguf(
  run: string,
  file: string,
  { dtype, ...options }: { checkpoint: string; dtype: GgufExportType; as?: AdapterExport },
): Promise<ExportedGguf> {
  if (existsSync(file)) throw wrongInput(`${file} exists already; name a new file`);
  const source = await openExportSource(run, options);
  if (options.as === 'adapter')
    throw wrongInput(`--adapter writes a folder for PEFT; for ${file}, with the adapter in the weights, use --merge`);
  const { checkpoint, config, tokenizer } = source;
  return withParameters(source, async (valuesOf) => {
    const { architecture, metadata, tensors, warnings } = contentOf({ config, tokenizer, valuesOf }, dtype);
    const bytes = ggufBytes(metadata, tensors);
    const target = linkTarget(file);
    await removeAbandonedWrites(target);
    await assertFreeSpace(dirname(target), bytes, 'choose a smaller --dtype');
    await replaceFileDurably(target, (path) => writeGguf(path, metadata, tensors));
    return { file, kind: architecture, step: checkpoint.step, dtype, bytes, warnings };
  });
}

function contentOf(
  { config, tokenizer, valuesOf }: Source,
  dtype: GgufExportType,
): { architecture: Architecture; metadata: [string, MetadataValue][]; tensors: WrittenTensor[]; warnings: string[] } {
  const { vocabularySize, endOfText, otherEnds } = tokenizer;
  const tokenRows = vocabularyRows(config.model, vocabularySize);
  const lacksEnd = endOfText === null && otherEnds.length === 0 && tokenRows === vocabularySize;
  const rows = lacksEnd ? tokenRows + 1 : tokenRows;
  const { architecture, model } = architectureOf({ ...config.model, vocabularySize: rows });
  const { entries, warnings } = tokenizerMetadata(tokenizer, rows);
  if (lacksEnd) {
    warnings.push(
      'llama.cpp needs a token that ends texts, and the tokenizer has none: the file has one more, with the id ' +
        `${vocabularySize} and the mean of the embedding's rows; it is never the likeliest and hardly ever sampled`,
    );
  }
  const { type, fileType } = exportTypes[dtype];
  const tensors = tensorsOf(architecture, model, valuesOf).map((tensor) => ({
    ...tensor,
    type: typeOf(tensor, type),
  }));
  const others = tensors.filter((tensor) => type === 'Q8_0' && tensor.type === 'F16');
  if (others.length > 0) {
    const { name, shape } = others[0]!;
    warnings.push(
      `${others.length} matrices are float16, not q8_0, since their rows are not whole blocks of 32 values ` +
        `(e.g. ${name}, rows of ${shape.at(-1)})`,
    );
  }
  const metadata: [string, MetadataValue][] = [
    ['general.architecture', text(architecture)],
    ['general.type', text('model')],
    ['general.name', text(config.name)],
    ['general.file_type', uint32(fileType)],
    ['general.quantization_version', uint32(2)],
    ...samplingMetadata(config.samples),
    ...modelMetadata(architecture, model, rows),
    ...entries,
  ];
  return { architecture, metadata, tensors: tensors.map(checked), warnings };
}

/** Vectors, and learned positions, are float32, as in llama.cpp's own files: its additions take nothing else. */
function typeOf({ name, shape }: Omit<WrittenTensor, 'type'>, wanted: FloatType | 'Q8_0'): FloatType | 'Q8_0' {
  if (shape.length === 1 || name === 'position_embd.weight') return 'F32';
  return wanted === 'Q8_0' && shape.at(-1)! % ggmlTypes.Q8_0.blockValues !== 0 ? 'F16' : wanted;
}

function tensorsOf(
  architecture: Architecture,
  model: ModelConfig,
  valuesOf: Source['valuesOf'],
): Omit<WrittenTensor, 'type'>[] {
  const tensors = parameterTable(model, model.vocabularySize!).flatMap((parameter) => {
    const mapping = mappingOf(parameter, model, architecture);
    return mapping.tensors.map((tensor) => ({
      name: tensor.name,
      shape: tensorShape(mapping, tensor),
      values: async () => {
        const values = tensorFromParameter(mapping, tensor, withMeanRow(await valuesOf(parameter), parameter));
        const { interleavedHeads: heads, columns } = tensor;
        return heads === null ? values : interleaved(values, columns, heads);
      },
    }));
  });
  if (model.ropeScaling?.kind !== 'llama3') return tensors;
  const scaled = ropeFrequencies(model);
  const factors = ropeFrequencies({ ...model, ropeScaling: null }).map((frequency, i) => frequency / scaled[i]!);
  return [...tensors, { name: factorsTensor, shape: [factors.length], values: () => Float32Array.from(factors) }];
}

/** With one more row, the mean of all, if the shape has one more: its logit is the mean of the logits. */
function withMeanRow(values: Float32Array, { shape }: ParameterSpec): Float32Array {
  const [rows, columns] = [shape[0]!, shape.at(-1)!];
  if (values.length === elementCount(shape)) return values;
  const all = new Float32Array(rows * columns);
  all.set(values);
  for (let column = 0; column < columns; column++) {
    let sum = 0;
    for (let row = 0; row < rows - 1; row++) sum += values[row * columns + column]!;
    all[(rows - 1) * columns + column] = sum / (rows - 1);
  }
  return all;
}

/** Refuses values that the type cannot hold. */
function checked(tensor: WrittenTensor): WrittenTensor {
  const { type } = tensor;
  if (type === 'F32') return tensor;
  const largest = { BF16: 3.3961775e38, F16: 65_519, Q8_0: 127 * 65_519 }[type];
  return {
    ...tensor,
    values: async () => {
      const values = await tensor.values();
      const index = values.findIndex((value) => !(Math.abs(value) <= largest));
      if (index < 0) return values;
      throw wrongInput(
        `${tensor.name} has the value ${values[index]}, which ${type} cannot hold. Export with --dtype float32.`,
      );
    },
  };
}
