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
import { defineUsage } from '../../usage.ts';

/** How completions are made; the schema of src/sampling/settings.ts checks the values. */
export const settingsOptions = {
  'max-tokens': {
    type: 'number',
    describe: 'Maximum tokens per completion (default: samples.maxTokens of the config)',
  },
  'min-tokens': { type: 'number', describe: 'Minimum tokens per completion (default: 0)' },
  temperature: {
    type: 'number',
    describe: 'Sampling temperature; 0 always takes the most likely token (default: samples.temperature of the config)',
  },
  'top-k': { type: 'number', describe: 'Sample from the k most likely tokens (default: samples.topK of the config)' },
  'top-p': {
    type: 'number',
    describe:
      'Sample from the fewest most likely tokens whose probabilities sum to at least this ' +
      '(default: samples.topP of the config)',
  },
  'min-p': {
    type: 'number',
    describe:
      'Sample from tokens at least this fraction as likely as the most likely one ' +
      '(default: samples.minP of the config)',
  },
  'repetition-penalty': {
    type: 'number',
    describe:
      'Make tokens that already occur less likely; 1 is no penalty (default: samples.repetitionPenalty of the config)',
  },
  'logit-bias': {
    type: 'string',
    array: true,
    nargs: 1,
    describe: 'Add a number to the logit of a token id, e.g. 17=-2.5; repeatable',
  },
  stop: { type: 'string', array: true, nargs: 1, describe: 'End the completion before this text; repeatable' },
  'stop-token': { type: 'number', array: true, nargs: 1, describe: 'End the completion at this token id; repeatable' },
  'beyond-context': {
    choices: ['slide', 'stop'],
    describe: 'When the context is full: drop its oldest quarter, or stop (default: slide)',
  },
  'log-probabilities': {
    type: 'number',
    describe: 'With --json or --output: add the log-probability of each token, and of this many alternatives',
  },
  seed: {
    type: 'number',
    describe:
      'Seed of the first prompt, from which those of further ones are made; each further completion of a prompt adds ' +
      '1 (default: seed of the config)',
  },
  'same-seed': { type: 'boolean', default: false, describe: 'Use the seed itself for every prompt' },
  samples: { type: 'number', describe: 'Number of completions per prompt (default: 1)' },
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
    ...checkpointOption,
    weights: {
      choices: ['float32', 'bfloat16'],
      default: 'float32',
      describe: 'Number format of the weight matrices in memory; bfloat16 takes half the space',
    },
    ...jsonOption,
    ...deviceOption,
    ...quietOption,
    ...verboseOption,
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
    ...checkpointOption,
    ...jsonOption,
    ...deviceOption,
    ...quietOption,
    ...verboseOption,
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
    ...checkpointOption,
    ...jsonOption,
    ...deviceOption,
    ...quietOption,
    ...verboseOption,
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
    ['clm inspect runs/moby-dick --text "The whale" --html whale.html', 'Write a page for the browser'],
  ],
});

export const importUsage = defineUsage({
  command: 'import <directory>',
  describe: 'Import a Hugging Face model as a run',
  positionals: {
    directory: {
      type: 'string',
      demandOption: true,
      describe:
        'Folder with config.json, safetensors files and tokenizer.json (GPT-2, Llama, Mistral, Qwen2, Qwen3, SmolLM)',
    },
  },
  options: {
    run: { type: 'string', demandOption: true, describe: 'Run directory to create' },
    'context-length': {
      type: 'number',
      describe: 'Context length in tokens, shorter than the model’s own (not for GPT-2)',
    },
    'ignore-key': {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'Key of config.json that clm does not know, to be treated as not there; repeatable',
    },
    ...jsonOption,
    ...quietOption,
  },
  examples: [
    ['clm import SmolLM-135M --run runs/smollm', 'Import a model, to sample, evaluate or fine-tune it'],
    ['clm import Qwen3-0.6B --run runs/qwen3 --context-length 1024', 'Shorten the context to fit into memory'],
  ],
});

export const exportUsage = defineUsage({
  command: 'export <run> <directory>',
  describe: 'Export a run as a Hugging Face model that transformers can load',
  positionals: {
    ...runArgument,
    directory: { type: 'string', demandOption: true, describe: 'Folder to create' },
  },
  options: {
    dtype: {
      choices: ['float32', 'float16', 'bfloat16'],
      default: 'float32',
      describe: 'Number format of the weights',
    },
    checkpoint: {
      type: 'string',
      default: 'last',
      describe: 'Checkpoint to export: last, best (lowest validation loss), or a step number',
    },
    ...jsonOption,
    ...quietOption,
  },
  examples: [
    ['clm export runs/moby-dick exported', 'Write config.json, model.safetensors and tokenizer.json'],
    ['clm export runs/smollm exported --dtype bfloat16', 'Write half the bytes'],
  ],
});
