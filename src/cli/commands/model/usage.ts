/** Interfaces of the commands for trained models. */
import {
  checkpointOption,
  deviceOption,
  inputOptions,
  jsonOption,
  quietOption,
  runArgument,
  verboseOption,
} from '../../options.ts';
import { settingsOptions } from '../../settingsOptions.ts';
import { defineUsage } from '../../usage.ts';

export const weightsOption = {
  weights: {
    choices: ['float32', 'bfloat16', 'int8'],
    default: 'float32',
    describe: 'Number format of the weight matrices in memory; bfloat16 takes half the space, int8 a quarter',
  },
} as const;

/** Of commands that generate or score text with a model. */
export const loadedModelOptions = {
  ...checkpointOption,
  ...weightsOption,
  ...jsonOption,
  ...deviceOption,
  ...quietOption,
  ...verboseOption,
} as const;

export const sampleUsage = defineUsage({
  command: 'sample <run>',
  describe: 'Complete prompts with a trained model',
  positionals: runArgument,
  options: {
    prompt: {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'Text to complete; repeatable (default: samples.prompt of the config)',
    },
    prompts: {
      type: 'string',
      nargs: 1,
      describe: 'File with one prompt per line, as text or as JSON with settings of its own; - for stdin',
    },
    format: {
      choices: ['text', 'jsonl'],
      describe: 'Format of --prompts (default: by the file name or the first character)',
    },
    interactive: {
      alias: 'i',
      type: 'boolean',
      default: false,
      describe: 'Ask for prompts in the terminal; Ctrl-C stops a completion',
    },
    ...settingsOptions,
    output: {
      type: 'string',
      describe: 'Append the JSON lines to this file; completions already in it are skipped',
    },
    order: {
      choices: ['input', 'completed'],
      default: 'input',
      describe: 'Print completions in the order of the prompts, or as they are completed',
    },
    batch: { type: 'number', default: 8, describe: 'Maximum number of completions generated at once' },
    ...loadedModelOptions,
  },
  examples: [
    ['clm sample runs/moby-dick --prompt "Call me"', 'Print one completion'],
    ['clm sample runs/moby-dick --prompt "The whale" --samples 3 --json', 'Print three completions as JSON'],
    [
      'clm sample runs/moby-dick --prompts prompts.jsonl --output completions.jsonl',
      'Complete a file of prompts; repeat the command to continue after a stop',
    ],
    ['clm sample runs/moby-dick -i', 'Type prompts in the terminal'],
  ],
});

const { 'same-seed': _, samples: __, 'special-tokens': ___, ...chatSettings } = settingsOptions;

export const chatUsage = defineUsage({
  command: 'chat <run>',
  describe: 'Talk with a trained model, by its chat template',
  positionals: runArgument,
  options: {
    system: { type: 'string', describe: 'Message of the system, at the start of the conversation' },
    message: {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'Message to answer; the answer is printed to stdout. Repeatable, for several turns',
    },
    ...chatSettings,
    'beyond-context': {
      choices: ['slide', 'stop'],
      default: 'stop',
      describe: 'When an answer fills the context: stop, or drop the oldest quarter of its tokens and go on',
    },
    ...loadedModelOptions,
  },
  examples: [
    ['clm chat runs/smollm2', 'Talk in the terminal; Ctrl-C stops an answer, /help lists the commands'],
    ['clm chat runs/smollm2 --message "What is the capital of France?"', 'Print one answer'],
    ['clm chat runs/smollm2 --system "Be brief." --message Hi --message "And you?" --json', 'Two turns, as JSON'],
  ],
});

export const evaluateUsage = defineUsage({
  command: 'evaluate <run>',
  describe: 'Compute loss, perplexity, bits per byte of the validation set or a text',
  positionals: runArgument,
  options: {
    text: { type: 'string', describe: 'Text to evaluate (default: the validation set of the run)' },
    file: { type: 'string', describe: 'UTF-8 text file to evaluate' },
    overlap: {
      type: 'number',
      default: 0,
      describe: 'Tokens that each window repeats from the one before, as context only',
    },
    ...loadedModelOptions,
  },
  examples: [
    ['clm evaluate runs/moby-dick', 'Evaluate the validation set of the run'],
    [
      'clm evaluate runs/moby-dick --file other.txt --overlap 32 --json',
      'Evaluate another text, each token with at least 32 tokens of context',
    ],
  ],
});

export const scoreUsage = defineUsage({
  command: 'score <run>',
  describe: 'Compute log-probabilities of texts, or find the most likely choice',
  positionals: runArgument,
  options: {
    text: { type: 'string', nargs: 1, describe: 'Text to score' },
    prompt: { type: 'string', array: true, nargs: 1, describe: 'Text before the choices' },
    choice: { type: 'string', array: true, nargs: 1, describe: 'Possible text after the prompt; repeatable' },
    file: {
      type: 'string',
      nargs: 1,
      describe: 'JSON lines of {"text"} or {"prompt", "choices", "answer"?} (default: -, stdin)',
    },
    ...loadedModelOptions,
  },
  examples: [
    ['clm score runs/moby-dick --text "Call me Ishmael"', 'Print the log-probability of a text'],
    [
      'clm score runs/moby-dick --prompt "The white" --choice " whale" --choice " table"',
      'Find the more likely continuation',
    ],
    [
      'clm score runs/moby-dick --file questions.jsonl --json',
      'Score many; prints the share of correct answers at the end',
    ],
  ],
});

export const inspectUsage = defineUsage({
  command: 'inspect <model>',
  describe: 'Show tokens, shifted targets, losses and top predictions of a text',
  positionals: {
    model: {
      type: 'string',
      demandOption: true,
      describe: 'Run directory, checkpoint folder, or YAML config (untrained model)',
    },
  },
  options: {
    ...inputOptions,
    messages: {
      type: 'string',
      nargs: 1,
      describe: 'JSON file with a list of messages to show as a chat in place of a text; - for stdin',
    },
    'loss-on': {
      choices: ['assistant', 'last', 'all'],
      describe:
        'With --messages: turns that count towards the loss (default: lossOn of the config, or else the assistant’s)',
    },
    position: { type: 'number', describe: 'Also show the most likely tokens after this position (counted from 0)' },
    top: { type: 'number', default: 10, describe: 'Number of most likely tokens to show' },
    html: { type: 'string', nargs: 1, describe: 'Also write a self-contained HTML page to this file' },
    ...checkpointOption,
    ...jsonOption,
    ...deviceOption,
    ...quietOption,
    ...verboseOption,
  },
  examples: [
    ['clm inspect runs/moby-dick --text "Call me Ishmael"', 'Show the table of a trained model'],
    [
      'clm inspect configs/moby-dick.yaml --text "Call me" --position 3',
      'Show what an untrained model predicts after position 3',
    ],
    ['clm inspect runs/smollm --messages chat.json', 'Show which tokens of a chat count towards the loss'],
    ['clm inspect runs/moby-dick --text "The whale" --html whale.html', 'Write a page for the browser'],
  ],
});

export const importUsage = defineUsage({
  command: 'import <path>',
  describe: 'Import a Hugging Face folder, a GGUF file, or an adapter of PEFT, as a run',
  positionals: {
    path: {
      type: 'string',
      demandOption: true,
      describe:
        'Folder with config.json, safetensors files and tokenizer.json, or a GGUF file, of a model of the kind ' +
        'GPT-2, Llama, Mistral, Qwen2, Qwen3 or SmolLM',
    },
  },
  options: {
    run: { type: 'string', demandOption: true, describe: 'Run directory to create' },
    base: {
      type: 'string',
      describe: 'Run of the model that an adapter (a folder saved by PEFT) is for',
    },
    'context-length': {
      type: 'number',
      describe: 'Context length in tokens, shorter than the model’s own (not for GPT-2)',
    },
    'ignore-key': {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'Key of the model’s config or metadata that clm does not know, to be treated as not there; repeatable',
    },
    ...jsonOption,
    ...quietOption,
  },
  examples: [
    ['clm import SmolLM-135M --run runs/smollm', 'Import a model, to sample, evaluate or fine-tune it'],
    ['clm import Qwen3-0.6B --run runs/qwen3 --context-length 1024', 'Shorten the context to fit into memory'],
    ['clm import adapter --run runs/tuned --base runs/smollm', 'Import a LoRA adapter of a model that is imported'],
    ['clm import SmolLM2-135M.Q4_K_M.gguf --run runs/smollm2', 'Import a GGUF file; its weights become float32'],
  ],
});

export const exportUsage = defineUsage({
  command: 'export <run> <path>',
  describe: 'Export a run as a Hugging Face folder, or as a GGUF file for llama.cpp',
  positionals: {
    ...runArgument,
    path: { type: 'string', demandOption: true, describe: 'Folder to create, or a file that ends in .gguf' },
  },
  options: {
    dtype: {
      choices: ['float32', 'float16', 'bfloat16', 'q8_0'],
      default: 'float32',
      describe: 'Number format of the weights; q8_0 (8 bits, blocks of 32) only for GGUF',
    },
    checkpoint: {
      type: 'string',
      default: 'last',
      describe: 'Checkpoint to export: last, best (lowest validation loss), or a step number',
    },
    merge: { type: 'boolean', default: false, describe: 'Of a run with an adapter: one model, with it in the weights' },
    adapter: { type: 'boolean', default: false, describe: 'Of a run with an adapter: the adapter alone, for PEFT' },
    ...jsonOption,
    ...quietOption,
  },
  examples: [
    ['clm export runs/moby-dick exported', 'Write config.json, model.safetensors and tokenizer.json'],
    ['clm export runs/smollm exported --dtype bfloat16', 'Write half the bytes'],
    ['clm export runs/smollm smollm.gguf --dtype q8_0', 'Write one file for llama.cpp, Ollama, LM Studio'],
    ['clm export runs/tuned merged --merge', 'Write base and adapter as one model'],
    ['clm export runs/tuned adapter --adapter', 'Write a folder for PeftModel.from_pretrained'],
  ],
});
