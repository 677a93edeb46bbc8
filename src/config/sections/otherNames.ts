/**
 * What config keys are called elsewhere: in nanoGPT, litgpt, mlx-lm, llama.cpp and Hugging Face's transformers. It
 * tells what is meant by such a name in a config, in `--set` or as an option, and gives a table of docs/other-names.md.
 */

/** By config key. Names are compared without case, dashes and underscores. */
export const keyNames: Readonly<Record<string, string>> = {
  seed: 'random_seed',
  'corpus.sources[0].path': 'data dataset train_file data_path dataset_path data_dir input text train_data',
  'corpus.validation.path': 'val_file validation_file valid_file val_data eval_file',
  'corpus.validation.tail': 'val_split validation_split val_fraction valid_fraction val_ratio',
  'corpus.workers': 'num_workers dataloader_num_workers data_workers',
  tokenizer: 'tokenizer tokenizer_type',
  'tokenizer.vocabularySize': 'vocab_size n_vocab vocabulary_size',
  'model.family': 'arch architecture model_type',
  'model.preset': 'model_name model_config',
  'model.layers': 'n_layer n_layers num_layers num_hidden_layers depth',
  'model.heads': 'n_head n_heads num_heads num_attention_heads',
  'model.keyValueHeads': 'num_key_value_heads n_kv_heads n_query_groups num_kv_heads',
  'model.width': 'n_embd n_embed hidden_size d_model embed_dim emb_dim dim model_dim embedding_dim',
  'model.feedForwardWidth': 'intermediate_size d_ff ffn_dim n_inner',
  'model.contextLength':
    'block_size max_seq_length max_seq_len seq_len seq_length sequence_length context_size context_window ctx n_ctx ' +
    'n_positions max_position_embeddings train.max_seq_length',
  'model.dropout': 'dropout_rate resid_pdrop',
  'model.biases': 'bias',
  'model.tiedEmbeddings': 'tie_word_embeddings tie_embeddings tie_weights train.tie_embeddings',
  'training.steps':
    'max_iters iters num_iters n_iters max_steps train_steps num_train_steps total_steps train.max_steps',
  'training.epochs': 'epoch num_epochs n_epochs max_epochs num_train_epochs train.epochs',
  'training.tokens': 'max_tokens train.max_tokens total_tokens',
  'training.microBatchSize': 'batch_size micro_batch_size per_device_train_batch_size train.micro_batch_size bs batch',
  'training.microBatchesPerStep':
    'gradient_accumulation_steps grad_accumulation_steps grad_accum_steps accumulation_steps grad_accum',
  'training.precision': 'dtype bf16 amp mixed_precision',
  'training.recompute': 'gradient_checkpointing grad_checkpoint activation_checkpointing',
  'optimizer.kind': 'optim optimizer optimizer_type',
  'optimizer.learningRate': 'lr max_lr peak_lr optimizer.lr learning_rate',
  'optimizer.weightDecay': 'wd decay optimizer.weight_decay',
  'optimizer.gradientClip': 'grad_clip clip_grad max_grad_norm gradient_clipping train.max_norm max_norm clip',
  'optimizer.epsilon': 'adam_epsilon adam_eps eps',
  'schedule.kind': 'lr_scheduler_type lr_scheduler lr_schedule scheduler',
  'schedule.warmupSteps': 'warmup_iters warmup num_warmup_steps lr_warmup_steps train.lr_warmup_steps warmup_ratio',
  'schedule.finalLearningRate': 'min_lr final_lr lr_end train.min_lr',
  'evaluation.everySteps': 'eval_interval eval_steps eval_every eval_freq steps_per_eval eval.interval val_interval',
  'evaluation.patience': 'early_stopping_patience early_stopping',
  'checkpoints.everySteps': 'save_steps save_every save_interval checkpoint_interval ckpt_interval train.save_interval',
  'checkpoints.keepLast': 'save_total_limit keep_checkpoints',
  'samples.everySteps': 'sample_every sample_interval sample_steps',
  'samples.maxTokens': 'max_new_tokens eval.max_new_tokens',
  'reports.everySteps': 'log_interval logging_steps log_every steps_per_report train.log_interval',
  'start.from': 'finetune_from pretrained base_model initial_checkpoint_dir model_name_or_path init_weights',
};

/** Makes `learning_rate`, `learning-rate` and `learningRate` equal. */
export const folded = (name: string): string => name.toLowerCase().replace(/[_-]/g, '');

/** What a name means in one of the tables above. */
export const meaningIn = (table: Readonly<Record<string, string>>, name: string): string | undefined =>
  Object.keys(table).find((own) => table[own]!.split(' ').some((other) => folded(other) === folded(name)));
