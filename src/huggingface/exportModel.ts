/** `clm export`: writes a run as a folder that AutoModelForCausalLM and AutoTokenizer of transformers load. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { removeAbandonedWrites } from '../storage/abandonedWrites.ts';
import { writeFolderDurably } from '../storage/durable.ts';
import { linkTarget } from '../storage/outputFile.ts';
import type { FloatType } from '../tensors/elementTypes.ts';
import { writeSafetensors } from '../tensors/safetensors.ts';
import { wrongInput } from '../errors.ts';
import { parameterTable, vocabularyRows, type ModelConfig } from '../model/parameters.ts';
import { exportAdapter } from './adapters/exportAdapter.ts';
import { openExportSource, withParameters, type AdapterExport } from './exportSource.ts';
import { mappingOf, tensorFromParameter, tensorShape } from './tensorMapping.ts';
import { activationNames } from './configKeys.ts';
import { architectures, type ModelType } from './modelTypes.ts';
import { unsharedPart } from './unsharedParts.ts';
import { generationSettings } from './generationConfig.ts';
import { endIds, startOfText, tokenizerFiles } from './tokenizerJson.ts';

/** Float types by their names in torch and on the command line. */
const exportTypes = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' } as const;
export type ExportType = keyof typeof exportTypes;

interface Exported {
  directory: string;
  /** lora: an adapter alone. */
  kind: ModelType | 'lora';
  step: number;
  dtype: ExportType;
  files: string[];
  /** Of an adapter alone, the name of its base in adapter_config.json; null if it is not known. */
  baseName?: string | null;
}

/**
 * @param run a run directory or a checkpoint folder
 * @param directory to create; must not exist or be empty
 * @param options.checkpoint `last`, `best` (lowest validation loss) or a step
 * @throws wrongInput if there is no such checkpoint, no Hugging Face architecture fits the model, or `options.as` does
 *   not fit the run
 */
export async function exportModel(
  run: string,
  directory: string,
  options: { checkpoint: string; dtype: ExportType; as?: AdapterExport },
): Promise<Exported> {
  if (existsSync(directory) && !statSync(directory).isDirectory())
    throw wrongInput(`${directory} is a file; name a new folder`);
  if (existsSync(directory) && readdirSync(directory).length > 0)
    throw wrongInput(`${directory} is not empty; name a new folder`);
  const source = await openExportSource(run, options);
  const { checkpoint, config, tokenizer, adapter } = source;
  const type: FloatType = exportTypes[options.dtype];
  const { kind, model } = architectureOf(config.model);
  const made = { directory, step: checkpoint.step, dtype: options.dtype };
  if (adapter !== null && options.as === 'adapter') {
    const written = await exportAdapter(linkTarget(directory), source, adapter, type);
    return { ...made, kind: 'lora', ...written };
  }
  const json = (value: object): string => `${JSON.stringify(value, null, 2)}\n`;
  const specialIds = { bos_token_id: startOfText(tokenizer), eos_token_id: endIds(tokenizer) };
  const texts: Record<string, string> = {
    'config.json': json(
      configJson(kind, model, vocabularyRows(model, tokenizer.vocabularySize), specialIds, options.dtype),
    ),
    'generation_config.json': json({ ...specialIds, ...generationSettings(config.samples) }),
    ...tokenizerFiles(tokenizer, model.contextLength),
  };
  // A parameter is read when its tensors are written, so only one is in memory at a time.
  await withParameters(source, async (valuesOf) => {
    const tensors = parameterTable(model, tokenizer.vocabularySize)
      .map((parameter) => mappingOf(parameter, model))
      .flatMap((mapping) =>
        mapping.tensors.map((tensor) => ({
          name: tensor.name,
          shape: tensorShape(mapping, tensor),
          values: async () => tensorFromParameter(mapping, tensor, await valuesOf(mapping.parameter)),
        })),
      );
    const target = linkTarget(directory);
    await removeAbandonedWrites(target);
    await writeFolderDurably(target, async (folder) => {
      for (const [name, text] of Object.entries(texts)) await writeFile(join(folder, name), text);
      await writeSafetensors(join(folder, 'model.safetensors'), tensors, { format: 'pt' }, type);
    });
  });
  return { ...made, kind, files: [...Object.keys(texts), 'model.safetensors'] };
}

/**
 * The Hugging Face architecture that fits the model, and the model with the biases that the architecture always has;
 * those that the run lacks are written as zeros.
 *
 * @throws wrongInput naming the key that no architecture supports
 */
function architectureOf(model: ModelConfig): { kind: ModelType; model: ModelConfig } {
  const refuse = (key: string, value: unknown, family: string): never => {
    throw wrongInput(
      `this run cannot be exported: model.${key} is ${String(value)}, which ${family} in transformers does not support`,
    );
  };
  const fillsWidth = model.headSize * model.heads === model.width;
  const own = unsharedPart(model);
  if (own !== null) {
    throw wrongInput(
      `this run cannot be exported: model.${own.key} is ${String(own.value)}, which no class of transformers has ` +
        `with the other parts of this model${own.but}`,
    );
  }
  if (model.family === 'gpt2') {
    if (model.activation === 'swiglu') refuse('activation', model.activation, 'GPT-2');
    if (model.queryKeyNorm) refuse('queryKeyNorm', true, 'GPT-2');
    if (model.keyValueHeads !== model.heads) refuse('keyValueHeads', model.keyValueHeads, 'GPT-2');
    if (!fillsWidth) refuse('headSize', model.headSize, 'GPT-2');
    return { kind: 'gpt2', model: { ...model, biases: true, queryKeyValueBiases: true, feedForwardBiases: true } };
  }
  const { biases, queryKeyValueBiases, feedForwardBiases } = model;
  const hasBiases = biases || queryKeyValueBiases;
  const withAttentionBiases = { ...model, biases: hasBiases, queryKeyValueBiases: hasBiases };
  if (model.activation !== 'swiglu') {
    if (model.queryKeyNorm) refuse('queryKeyNorm', true, 'Arcee, which has the activation,');
    if (model.nopeEveryLayers !== null)
      refuse('nopeEveryLayers', model.nopeEveryLayers, 'Arcee, which has the activation,');
    if (model.width % model.heads !== 0) refuse('heads', `${model.heads}, not a divisor of width`, 'Arcee');
    return { kind: 'arcee', model: withAttentionBiases };
  }
  if (model.queryKeyNorm) {
    if (feedForwardBiases) refuse('feedForwardBiases', true, 'Qwen3');
    if (model.nopeEveryLayers !== null) refuse('nopeEveryLayers', model.nopeEveryLayers, 'Qwen3');
    return { kind: 'qwen3', model: withAttentionBiases };
  }
  if (model.nopeEveryLayers !== null) {
    if (!fillsWidth) refuse('headSize', model.headSize, 'SmolLM3');
    return { kind: 'smollm3', model: withAttentionBiases };
  }
  if (queryKeyValueBiases && !biases && !feedForwardBiases && fillsWidth) return { kind: 'qwen2', model };
  // transformers 5 checks this even if head_dim is given.
  if (model.width % model.heads !== 0) refuse('heads', `${model.heads}, not a divisor of width`, 'Llama');
  return { kind: 'llama', model: withAttentionBiases };
}

/** Keys for transformers 4 and 5; those of RoPE are written twice, because the versions expect them in other places. */
function configJson(
  kind: ModelType,
  model: ModelConfig,
  vocabularySize: number,
  specialIds: { bos_token_id: number | null; eos_token_id: number | number[] | null },
  dtype: ExportType,
): object {
  const shared = {
    architectures: [architectures[kind]],
    model_type: kind,
    torch_dtype: dtype,
    dtype,
    vocab_size: vocabularySize,
    tie_word_embeddings: model.tiedEmbeddings,
    ...specialIds,
    pad_token_id: null, // the default of SmolLM3 is outside of a small vocabulary
    use_cache: true,
  };
  if (kind === 'gpt2') {
    return {
      ...shared,
      n_positions: model.contextLength,
      n_embd: model.width,
      n_layer: model.layers,
      n_head: model.heads,
      n_inner: model.feedForwardWidth,
      activation_function: activationNames[model.activation][0],
      layer_norm_epsilon: model.normEpsilon,
    };
  }
  const scaling = ropeScalingJson(model);
  return {
    ...shared,
    hidden_size: model.width,
    intermediate_size: model.feedForwardWidth,
    num_hidden_layers: model.layers,
    num_attention_heads: model.heads,
    num_key_value_heads: model.keyValueHeads,
    ...(['llama', 'arcee', 'qwen3'].includes(kind) && { head_dim: model.headSize }),
    hidden_act: activationNames[model.activation][0],
    max_position_embeddings: model.contextLength,
    rms_norm_eps: model.normEpsilon,
    rope_theta: model.ropeTheta,
    rope_scaling: scaling,
    rope_parameters: { rope_type: 'default', ...scaling, rope_theta: model.ropeTheta },
    ...(kind !== 'qwen2' && { attention_bias: model.biases }),
    ...(['llama', 'arcee', 'smollm3'].includes(kind) && { mlp_bias: model.feedForwardBiases }),
    ...(kind === 'smollm3' && noRopeLayersJson(model)),
    ...(!['llama', 'arcee'].includes(kind) && { use_sliding_window: false, sliding_window: null }),
  };
}

const noRopeLayersJson = ({ layers, nopeEveryLayers: every }: ModelConfig): object => ({
  no_rope_layer_interval: every,
  no_rope_layers: Array.from({ length: layers }, (_, layer) => Number((layer + 1) % every! !== 0)),
});

function ropeScalingJson({ ropeScaling }: ModelConfig): object | null {
  if (ropeScaling === null) return null;
  if (ropeScaling.kind === 'linear') return { rope_type: 'linear', factor: ropeScaling.factor };
  return {
    rope_type: 'llama3',
    factor: ropeScaling.factor,
    low_freq_factor: ropeScaling.lowFrequencyFactor,
    high_freq_factor: ropeScaling.highFrequencyFactor,
    original_max_position_embeddings: ropeScaling.originalContextLength,
  };
}
