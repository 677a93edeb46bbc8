/** The Hugging Face models that clm imports, and the defaults of their config.json. */

/** The class in transformers of each `model_type`. */
export const architectures = {
  gpt2: 'GPT2LMHeadModel',
  llama: 'LlamaForCausalLM',
  arcee: 'ArceeForCausalLM',
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
  sliding_window: 4096,
  max_window_layers: 28,
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
  arcee: {
    ...llamaDefaults,
    vocab_size: 32_000,
    hidden_size: 2560,
    intermediate_size: 18_432,
    hidden_act: 'relu2',
    max_position_embeddings: 4096,
    rms_norm_eps: 1e-5,
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
