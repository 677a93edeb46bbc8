/** `clm sample`: completions of a prompt, streamed to stdout. */
import type { CommandModule } from 'yargs';
import { wrongInput } from '../errors.ts';
import { loadModel } from '../sampling/loadModel.ts';
import { complete } from '../sampling/completion.ts';
import { samplePrompt } from '../sampling/samplePrompt.ts';
import { harmless, note, printJson } from './output.ts';
import { applyVerbose, deviceOption, jsonOption, quietOption } from './options.ts';

interface SampleArguments {
  run: string;
  prompt?: string;
  maxTokens?: number;
  temperature?: number;
  topK?: number;
  seed?: number;
  samples: number;
  checkpoint: string;
  device?: 'auto' | 'cpu' | 'cuda';
  json: boolean;
  quiet: boolean;
  verbose: boolean;
}

export const sampleCommand: CommandModule<object, SampleArguments> = {
  command: 'sample <run>',
  describe: 'Complete a prompt with a trained model',
  builder: (parser) =>
    parser
      .positional('run', { type: 'string', demandOption: true, describe: 'Run directory or checkpoint folder' })
      .option('prompt', { type: 'string', describe: 'Text to continue (default: the config’s samples.prompt)' })
      .option('max-tokens', { type: 'number', describe: 'Tokens of a completion (default: samples.maxTokens)' })
      .option('temperature', { type: 'number', describe: '0 takes the likeliest token (default: samples.temperature)' })
      .option('top-k', { type: 'number', describe: 'Draw from the k likeliest tokens (default: samples.topK)' })
      .option('seed', { type: 'number', describe: 'Seed of the first completion; the next has seed + 1 (default: the config’s)' })
      .option('samples', { type: 'number', default: 1, describe: 'Number of completions' })
      .option('checkpoint', { type: 'string', default: 'last', describe: 'last, or the step of a checkpoint' })
      .options({ ...jsonOption, ...deviceOption, ...quietOption })
      .example('clm sample runs/moby-dick --prompt "Call me"', 'One completion')
      .example('clm sample runs/moby-dick --prompt "The whale" --samples 3 --json', 'Three, for a script') as never,
  handler: async (args) => {
    applyVerbose(args.verbose);
    const startMs = performance.now();
    checkNumbers(args);
    const model = await loadModel(args.run, { checkpoint: args.checkpoint, device: args.device });
    try {
      const { samples: defaults, seed: configSeed } = model.config;
      const prompt = args.prompt ?? samplePrompt(model.config, model.tokenizer);
      if (prompt === '') {
        throw wrongInput('--prompt is empty: there is nothing to continue. Give at least one character, for example --prompt " "');
      }
      const promptTokenIds = Array.from(model.tokenizer.encode(prompt));
      const { contextLength } = model.config.model;
      if (promptTokenIds.length > contextLength && !args.quiet) {
        note(`the prompt has ${promptTokenIds.length} tokens; the model sees the last ${contextLength}`);
      }
      for (let i = 0; i < args.samples; i++) {
        const seed = (args.seed ?? configSeed) + i;
        const settings = {
          maxTokens: args.maxTokens ?? defaults.maxTokens,
          temperature: args.temperature ?? defaults.temperature,
          topK: args.topK ?? defaults.topK,
          seed,
        };
        const beganMs = performance.now();
        let firstTokenMs: number | null = null;
        const tokenIds: number[] = [];
        const decoder = model.tokenizer.decoder();
        if (!args.json) process.stdout.write(`${i > 0 ? '\n---\n' : ''}${harmless(prompt)}`);
        for await (const tokenId of complete(model.nextLogits, promptTokenIds, settings)) {
          if (process.stdout.errored) return; // the reader has gone
          firstTokenMs ??= performance.now() - (i === 0 ? startMs : beganMs);
          tokenIds.push(tokenId);
          if (!args.json) process.stdout.write(harmless(decoder.write(tokenId)));
        }
        const tokensPerSecond = (tokenIds.length / (performance.now() - beganMs)) * 1000;
        if (!args.json) {
          process.stdout.write(`${harmless(decoder.end())}\n`);
          continue;
        }
        printJson({
          prompt,
          completion: model.tokenizer.decode(tokenIds),
          promptTokenIds,
          tokenIds,
          tokens: tokenIds.length,
          finishReason: 'length',
          seed,
          tokensPerSecond,
          firstTokenMs,
        });
      }
    } finally {
      model.close();
    }
  },
};

function checkNumbers(args: SampleArguments): void {
  const whole = (name: string, value: number | undefined, least: number): void => {
    if (value === undefined || (Number.isSafeInteger(value) && value >= least)) return;
    throw wrongInput(`--${name} must be a whole number of at least ${least}`);
  };
  whole('max-tokens', args.maxTokens, 1);
  whole('top-k', args.topK, 1);
  whole('samples', args.samples, 1);
  whole('seed', args.seed, 0);
  const { temperature } = args;
  if (temperature !== undefined && !(temperature >= 0 && temperature < Infinity)) {
    throw wrongInput('--temperature must be a number of at least 0');
  }
}
