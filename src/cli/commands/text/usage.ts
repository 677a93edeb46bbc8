/** Interfaces of the commands for texts and tokenizers. */
import { configArgument, inputOptions, jsonOption, quietOption, setOption } from '../../options.ts';
import { defineUsage } from '../../usage.ts';

export const dataCheckUsage = defineUsage({
  command: 'data check <config>',
  describe: 'Check a corpus: documents, tokens, duplicates, split overlap, windows',
  positionals: configArgument,
  options: {
    examples: {
      type: 'number',
      default: 1,
      describe: 'Number of training windows to show, with their shifted targets; 0: no example at all',
    },
    ...setOption,
    ...jsonOption,
  },
  examples: [
    ['clm data check configs/moby-dick.yaml', 'Check the corpus of a config'],
    [
      'clm data check my.yaml --set "corpus.sources=[{path: chats.jsonl, field: body}]"',
      'Check another source with the same config',
    ],
  ],
});

const tokenizerOption = {
  tokenizer: {
    type: 'string',
    demandOption: true,
    describe: 'tokenizer.json, or a folder that contains one, e.g. a run or a checkpoint',
  },
} as const;

export const tokenizerTrainUsage = defineUsage({
  command: 'tokenizer train',
  describe: 'Train a byte-pair encoding on texts',
  options: {
    sources: {
      type: 'string',
      array: true,
      demandOption: true,
      describe: 'Files, folders or globs of UTF-8 text',
    },
    'vocabulary-size': {
      type: 'number',
      demandOption: true,
      describe: 'Number of tokens, including the 256 bytes and <|endoftext|>',
    },
    output: { type: 'string', demandOption: true, describe: 'tokenizer.json to create' },
    ...jsonOption,
    ...quietOption,
  },
  examples: [
    [
      'clm tokenizer train --sources texts/ --vocabulary-size 4096 --output tokenizer.json',
      'For a config with tokenizer: { kind: file, path: tokenizer.json }',
    ],
  ],
});

export const tokenizerEncodeUsage = defineUsage({
  command: 'tokenizer encode',
  describe: 'Encode text as token ids',
  options: {
    ...tokenizerOption,
    ...inputOptions,
    ...jsonOption,
    'special-tokens': {
      type: 'boolean',
      default: false,
      describe: 'Encode text that spells a special token as that token',
    },
  },
  examples: [
    ['clm tokenizer encode --tokenizer runs/moby-dick --text "Call me"', 'Print ids separated by spaces'],
    ['clm tokenizer encode --tokenizer tokenizer.json --json < a.txt', 'Print {"tokenIds":[…],"tokens":N}'],
  ],
});

export const tokenizerDecodeUsage = defineUsage({
  command: 'tokenizer decode',
  describe: 'Decode token ids from stdin to text',
  options: {
    ...tokenizerOption,
    ...jsonOption,
    'special-tokens': {
      type: 'boolean',
      default: false,
      describe: 'Spell out special tokens; by default they are omitted',
    },
  },
  examples: [
    ['echo 7 14 9 | clm tokenizer decode --tokenizer runs/moby-dick', 'Decode ids'],
    [
      'clm tokenizer encode … --json | clm tokenizer decode --tokenizer runs/moby-dick',
      'Decode the output of encode: prints the same text again',
    ],
  ],
});

export const tokenizerStatsUsage = defineUsage({
  command: 'tokenizer stats',
  describe: 'Count the tokens of a text and measure the speed of encoding it',
  options: { ...tokenizerOption, ...inputOptions, ...jsonOption },
  examples: [
    ['clm tokenizer stats --tokenizer runs/moby-dick --file a.txt', 'Print bytes per token and megabytes per second'],
  ],
});
