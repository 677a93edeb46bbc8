/** `clm tokenizer train|encode|decode|stats`: tokenizers on their own, without a model. */
import { existsSync } from 'node:fs';
import type { CommandModule } from 'yargs';
import { writeFileDurably } from '../../../storage/durable.ts';
import { vocabularySizes } from '../../../config/schema.ts';
import { openCorpus } from '../../../data/files/openCorpus.ts';
import { sourceFiles } from '../../../data/files/sourceFiles.ts';
import { renderTokenizer, readTokenizerFile } from '../../../data/tokenizers/tokenizerFile.ts';
import { trainTokenizer } from '../../../data/tokens/trainTokenizer.ts';
import { wrongInput } from '../../../errors.ts';
import { jsonOption, quietOption } from '../../options.ts';
import { grouped, harmless, note, printJson, printResult, printWarning } from '../../terminal/output.ts';
import { inputOptions, readInput, parseTokenIds, wellFormed } from '../../textInput.ts';
import type { InputArguments } from '../../textInput.ts';

const tokenizerOption = {
  tokenizer: {
    type: 'string',
    demandOption: true,
    describe: 'A tokenizer.json, or a folder that holds one: a run, a checkpoint',
  },
} as const;
const specialTokensOption = (describe: string) =>
  ({ 'special-tokens': { type: 'boolean', default: false, describe } }) as const;

interface TrainArguments {
  sources: string[];
  vocabularySize: number;
  output: string;
  json: boolean;
  quiet: boolean;
}

const train: CommandModule<object, TrainArguments> = {
  command: 'train',
  describe: 'Train a byte-pair encoding on texts',
  builder: (parser) =>
    parser
      .option('sources', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'Files, folders or globs of UTF-8 text',
      })
      .option('vocabulary-size', {
        type: 'number',
        demandOption: true,
        describe: 'Tokens, the 256 bytes and <|endoftext|> among them',
      })
      .option('output', { type: 'string', demandOption: true, describe: 'The tokenizer.json to write' })
      .options({ ...jsonOption, ...quietOption })
      .example(
        'clm tokenizer train --sources texts/ --vocabulary-size 4096 --output tokenizer.json',
        'For tokenizer: { kind: file, path: tokenizer.json }',
      ) as never,
  handler: async ({ sources, vocabularySize, output, json, quiet }) => {
    const { least, most } = vocabularySizes;
    if (!Number.isSafeInteger(vocabularySize) || vocabularySize < least || vocabularySize > most) {
      throw wrongInput(`--vocabulary-size must be a whole number from ${least} to ${most}`);
    }
    if (existsSync(output))
      throw wrongInput(`${output} is there already. Remove it, or name another file with --output.`);
    const beganMs = performance.now();
    const files = sources.map((path) => ({ path }));
    await sourceFiles(files, '--sources'); // what is not there is an option here, and no key of a config
    const corpus = await openCorpus({ sources: files, validation: { tail: 0.5 }, shuffleTokens: 1024 });
    const { tokenizer, bytes, droppedWords } = await trainTokenizer(
      corpus,
      { startByte: 0, endByte: corpus.bytes },
      vocabularySize,
    );
    await writeFileDurably(output, renderTokenizer(tokenizer));
    const elapsedMs = Math.round(performance.now() - beganMs);
    if (tokenizer.vocabularySize < vocabularySize) {
      printWarning(
        `the text gives ${tokenizer.vocabularySize} tokens, not ${vocabularySize}: no pair of tokens is left`,
      );
    }
    if (droppedWords > 0 && !quiet) note(`${grouped(droppedWords)} rare words were left out to bound the memory`);
    if (json) printJson({ vocabularySize: tokenizer.vocabularySize, bytes, elapsedMs, output });
    else printResult(`${grouped(tokenizer.vocabularySize)} tokens from ${grouped(bytes)} bytes, into ${output}`);
  },
};

interface EncodeArguments extends InputArguments {
  tokenizer: string;
  specialTokens: boolean;
  json: boolean;
}

const encode: CommandModule<object, EncodeArguments> = {
  command: 'encode',
  describe: 'Text to token ids',
  builder: (parser) =>
    parser
      .options({ ...tokenizerOption, ...inputOptions, ...jsonOption })
      .options(specialTokensOption('Text that spells a special token becomes that token'))
      .example('clm tokenizer encode --tokenizer runs/moby-dick --text "Call me"', 'Ids, separated by spaces')
      .example(
        'clm tokenizer encode --tokenizer tokenizer.json --json < a.txt',
        '{"tokenIds":[…],"tokens":N}',
      ) as never,
  handler: async (args) => {
    const tokenizer = await readTokenizerFile(args.tokenizer);
    const { utf8, origin } = await readInput(args);
    const encoded = args.specialTokens
      ? tokenizer.encode(utf8.toString(), { specialTokens: true })
      : tokenizer.encodeUtf8(wellFormed(utf8, origin), origin);
    const tokenIds = Array.from(encoded);
    if (args.json) printJson({ tokenIds, tokens: tokenIds.length });
    else printResult(tokenIds.join(' '));
  },
};

interface DecodeArguments {
  tokenizer: string;
  specialTokens: boolean;
  json: boolean;
}

const decode: CommandModule<object, DecodeArguments> = {
  command: 'decode',
  describe: 'Token ids to text',
  builder: (parser) =>
    parser
      .options({ ...tokenizerOption, ...jsonOption })
      .options(specialTokensOption('Spell special tokens out; else they are no text'))
      .example('echo 7 14 9 | clm tokenizer decode --tokenizer runs/moby-dick', 'Ids from stdin')
      .example('clm tokenizer encode … --json | clm tokenizer decode …', 'Gives the text back') as never,
  handler: async ({ tokenizer: path, specialTokens, json }) => {
    const tokenizer = await readTokenizerFile(path);
    const { utf8 } = await readInput({});
    const text = tokenizer.decode(parseTokenIds(utf8.toString()), { specialTokens });
    if (json) printJson({ text });
    else process.stdout.write(harmless(text));
  },
};

interface StatsArguments extends InputArguments {
  tokenizer: string;
  json: boolean;
}

/** Encoded before the clock starts, so that the code is compiled; the words of the rest are still new. */
const warmUpBytes = 2_000_000;

const stats: CommandModule<object, StatsArguments> = {
  command: 'stats',
  describe: 'How many tokens a text has, and how fast it is encoded',
  builder: (parser) =>
    parser
      .options({ ...tokenizerOption, ...inputOptions, ...jsonOption })
      .example(
        'clm tokenizer stats --tokenizer runs/moby-dick --file a.txt',
        'Bytes per token, megabytes per second',
      ) as never,
  handler: async (args) => {
    const tokenizer = await readTokenizerFile(args.tokenizer);
    const { utf8, origin } = await readInput(args);
    wellFormed(utf8, origin);
    tokenizer.encodeChunk(
      utf8.subarray(0, warmUpBytes),
      { startsText: true, endsText: utf8.length <= warmUpBytes },
      origin,
    );
    const beganMs = performance.now();
    const tokens = tokenizer.encodeUtf8(utf8, origin).length;
    const elapsedMs = performance.now() - beganMs;
    const bytes = utf8.length;
    const bytesPerToken = tokens === 0 ? 0 : bytes / tokens;
    const megabytesPerSecond = bytes / 1000 / elapsedMs;
    if (args.json) return void printJson({ bytes, tokens, bytesPerToken, megabytesPerSecond });
    printResult(`${grouped(bytes)} bytes, ${grouped(tokens)} tokens, ${bytesPerToken.toFixed(3)} bytes per token`);
    printResult(`${megabytesPerSecond.toFixed(1)} MB/s`);
  },
};

export const tokenizerCommand: CommandModule = {
  command: 'tokenizer <action>',
  describe: 'Train a tokenizer, encode and decode with one',
  builder: (parser) =>
    parser
      .command(train as CommandModule<object, never>)
      .command(encode as CommandModule<object, never>)
      .command(decode as CommandModule<object, never>)
      .command(stats as CommandModule<object, never>)
      .demandCommand(1, 'train, encode, decode or stats?'),
  handler: () => {},
};
