/** The config.json of much downloaded models, as public repositories quote them: all import, without a warning. */
import { expect, it } from 'vitest';
import { readConfigJson } from '../../src/huggingface/configJson.ts';

type Keys = Record<string, unknown>;

const gpt2Summary = {
  summary_activation: null,
  summary_first_dropout: 0.1,
  summary_proj_to_labels: true,
  summary_type: 'cls_index',
  summary_use_proj: true,
  task_specific_params: { 'text-generation': { do_sample: true, max_length: 50 } },
};
const gpt2Training = { attn_pdrop: 0.1, embd_pdrop: 0.1, resid_pdrop: 0.1, initializer_range: 0.02 };
const gpt2 = (embedding: number, heads: number, layers: number): Keys => ({
  activation_function: 'gelu_new',
  architectures: ['GPT2LMHeadModel'],
  bos_token_id: 50256,
  eos_token_id: 50256,
  layer_norm_epsilon: 1e-5,
  model_type: 'gpt2',
  n_ctx: 1024,
  n_embd: embedding,
  n_head: heads,
  n_layer: layers,
  n_positions: 1024,
  vocab_size: 50257,
  ...gpt2Training,
  ...gpt2Summary,
});
const decoder = (
  type: string,
  size: number,
  feedForward: number,
  layers: number,
  heads: number,
  groups: number,
): Keys => ({
  model_type: type,
  hidden_size: size,
  intermediate_size: feedForward,
  num_hidden_layers: layers,
  num_attention_heads: heads,
  num_key_value_heads: groups,
  hidden_act: 'silu',
  initializer_range: 0.02,
  use_cache: true,
  torch_dtype: 'bfloat16',
});
const llama = (...sizes: [number, number, number, number, number]): Keys => ({
  ...decoder('llama', ...sizes),
  architectures: ['LlamaForCausalLM'],
  attention_bias: false,
  attention_dropout: 0,
  pretraining_tp: 1,
  rope_scaling: null,
  tie_word_embeddings: false,
});
const qwen2 = (...sizes: [number, number, number, number, number]): Keys => ({
  ...decoder('qwen2', ...sizes),
  architectures: ['Qwen2ForCausalLM'],
  attention_dropout: 0,
  bos_token_id: 151643,
  eos_token_id: 151643,
  rms_norm_eps: 1e-6,
  use_sliding_window: false,
});

const configs: [string, Keys, Keys][] = [
  ['gpt2-medium', { ...gpt2(1024, 16, 24), n_special: 0, predict_special_tokens: true }, { width: 1024 }],
  [
    'gpt2-large',
    { ...gpt2(1280, 20, 36), output_past: true, n_special: 0, n_inner: null, scale_attn_weights: true },
    { headSize: 64 },
  ],
  [
    'distilgpt2',
    { ...gpt2(768, 12, 6), _num_labels: 1, id2label: { '0': 'LABEL_0' }, label2id: { LABEL_0: 0 } },
    { layers: 6 },
  ],
  [
    'a GPT-2 of 2019',
    {
      ...gpt2(768, 12, 12),
      finetuning_task: null,
      is_decoder: false,
      num_labels: 2,
      pruned_heads: {},
      torchscript: false,
    },
    { tiedEmbeddings: true },
  ],
  [
    'Llama of 2023',
    { ...llama(4096, 11008, 32, 32, 32), max_position_embeddings: 2048, max_sequence_length: 2048, pad_token_id: -1 },
    { ropeTheta: 10_000, contextLength: 2048 },
  ],
  [
    'Llama-3.2-1B-Instruct, unsloth',
    {
      ...llama(2048, 8192, 16, 32, 8),
      bos_token_id: 128000,
      eos_token_id: 128009,
      head_dim: 64,
      max_position_embeddings: 131072,
      mlp_bias: false,
      pad_token_id: 128004,
      rms_norm_eps: 1e-5,
      rope_scaling: {
        factor: 32,
        high_freq_factor: 4,
        low_freq_factor: 1,
        original_max_position_embeddings: 8192,
        rope_type: 'llama3',
      },
      rope_theta: 500_000,
      tie_word_embeddings: true,
      unsloth_fixed: true,
      vocab_size: 128256,
    },
    { ropeTheta: 500_000, tiedEmbeddings: true, ropeScaling: { originalContextLength: 8192 } },
  ],
  [
    'SmolLM2-135M',
    {
      ...llama(576, 1536, 30, 9, 3),
      is_llama_config: true,
      max_position_embeddings: 8192,
      rms_norm_eps: 1e-5,
      rope_interleaved: false,
      rope_theta: 100_000,
      tie_word_embeddings: true,
      'transformers.js_config': { kv_cache_dtype: { q4f16: 'float16', fp16: 'float16' } },
      vocab_size: 49152,
    },
    { ropeTheta: 100_000, keyValueHeads: 3 },
  ],
  [
    'Falcon3',
    { ...llama(2048, 8192, 18, 8, 4), activation: 'swiglu', head_dim: 256, rope_theta: 1_000_042, vocab_size: 131072 },
    { headSize: 256 },
  ],
  [
    'Qwen2.5-0.5B',
    {
      ...qwen2(896, 4864, 24, 14, 2),
      max_position_embeddings: 32768,
      max_window_layers: 24,
      rope_theta: 1e6,
      sliding_window: 32768,
      tie_word_embeddings: true,
      use_mrope: false,
      vocab_size: 151936,
    },
    { ropeTheta: 1e6, queryKeyValueBiases: true, biases: false },
  ],
  [
    'DeepSeek-R1-Distill-Qwen-7B',
    {
      ...qwen2(3584, 18944, 28, 28, 4),
      max_position_embeddings: 131072,
      max_window_layers: 28,
      rope_theta: 10000,
      sliding_window: 4096,
      tie_word_embeddings: false,
      use_mrope: false,
      vocab_size: 152064,
    },
    { ropeTheta: 10_000, tiedEmbeddings: false },
  ],
  [
    'Qwen2.5-1.5B, saved by transformers 5',
    {
      ...qwen2(1536, 8960, 28, 12, 2),
      layer_types: Array.from({ length: 28 }, () => 'full_attention'),
      max_position_embeddings: 131072,
      max_window_layers: 28,
      pad_token_id: null,
      rope_parameters: { rope_theta: 1e6, rope_type: 'default' },
      sliding_window: null,
      tie_word_embeddings: true,
      transformers_version: '5.17.0',
      use_mrope: false,
    },
    { ropeTheta: 1e6 },
  ],
  [
    'Qwen3-4B',
    {
      ...decoder('qwen3', 2560, 9728, 36, 32, 8),
      attention_bias: false,
      head_dim: 128,
      max_position_embeddings: 262144,
      max_window_layers: 36,
      rms_norm_eps: 1e-6,
      rope_scaling: null,
      rope_theta: 5e6,
      sliding_window: null,
      tie_word_embeddings: true,
      use_sliding_window: false,
    },
    { headSize: 128, queryKeyNorm: true },
  ],
  [
    'Mistral-7B-v0.3',
    {
      ...decoder('mistral', 4096, 14336, 32, 32, 8),
      max_position_embeddings: 32768,
      rms_norm_eps: 1e-5,
      rope_theta: 1e6,
      sliding_window: null,
      tie_word_embeddings: false,
      vocab_size: 32768,
    },
    { biases: false, ropeTheta: 1e6 },
  ],
  [
    'SmolLM3-3B',
    {
      ...decoder('smollm3', 2048, 11008, 36, 16, 4),
      attention_bias: false,
      max_position_embeddings: 65536,
      max_window_layers: 28,
      mlp_bias: false,
      no_rope_layer_interval: 4,
      no_rope_layers: Array.from({ length: 36 }, (_, i) => Number(i % 4 !== 3)),
      pretraining_tp: 2,
      rms_norm_eps: 1e-6,
      rope_scaling: null,
      rope_theta: 5e6,
      sliding_window: null,
      use_sliding_window: false,
      vocab_size: 128256,
    },
    { nopeEveryLayers: 4, tiedEmbeddings: true },
  ],
];

it.each(configs)('%s', (_, keys, expected) => {
  const { model, warnings } = readConfigJson(JSON.stringify(keys), 'config.json', null);
  expect(model).toMatchObject(expected);
  expect(warnings).toEqual([]);
});
