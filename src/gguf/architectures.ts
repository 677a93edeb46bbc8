/** Which of llama.cpp's architectures holds a model of clm, and the metadata that describe the model there. */
import type { ModelConfig } from '../model/parameters.ts';
import { wrongInput } from '../errors.ts';
import { unsharedPart } from '../huggingface/unsharedParts.ts';
import { float32, text, uint32, type MetadataValue } from './file/metadata.ts';

/** `general.architecture` of the models that clm exports and imports. Mistral and SmolLM are llama in GGUF. */
export const architectures = ['gpt2', 'llama', 'arcee', 'qwen2', 'qwen3', 'smollm3'] as const;
export type Architecture = (typeof architectures)[number];

/** Whether llama.cpp rotates neighbouring values of queries and keys, or, as clm, those of a head's two halves. */
export const rotatesNeighbours = (architecture: Architecture): boolean =>
  ['llama', 'arcee', 'smollm3'].includes(architecture);

/** llama.cpp computes SmolLM3 with positions in all but every fourth layer, whatever the file says. */
export const smollm3NopeEvery = 4;

/**
 * The architecture that fits the model, and the model with the biases that the architecture always has; those that the
 * run lacks are written as zeros.
 *
 * @throws wrongInput naming the key that no architecture of llama.cpp supports
 */
export function architectureOf(model: ModelConfig): { architecture: Architecture; model: ModelConfig } {
  const refuse = (key: string, value: unknown, where: string): never => {
    throw wrongInput(
      `this run cannot be exported to GGUF: model.${key} is ${String(value)}, ` +
        `which llama.cpp does not support ${where}`,
    );
  };
  const { biases, queryKeyValueBiases, feedForwardBiases, activation } = model;
  const fillsWidth = model.headSize * model.heads === model.width;
  const hasFactors = model.ropeScaling?.kind === 'llama3';
  const own = unsharedPart(model);
  if (own !== null) refuse(own.key, own.value, `in any architecture with the other parts of this model${own.but}`);
  if (model.family === 'gpt2') {
    if (activation !== 'gelu') refuse('activation', activation, 'for GPT-2 (only gelu)');
    if (model.queryKeyNorm) refuse('queryKeyNorm', true, 'for GPT-2');
    if (!fillsWidth) refuse('headSize', model.headSize, 'for GPT-2 (only width / heads)');
    return {
      architecture: 'gpt2',
      model: { ...model, biases: true, queryKeyValueBiases: true, feedForwardBiases: true },
    };
  }
  if (activation === 'gelu') refuse('activation', activation, 'in family llama (only swiglu and squaredRelu)');
  if (activation === 'squaredRelu') {
    const where = 'together with squaredRelu (Arcee)';
    if (queryKeyValueBiases) refuse('queryKeyValueBiases', true, where);
    if (biases) refuse('biases', true, where);
    if (feedForwardBiases) refuse('feedForwardBiases', true, where);
    if (model.queryKeyNorm) refuse('queryKeyNorm', true, where);
    if (model.nopeEveryLayers !== null) refuse('nopeEveryLayers', model.nopeEveryLayers, where);
    return { architecture: 'arcee', model };
  }
  if (model.queryKeyNorm) {
    const where = 'together with queryKeyNorm (Qwen3)';
    if (biases) refuse('biases', true, where);
    if (feedForwardBiases) refuse('feedForwardBiases', true, where);
    if (model.nopeEveryLayers !== null) refuse('nopeEveryLayers', model.nopeEveryLayers, where);
    if (hasFactors) refuse('ropeScaling.kind', 'llama3', where);
    return { architecture: 'qwen3', model };
  }
  if (model.nopeEveryLayers !== null && model.nopeEveryLayers <= model.layers) {
    const where = 'together with nopeEveryLayers (SmolLM3)';
    if (model.nopeEveryLayers !== smollm3NopeEvery)
      refuse('nopeEveryLayers', model.nopeEveryLayers, `(only ${smollm3NopeEvery})`);
    if (biases) refuse('biases', true, where);
    if (feedForwardBiases) refuse('feedForwardBiases', true, where);
    if (hasFactors) refuse('ropeScaling.kind', 'llama3', where);
    return { architecture: 'smollm3', model };
  }
  if (queryKeyValueBiases && !biases && !feedForwardBiases && fillsWidth && !hasFactors)
    return { architecture: 'qwen2', model };
  return { architecture: 'llama', model };
}

/** The metadata from which llama.cpp makes the model. @param rows of the embedding, padding included */
export function modelMetadata(architecture: Architecture, model: ModelConfig, rows: number): [string, MetadataValue][] {
  const keys: [string, MetadataValue][] = [
    ['vocab_size', uint32(rows)],
    ['context_length', uint32(model.contextLength)],
    ['embedding_length', uint32(model.width)],
    ['block_count', uint32(model.layers)],
    ['feed_forward_length', uint32(model.feedForwardWidth)],
    ['attention.head_count', uint32(model.heads)],
    ['attention.head_count_kv', uint32(model.keyValueHeads)],
  ];
  if (architecture === 'gpt2') keys.push(['attention.layer_norm_epsilon', float32(model.normEpsilon)]);
  else {
    keys.push(
      ['attention.layer_norm_rms_epsilon', float32(model.normEpsilon)],
      ['attention.key_length', uint32(model.headSize)],
      ['attention.value_length', uint32(model.headSize)],
      ['rope.dimension_count', uint32(model.headSize)],
      ['rope.freq_base', float32(model.ropeTheta)],
      ...scalingMetadata(model),
    );
  }
  return keys.map(([key, value]) => [`${architecture}.${key}`, value]);
}

/**
 * For llama3's scaling llama.cpp needs only the factors, a tensor. The numbers that they come from are written for
 * clm's import, under a name that llama.cpp does not read.
 */
function scalingMetadata({ ropeScaling }: ModelConfig): [string, MetadataValue][] {
  if (ropeScaling === null) return [];
  if (ropeScaling.kind === 'linear') {
    return [
      ['rope.scaling.type', text('linear')],
      ['rope.scaling.factor', float32(ropeScaling.factor)],
    ];
  }
  return [
    ['rope.llama3.factor', float32(ropeScaling.factor)],
    ['rope.llama3.low_frequency_factor', float32(ropeScaling.lowFrequencyFactor)],
    ['rope.llama3.high_frequency_factor', float32(ropeScaling.highFrequencyFactor)],
    ['rope.llama3.original_context_length', uint32(ropeScaling.originalContextLength)],
  ];
}
