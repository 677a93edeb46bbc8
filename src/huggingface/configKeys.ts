/**
 * The keys of a Hugging Face config.json. A key is either translated (configJson.ts), required to have a value for
 * which clm computes the same, not read by the model's class in transformers, or known not to affect the logits. Any
 * other key is refused by name.
 */
import type { ModelType } from './modelTypes.ts';

/** Keys that do not affect the logits, whatever their value. */
export const ignoredKeys: ReadonlySet<string> = new Set(
  [
    // where the file comes from
    'model_type architectures transformers_version _name_or_path name_or_path _commit_hash finetuning_task',
    'tokenizer_class tokenizer_name prefix transformers.js_config is_llama_config model_name',
    'unsloth_fixed unsloth_version',
    // how weights and activations are stored and computed
    'torch_dtype dtype use_bfloat16 tf_legacy_loss torchscript _attn_implementation _attn_implementation_autoset',
    'attn_implementation _attn_implementation_internal _flash_attn_2_enabled _experts_implementation',
    'use_flash_attention use_flash_attention_2 use_flash_attn pretraining_tp low_cpu_mem_usage xla_device',
    'reorder_and_upcast_attn gradient_checkpointing chunk_size_feed_forward use_cache cache_implementation',
    // token ids and generation
    'bos_token_id eos_token_id pad_token_id sep_token_id unk_token_id mask_token_id decoder_start_token_id',
    'forced_bos_token_id forced_eos_token_id suppress_tokens begin_suppress_tokens bad_words_ids',
    'generation_config max_length min_length max_new_tokens min_new_tokens do_sample early_stopping',
    'num_beams num_beam_groups diversity_penalty temperature top_k top_p min_p typical_p epsilon_cutoff eta_cutoff',
    'repetition_penalty encoder_repetition_penalty length_penalty no_repeat_ngram_size penalty_alpha',
    'encoder_no_repeat_ngram_size num_return_sequences remove_invalid_values exponential_decay_length_penalty',
    'renormalize_logits forced_decoder_ids guidance_scale',
    // lengths that only tokenizers and training programs read
    'max_sequence_length max_seq_length max_seq_len seq_length model_max_length tokenizer_model_max_length',
    'tokenizer_padding_side',
    // initialisation, dropout and loss
    'initializer_range attention_dropout attn_pdrop embd_pdrop resid_pdrop hidden_dropout hidden_dropout_prob',
    'attention_probs_dropout_prob classifier_dropout neftune_noise_alpha loss_type',
    // heads other than the language model's
    'task_specific_params summary_type summary_use_proj summary_activation summary_first_dropout',
    'summary_proj_to_labels id2label label2id num_labels _num_labels problem_type n_special predict_special_tokens',
    // what a call returns
    'output_attentions output_hidden_states output_scores output_past return_dict return_dict_in_generate',
    'use_return_dict keys_to_ignore_at_inference',
    // same as n_positions; only used with sliding windows
    'n_ctx max_window_layers',
  ].flatMap((line) => line.split(' ')),
);

/** Keys that must have one of these values, since clm would compute something else for others; or be missing. */
export const requiredValues: Readonly<Record<string, readonly unknown[]>> = {
  activation: ['silu', 'swiglu'], // of Falcon3
  scale_attn_weights: [true],
  scale_attn_by_inverse_layer_idx: [false],
  add_cross_attention: [false],
  cross_attention_hidden_size: [null],
  is_encoder_decoder: [false],
  is_decoder: [false, true],
  quantization_config: [null],
  pruned_heads: [null],
  tie_encoder_decoder: [false],
  partial_rotary_factor: [1],
  rope_interleaved: [false],
  use_mrope: [false],
  /** Code of the model's own; transformers runs it only if told to. */
  auto_map: [null],
  /** Names other weight files. */
  transformers_weights: [null, 'model.safetensors'],
};

/** clm's name of an activation, by transformers' names, of which the first is the one that an export writes. */
export const activationNames = {
  gelu: ['gelu_new', 'gelu_pytorch_tanh'],
  squaredRelu: ['relu2'],
  swiglu: ['silu', 'swish'],
} as const;

/** Of these, the ones that `--ignore-key` may pass over: what they are about is not the arithmetic of the class. */
export const ignorableKeys: readonly string[] = ['quantization_config', 'use_mrope', 'auto_map'];

/** Keys that the class of one model reads in transformers 5, and that of another does not. */
const unread: Readonly<Record<ModelType, string>> = {
  gpt2: '',
  llama: 'sliding_window use_sliding_window layer_types',
  arcee: 'sliding_window use_sliding_window layer_types',
  mistral: 'attention_bias mlp_bias use_sliding_window layer_types',
  qwen2: 'attention_bias mlp_bias',
  qwen3: 'mlp_bias',
  smollm3: '',
};

export const unreadKeys = (kind: ModelType): readonly string[] => unread[kind].split(' ');

/** Second names of keys: transformers takes either. */
export const secondNames: Readonly<Record<string, string>> = {
  n_embd: 'hidden_size',
  n_positions: 'max_position_embeddings',
  n_head: 'num_attention_heads',
  n_layer: 'num_hidden_layers',
};
