/**
 * What clm's options, arguments and commands are called elsewhere: in nanoGPT, litgpt, mlx-lm, llama.cpp and Hugging
 * Face's transformers; config keys are in config/sections/otherNames.ts. A command with such an option is answered with
 * the same command in clm's words. The tables of docs/other-names.md are made from both files.
 */

/** By option, for the commands that have it. */
export const optionNames: Readonly<Record<string, string>> = {
  run: 'out_dir output output_dir save_dir run_dir run_name adapter_path',
  resume: 'continue resume_from_checkpoint',
  'max-time': 'time_limit max_train_time',
  device: 'accelerator',
  'max-tokens': 'max_new_tokens num_tokens n_tokens n_predict num_predict length max_length max_gen_len tokens n',
  'min-tokens': 'min_new_tokens min_length',
  temperature: 'temp t',
  'top-k': 'topk k',
  'top-p': 'topp nucleus p',
  'repetition-penalty': 'repeat_penalty rep_pen',
  samples: 'num_samples num_return_sequences n_samples num_completions',
  prompt: 'start text input',
  prompts: 'prompt_file prompts_file file input_file',
  stop: 'stop_sequence stop_sequences stop_strings',
  'log-probabilities': 'logprobs top_logprobs',
  checkpoint: 'step ckpt checkpoint_step',
  file: 'data dataset input input_file data_path text_file path',
  text: 'data dataset input file data_path input_file train_file corpus path',
  minutes: 'time duration max_time time_limit',
  output: 'out out_file output_file config o',
  'vocabulary-size': 'vocab_size n_vocab',
  tokenizer: 'tokenizer_type',
  json: 'format_json as_json',
};

/** By argument (`<run>`, `<config>`), for the commands that have it. */
export const argumentNames: Readonly<Record<string, string>> = {
  run: 'out_dir model model_dir model_path checkpoint_dir ckpt_dir model_name_or_path m',
  model: 'run out_dir model_dir model_path checkpoint_dir',
  runs: 'run dir',
  config: 'config_file config_path c',
};

/** What to say of options for what clm does otherwise, or not at all. */
export const remarks: Readonly<Record<string, string>> = {
  'to evaluate a run: clm evaluate RUN': 'eval_only do_eval evaluate_only evaluate',
  'to log for TensorBoard: --set reports.log=[tensorboard]; to compare runs: clm compare':
    'wandb wandb_log wandb_project wandb_run_name report_to use_wandb',
  'clm train always trains: leave it out': 'train do_train',
};

/** Values that are spelt otherwise, by key: the first pattern that matches decides. */
export const valueNames: Readonly<Record<string, readonly (readonly [RegExp, string])[]>> = {
  'training.precision': [
    [/^(bf16|bfloat16|bf16-(true|mixed)|true)$/i, 'bfloat16'],
    [/^(fp32|f32|float32|32|32-true|no|false)$/i, 'float32'],
  ],
  'training.recompute': [
    [/^true$/i, 'block'],
    [/^false$/i, 'null'],
  ],
  'optimizer.gradientClip': [[/^0(\.0*)?$/, 'null']],
  'optimizer.kind': [[/^(adamw_\w+|adam)$/i, 'adamw']],
  tokenizer: [
    [/^char(acter)?s?(_level)?$/i, '{ kind: characters }'],
    [/^bytes?(_level)?$/i, '{ kind: bytes }'],
    [/^bpe$/i, '{ kind: bpe, vocabularySize: 4096 }'],
  ],
  'model.family': [
    [/^gpt-?2?$/i, 'gpt2'],
    [/^llama[-\d.]*$/i, 'llama'],
  ],
  'schedule.kind': [
    [/^cosine_\w+$/i, 'cosine'],
    [/^(constant_\w+|none)$/i, 'constant'],
    [/^(wsd|warmup_stable_decay)$/i, 'warmup-stable-decay'],
    [/^(inverse_sqrt|inv_sqrt)$/i, 'inverse-square-root'],
  ],
};

/** By command. */
export const commandNames: Readonly<Record<string, string>> = {
  init: 'new create setup',
  'train --resume --run': 'resume continue',
  train: 'pretrain finetune fit learn run',
  plan: 'estimate size',
  bench: 'benchmark speed',
  sample: 'generate complete infer predict chat completions',
  evaluate: 'eval perplexity test',
  import: 'convert-from from-hf load',
  export: 'convert to-hf save',
  runs: 'ls list status',
  compare: 'diff',
  sweep: 'tune grid search',
  doctor: 'env info',
  'data check': 'prepare',
  'tokenizer encode': 'tokenize',
  'tokenizer decode': 'detokenize',
};
