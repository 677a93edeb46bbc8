/**
 * The Hugging Face models that clm imports, and the keys of their config.json. A key is either translated
 * (configJson.ts), required to have a value for which clm computes the same, or known not to affect the logits. Any
 * other key is refused by name.
 */

/** The class in transformers of each `model_type`. */
export const architectures = {
  gpt2: 'GPT2LMHeadModel',
  llama: 'LlamaForCausalLM',
  mistral: 'MistralForCausalLM',
  qwen2: 'Qwen2ForCausalLM',
  qwen3: 'Qwen3ForCausalLM',
  smollm3: 'SmolLM3ForCausalLM',
};

/** `model_type` in config.json. */
export type ModelType = keyof typeof architectures;
export const modelTypes = Object.keys(architectures) as readonly ModelType[];

/** Defaults that the models of the Llama family share, unless they override them below. */
const llamaDefaults = {
  hidden_size: 4096,
  intermediate_size: 11_008,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  hidden_act: 'silu',
  max_position_embeddings: 32_768,
  rms_norm_eps: 1e-6,
  tie_word_embeddings: false,
  rope_theta: 10_000,
};
const qwenDefaults = {
  ...llamaDefaults,
  vocab_size: 151_936,
  intermediate_size: 22_016,
  num_key_value_heads: 32,
  use_sliding_window: false,
};

/**
 * The values that transformers assumes for missing keys (transformers 4 does not write keys that have their default).
 * From the configuration classes of transformers 4.57 and 5.
 */
export const transformersDefaults: Readonly<Record<ModelType, Readonly<Record<string, unknown>>>> = {
  gpt2: {
    vocab_size: 50_257,
    n_positions: 1024,
    n_embd: 768,
    n_layer: 12,
    n_head: 12,
    n_inner: null,
    activation_function: 'gelu_new',
    layer_norm_epsilon: 1e-5,
    tie_word_embeddings: true,
    resid_pdrop: 0.1,
  },
  llama: {
    ...llamaDefaults,
    vocab_size: 32_000,
    max_position_embeddings: 2048,
    attention_bias: false,
    mlp_bias: false,
  },
  mistral: {
    ...llamaDefaults,
    vocab_size: 32_000,
    intermediate_size: 14_336,
    num_key_value_heads: 8,
    max_position_embeddings: 131_072,
    sliding_window: 4096,
  },
  qwen2: qwenDefaults,
  qwen3: { ...qwenDefaults, head_dim: 128, attention_bias: false },
  smollm3: {
    ...llamaDefaults,
    vocab_size: 128_256,
    hidden_size: 2048,
    num_hidden_layers: 36,
    num_attention_heads: 16,
    num_key_value_heads: 4,
    tie_word_embeddings: true,
    attention_bias: false,
    mlp_bias: false,
    use_sliding_window: false,
    rope_theta: 2e6,
    no_rope_layer_interval: 4,
  },
};

/** Keys that do not affect the logits, whatever their value. */
export const ignoredKeys: ReadonlySet<string> = new Set(
  [
    // where the file comes from
    'model_type architectures transformers_version _name_or_path _commit_hash finetuning_task tokenizer_class prefix',
    'transformers.js_config is_llama_config',
    // how weights and activations are stored and computed
    'torch_dtype dtype use_bfloat16 tf_legacy_loss torchscript _attn_implementation _attn_implementation_autoset',
    'reorder_and_upcast_attn gradient_checkpointing chunk_size_feed_forward use_cache cache_implementation',
    // token ids and generation
    'bos_token_id eos_token_id pad_token_id sep_token_id unk_token_id decoder_start_token_id generation_config',
    'max_length do_sample',
    // initialisation and dropout
    'initializer_range attention_dropout attn_pdrop embd_pdrop resid_pdrop',
    // heads other than the language model's
    'task_specific_params summary_type summary_use_proj summary_activation summary_first_dropout',
    'summary_proj_to_labels id2label label2id num_labels problem_type',
    // what a call returns
    'output_attentions output_hidden_states output_scores return_dict return_dict_in_generate use_return_dict',
    'keys_to_ignore_at_inference',
    // same as n_positions; only used with sliding windows
    'n_ctx max_window_layers',
  ].flatMap((line) => line.split(' ')),
);

/** Keys that must have one of these values, since clm would compute something else for others; or be missing. */
export const requiredValues: Readonly<Record<string, readonly unknown[]>> = {
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
