/** Interfaces of the commands for training. */
import {
  configArgument,
  deviceOption,
  eagerOption,
  ignoreHangupOption,
  jsonOption,
  logOption,
  quietOption,
  runArgument,
  setOption,
  verboseOption,
} from '../../options.ts';
import { defineUsage } from '../../usage.ts';
import { weightsOption } from '../model/usage.ts';

export const initUsage = defineUsage({
  command: 'init',
  describe: 'Create a starter config for your text and machine',
  options: {
    text: { type: 'string', describe: 'Text file, folder of text files, or glob (asked for if omitted)' },
    field: {
      type: 'string',
      describe: 'Field or column with the text, in JSONL, CSV and Parquet files (default: text, or the longest)',
    },
    tokenizer: {
      choices: ['characters', 'bytes', 'bpe'],
      describe: 'Kind of tokenizer (default: by the size and the characters of the text)',
    },
    encoding: {
      type: 'string',
      describe: 'Encoding of a text that is not UTF-8, e.g. windows-1252: trains on a copy that is converted',
    },
    'encoding-errors': {
      choices: ['replace', 'skip'],
      describe: 'Train on a text that is not UTF-8 as it is: replace its bad bytes by U+FFFD, or skip them',
    },
    minutes: { type: 'number', describe: 'Training time in minutes (asked for if omitted; 5 without a terminal)' },
    output: { type: 'string', describe: 'Config file to create (default: <name of the text>.yaml); never overwritten' },
    yes: { alias: 'y', type: 'boolean', default: false, describe: 'Ask nothing: take what would be proposed' },
    ...jsonOption,
    ...quietOption,
  },
  examples: [
    ['clm init', 'Ask for the text and the training time'],
    ['clm init --text texts/ --minutes 30 --output mine.yaml', 'Ask nothing'],
    ['clm init --text pages.jsonl --field body --minutes 5', 'Train on the field "body" of each JSON line'],
  ],
});

export const trainUsage = defineUsage({
  command: 'train [config]',
  describe: 'Train a model from a config, or resume a run',
  positionals: { config: { type: 'string', describe: 'YAML config; not needed with --resume --run DIR' } },
  options: {
    run: { type: 'string', describe: 'Run directory (default: runs/<name of the config>)' },
    resume: { type: 'boolean', default: false, describe: 'Resume from the newest valid checkpoint' },
    ...logOption,
    ...eagerOption,
    'max-time': {
      type: 'string',
      describe:
        'Save and stop before this time limit, e.g. 3h or 90min; if the config sets no length, the number of steps ' +
        'that fit becomes training.steps',
    },
    until: {
      type: 'string',
      describe:
        'Evaluate, save and stop once the run has made this many steps, or has trained for this long, e.g. 500 or ' +
        '10min; --resume goes on',
    },
    processes: {
      type: 'number',
      describe:
        'Train with this many processes, which share the micro-batches of every step and the cores (default: 1)',
    },
    rank: {
      type: 'number',
      describe: 'This process is one of --processes, numbered from 0, which are started one by one (docs/processes.md)',
    },
    rendezvous: { type: 'string', describe: 'HOST:PORT where rank 0 listens for the others at the start' },
    'secret-file': { type: 'string', describe: 'File with a secret that all processes must know' },
    'open-network': {
      type: 'boolean',
      default: false,
      describe: 'Let processes on other machines connect; only in a network where everybody is trusted',
    },
    watchdog: {
      type: 'string',
      describe: 'End all processes if one fails or makes no progress for this long, e.g. 15s or 15 (default: 60s)',
    },
    ...ignoreHangupOption,
    'overfit-batch': {
      type: 'boolean',
      default: false,
      describe: 'Train on the first batch only, as a sanity check: the loss must approach 0',
    },
    ...setOption,
    ...deviceOption,
    ...jsonOption,
    ...quietOption,
    ...verboseOption,
  },
  examples: [
    ['clm train configs/moby-dick.yaml', 'Train into runs/moby-dick'],
    ['clm train configs/moby-dick.yaml --set training.steps=100 --run runs/short', 'Train a shorter run'],
    ['clm train my.yaml --max-time 30min', 'Train for half an hour; the schedule ends with it'],
    ['clm train --run runs/short --resume', 'Resume it after a stop'],
    ['clm train configs/moby-dick.yaml --log ./my-sink.mjs', 'Hand every fact to a module of yours'],
  ],
});

export const planUsage = defineUsage({
  command: 'plan <config>',
  describe: 'Show the parameters, memory, FLOPs, tokens and time of a run before it starts',
  positionals: configArgument,
  optionalValues: { measure: { looksLike: /^-?\d/, otherwise: '20s' } },
  options: {
    measure: {
      type: 'string',
      describe: 'Measure training steps for at most this long (default: 20s) for a better estimate of the time',
    },
    estimate: {
      type: 'boolean',
      default: true,
      describe: 'Estimate the time; --no-estimate starts no process that measures this machine',
    },
    processes: { type: 'number', describe: 'Also plan the run for this many processes: memory, traffic, efficiency' },
    'network-gigabits': {
      type: 'number',
      default: 10,
      describe: 'With --processes: speed of the network between them in Gbit/s, in each direction',
    },
    ...setOption,
    ...deviceOption,
    ...jsonOption,
    ...quietOption,
    ...verboseOption,
  },
  examples: [
    ['clm plan configs/moby-dick.yaml', 'Plan the run; exit with code 5 if it does not fit the memory'],
    ['clm plan configs/moby-dick.yaml --measure 30s --set model.layers=8', 'Measure the steps of a deeper model'],
  ],
});

export const benchUsage = defineUsage({
  command: 'bench <config>',
  describe: 'Measure the speed of training, or of a trained model, as a share of what the machine allows',
  positionals: {
    config: {
      type: 'string',
      demandOption: true,
      describe: 'YAML config; with --decode a run directory or checkpoint folder',
    },
  },
  options: {
    steps: { type: 'number', describe: 'Number of steps to measure, after warm-up (default: 30; 128 with --decode)' },
    decode: {
      type: 'boolean',
      default: false,
      describe: 'Measure how fast the model of a run generates tokens, and where the time of a token goes',
    },
    'prompt-tokens': {
      type: 'number',
      describe: 'With --decode: length of the prompt (default: 512, at most half of the context length)',
    },
    batch: { type: 'number', describe: 'With --decode: number of completions generated at once (default: 1)' },
    weights: {
      choices: weightsOption.weights.choices,
      describe: 'With --decode: number format of the weight matrices in memory (default: float32)',
    },
    checkpoint: { type: 'string', describe: 'With --decode: last (the default), best, or a step number' },
    processes: { type: 'number', default: 1, describe: 'Measure a step that this many processes share' },
    ...eagerOption,
    profile: { type: 'boolean', default: false, describe: 'Also show the kernel time of each kind of operation' },
    ...setOption,
    ...deviceOption,
    ...jsonOption,
    ...quietOption,
    ...verboseOption,
  },
  examples: [
    ['clm bench configs/moby-dick.yaml', 'Milliseconds per step, GFLOP/s and share of the peak'],
    ['clm bench configs/moby-dick.yaml --processes 2 --set training.microBatchesPerStep=2', 'Two processes'],
    ['clm bench configs/moby-dick.yaml --profile', 'Which operations take the time'],
    ['clm bench configs/moby-dick.yaml --eager --json', 'The speed without recording, as JSON'],
    ['clm bench runs/moby-dick --decode', 'Tokens per second, and the share of the memory’s speed'],
  ],
});

export const checkpointVerifyUsage = defineUsage({
  command: 'checkpoint verify <run>',
  describe: 'Verify that every checkpoint of a run is intact',
  positionals: runArgument,
  options: jsonOption,
  examples: [['clm checkpoint verify runs/moby-dick', 'Exit with code 2 if a checkpoint is damaged']],
});

export const verifyResumeUsage = defineUsage({
  command: 'verify-resume <config>',
  describe: 'Check that stopping and resuming changes no bit of the result',
  positionals: configArgument,
  options: {
    steps: { type: 'number', default: 20, describe: 'Number of steps of each of the two runs' },
    stops: { type: 'number', default: 2, describe: 'Number of stops of the second run, evenly spaced' },
    ...eagerOption,
    ...setOption,
    ...jsonOption,
  },
  examples: [['clm verify-resume configs/moby-dick.yaml --steps 30 --stops 3', 'Exit with code 1 on any difference']],
});
