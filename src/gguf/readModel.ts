/** Translates the metadata of a GGUF file into the `model` section of clm's config. */
import type { Config } from '../config/schema.ts';
import { ropeFrequencies } from '../model/ropeFrequencies.ts';
import type { ModelConfig } from '../model/parameters.ts';
import { smollm3NopeEvery, type Architecture } from './architectures.ts';
import type { MetadataReader } from './metadataReader.ts';

/** What the tensors say of the model: which there are, and the rows of the embedding. */
export interface TensorFacts {
  has(name: string): boolean;
  rows: number;
  /** The factors by which llama.cpp divides the frequencies of RoPE; null without. */
  ropeFactors: Float32Array | null;
}

/** @param contextLength a context length shorter than the model's own; null keeps the model's */
export function readModel(
  reader: MetadataReader,
  architecture: Architecture,
  { has, rows, ropeFactors }: TensorFacts,
  contextLength: number | null,
): Config['model'] {
  const { problems } = reader;
  const key = (name: string): string => `${architecture}.${name}`;
  const [width, heads] = [reader.size(key('embedding_length')), reader.size(key('attention.head_count'))];
  const layers = reader.size(key('block_count'));
  const longest = reader.size(key('context_length'));
  reader.only(key('expert_count'), 0);
  reader.only(key('expert_used_count'), 0);
  reader.only(key('attention.causal'), true);
  reader.only(key('vocab_size'), rows);
  reader.has(key('tensor_data_layout')); // says that queries and keys are interleaved, which they are
  const shared = {
    preset: null,
    layers,
    heads,
    width,
    vocabularySize: rows,
    feedForwardWidth: reader.size(key('feed_forward_length')),
    dropout: 0,
    normPlacement: 'before' as const,
    logitSoftCap: null,
    valueEmbeddings: null,
    tiedEmbeddings: !has('output.weight'),
    keyValueHeads: reader.size(key('attention.head_count_kv'), heads),
  };
  const headSize = reader.size(key('attention.key_length'), Math.max(1, Math.floor(width / heads)));
  reader.only(key('attention.value_length'), headSize);
  if (architecture === 'gpt2') {
    if (contextLength !== null && contextLength !== longest)
      problems.push(`learned positions fix the context length at ${longest}, so leave out --context-length`);
    return {
      ...shared,
      family: 'gpt2',
      activation: 'gelu',
      headSize,
      contextLength: longest,
      biases: true,
      queryKeyValueBiases: true,
      feedForwardBiases: true,
      queryKeyNorm: false,
      normEpsilon: reader.number(key('attention.layer_norm_epsilon')),
      nopeEveryLayers: null,
      ropeTheta: 10_000,
      ropeScaling: null,
    };
  }
  const wanted = contextLength ?? longest;
  if (wanted > longest)
    problems.push(`--context-length ${wanted} is longer than ${key('context_length')} (${longest})`);
  reader.only(key('rope.dimension_count'), headSize);
  const window = reader.size(key('attention.sliding_window'), wanted);
  if (window < wanted) problems.push(`the sliding window is ${window}; import with --context-length ${window} or less`);
  const rope = { headSize, ropeTheta: reader.number(key('rope.freq_base'), 10_000) };
  return {
    ...shared,
    ...rope,
    family: 'llama',
    activation: architecture === 'arcee' ? 'squaredRelu' : 'swiglu',
    contextLength: wanted,
    biases: has('blk.0.attn_output.bias'),
    queryKeyValueBiases: has('blk.0.attn_q.bias'),
    feedForwardBiases: has('blk.0.ffn_up.bias'),
    queryKeyNorm: architecture === 'qwen3',
    normEpsilon: reader.number(key('attention.layer_norm_rms_epsilon')),
    nopeEveryLayers: architecture === 'smollm3' && layers >= smollm3NopeEvery ? smollm3NopeEvery : null,
    ropeScaling: readScaling(reader, key, rope, ropeFactors),
  };
}

function readScaling(
  reader: MetadataReader,
  key: (name: string) => string,
  rope: Pick<ModelConfig, 'headSize' | 'ropeTheta'>,
  factors: Float32Array | null,
): ModelConfig['ropeScaling'] {
  reader.only(key('rope.scaling.type'), 'none', 'linear');
  reader.only(key('rope.scaling.attn_factor'), 1);
  reader.has(key('rope.scaling.original_context_length')); // with linear scaling and with none it changes nothing
  reader.has(key('rope.scaling.finetuned'));
  const isLinear = reader.text(key('rope.scaling.type')) === 'linear';
  const factor = reader.number(key('rope.scaling.factor'), reader.number(key('rope.scale_linear'), 1));
  if (factors === null) return isLinear && factor !== 1 ? { kind: 'linear', factor } : null;
  // Files that others wrote have the factors alone; they come from these numbers in every Llama 3.
  const scaling = {
    kind: 'llama3' as const,
    factor: reader.number(key('rope.llama3.factor'), Math.max(...factors)),
    lowFrequencyFactor: reader.number(key('rope.llama3.low_frequency_factor'), 1),
    highFrequencyFactor: reader.number(key('rope.llama3.high_frequency_factor'), 4),
    originalContextLength: reader.size(key('rope.llama3.original_context_length'), 8192),
  };
  if (isLinear) reader.problems.push(`${key('rope.scaling.type')} is linear, and there are factors of frequencies too`);
  const scaled = ropeFrequencies({ ...rope, ropeScaling: scaling });
  const isSame = ropeFrequencies({ ...rope, ropeScaling: null }).every(
    (frequency, i) => Math.abs(frequency / scaled[i]! - factors[i]!) <= 1e-5 * factors[i]!,
  );
  if (!isSame || factors.length !== scaled.length)
    reader.problems.push('rope_freqs.weight does not have the factors of Llama 3, the only ones that clm supports');
  return scaling;
}
