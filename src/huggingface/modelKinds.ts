/**
 * The kinds of Hugging Face models that clm knows, and what each key of their config.json means here. A key is either
 * translated (configJson.ts), bound to values under which the mathematics is clm's, or known not to touch it. There is
 * no fourth sort: any other key is refused by name.
 */

/** `model_type` in config.json. */
export type ModelKind = 'gpt2' | 'llama' | 'mistral' | 'qwen2' | 'qwen3' | 'smollm3';

export const modelKinds: readonly ModelKind[] = ['gpt2', 'llama', 'mistral', 'qwen2', 'qwen3', 'smollm3'];

/**
 * What transformers assumes where config.json lacks a key: files of transformers 4 leave out what is at its default.
 * From the configuration classes of transformers 4.57 and 5.
 */
export const kindDefaults: Readonly<Record<ModelKind, Readonly<Record<string, unknown>>>> = {
  gpt2: {
    vocab_size: 50_257, n_positions: 1024, n_embd: 768, n_layer: 12, n_head: 12, n_inner: null,
    activation_function: 'gelu_new', layer_norm_epsilon: 1e-5, tie_word_embeddings: true, resid_pdrop: 0.1,
  },
  llama: {
    vocab_size: 32_000, hidden_size: 4096, intermediate_size: 11_008, num_hidden_layers: 32, num_attention_heads: 32,
    hidden_act: 'silu', max_position_embeddings: 2048, rms_norm_eps: 1e-6, tie_word_embeddings: false,
    attention_bias: false, mlp_bias: false, rope_theta: 10_000,
  },
  mistral: {
    vocab_size: 32_000, hidden_size: 4096, intermediate_size: 14_336, num_hidden_layers: 32, num_attention_heads: 32,
    num_key_value_heads: 8, hidden_act: 'silu', max_position_embeddings: 131_072, rms_norm_eps: 1e-6,
    tie_word_embeddings: false, sliding_window: 4096, rope_theta: 10_000,
  },
  qwen2: {
    vocab_size: 151_936, hidden_size: 4096, intermediate_size: 22_016, num_hidden_layers: 32, num_attention_heads: 32,
    num_key_value_heads: 32, hidden_act: 'silu', max_position_embeddings: 32_768, rms_norm_eps: 1e-6,
    tie_word_embeddings: false, use_sliding_window: false, rope_theta: 10_000,
  },
  qwen3: {
    vocab_size: 151_936, hidden_size: 4096, intermediate_size: 22_016, num_hidden_layers: 32, num_attention_heads: 32,
    num_key_value_heads: 32, head_dim: 128, hidden_act: 'silu', max_position_embeddings: 32_768, rms_norm_eps: 1e-6,
    tie_word_embeddings: false, attention_bias: false, use_sliding_window: false, rope_theta: 10_000,
  },
  smollm3: {
    vocab_size: 128_256, hidden_size: 2048, intermediate_size: 11_008, num_hidden_layers: 36, num_attention_heads: 16,
    num_key_value_heads: 4, hidden_act: 'silu', max_position_embeddings: 32_768, rms_norm_eps: 1e-6,
    tie_word_embeddings: true, attention_bias: false, mlp_bias: false, use_sliding_window: false, rope_theta: 2e6,
    no_rope_layer_interval: 4,
  },
};

/** Keys of all kinds that do not touch the logits: bookkeeping, token ids, dropout, initialisation, other heads. */
export const harmlessKeys: ReadonlySet<string> = new Set([
  'model_type', 'architectures', 'transformers_version', 'torch_dtype', 'dtype', '_name_or_path', '_commit_hash', '_attn_implementation',
  '_attn_implementation_autoset', 'use_cache', 'bos_token_id', 'eos_token_id', 'pad_token_id', 'sep_token_id', 'unk_token_id',
  'decoder_start_token_id', 'initializer_range', 'attention_dropout', 'attn_pdrop', 'embd_pdrop', 'resid_pdrop', 'task_specific_params',
  'summary_type', 'summary_use_proj', 'summary_activation', 'summary_first_dropout', 'summary_proj_to_labels', 'reorder_and_upcast_attn',
  'n_ctx', 'gradient_checkpointing', 'output_attentions', 'output_hidden_states', 'output_scores', 'return_dict', 'return_dict_in_generate',
  'chunk_size_feed_forward', 'id2label', 'label2id', 'num_labels', 'problem_type', 'finetuning_task', 'tokenizer_class', 'prefix', 'torchscript',
  'use_bfloat16', 'tf_legacy_loss', 'max_window_layers', 'is_llama_config', 'use_return_dict', 'transformers.js_config', 'rope_interleaved',
  'cache_implementation', 'generation_config', 'max_length', 'do_sample', 'keys_to_ignore_at_inference',
]);

/** Keys that change the mathematics unless they have one of these values; a missing key has the first. */
export const boundKeys: Readonly<Record<string, readonly unknown[]>> = {
  activation_function: ['gelu_new', 'gelu_pytorch_tanh'],
  hidden_act: ['silu', 'swish'],
  scale_attn_weights: [true],
  scale_attn_by_inverse_layer_idx: [false],
  add_cross_attention: [false],
  cross_attention_hidden_size: [null],
  is_encoder_decoder: [false],
  is_decoder: [false, true],
  pretraining_tp: [1],
  quantization_config: [null],
  pruned_heads: [null],
  tie_encoder_decoder: [false],
  partial_rotary_factor: [1],
  rope_interleaved: [false],
};
