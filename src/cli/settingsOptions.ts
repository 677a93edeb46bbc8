/** The options by which the command line says how completions are made; the schema of settings.ts checks them. */
import { wrongInput } from '../errors.ts';

export const settingsOptions = {
  'max-tokens': {
    type: 'number',
    describe: 'Tokens of a completion at most (default: the config’s samples.maxTokens)',
  },
  'min-tokens': { type: 'number', describe: 'No end before so many tokens' },
  temperature: { type: 'number', describe: '0 takes the likeliest token (default: samples.temperature)' },
  'top-k': { type: 'number', describe: 'Draw from the k likeliest tokens (default: samples.topK)' },
  'top-p': { type: 'number', describe: 'Draw from the likeliest tokens that together have at least this probability' },
  'min-p': { type: 'number', describe: 'Draw from tokens at least this share as likely as the likeliest' },
  'repetition-penalty': { type: 'number', describe: 'Above 1: tokens that were there become less likely' },
  'logit-bias': {
    type: 'string',
    array: true,
    nargs: 1,
    describe: 'Add to a token’s logit, as 17=-2.5; may be repeated',
  },
  stop: { type: 'string', array: true, nargs: 1, describe: 'Text that ends a completion; may be repeated' },
  'stop-token': { type: 'number', array: true, nargs: 1, describe: 'Token id that ends a completion; may be repeated' },
  'beyond-context': {
    choices: ['slide', 'stop'] as const,
    describe: 'A full context lets its oldest quarter go, or ends the text (default: slide)',
  },
  'log-probabilities': {
    type: 'number',
    describe: 'With --json: ln p of each token, and so many alternatives (0: none)',
  },
  seed: {
    type: 'number',
    describe: 'Seed of the first completion of a prompt; the next has seed + 1 (default: the config’s)',
  },
  samples: { type: 'number', describe: 'Completions of each prompt (default: 1)' },
} as const;

export interface SettingsArguments {
  maxTokens?: number;
  minTokens?: number;
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
  logitBias?: string[];
  stop?: string[];
  stopToken?: number[];
  beyondContext?: 'slide' | 'stop';
  logProbabilities?: number;
  seed?: number;
  samples?: number;
}

/** The settings that the command line asks for, by their names in settings.ts, not yet checked. */
export function askedSettings(args: SettingsArguments): Record<string, unknown> {
  const {
    maxTokens,
    minTokens,
    temperature,
    topK,
    topP,
    minP,
    repetitionPenalty,
    stop,
    beyondContext,
    logProbabilities,
    seed,
    samples,
  } = args;
  const logitBias = args.logitBias && Object.fromEntries(args.logitBias.map(parseBias));
  return {
    ...{ maxTokens, minTokens, temperature, topK, topP, minP, repetitionPenalty, logitBias, stop },
    ...{ stopTokenIds: args.stopToken, beyondContext, logProbabilities, seed, samples },
  };
}

/** How the command line spells a setting. */
export const optionName = (key: string): string =>
  `--${key === 'stopTokenIds' ? 'stop-token' : key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

function parseBias(text: string): [string, number] {
  const match = /^(\d+)=(-?[\d.]+(?:e-?\d+)?)$/i.exec(text);
  if (match === null) throw wrongInput(`--logit-bias is ${text}; it must be TOKEN=NUMBER, as 17=-2.5`);
  return [match[1]!, Number(match[2])];
}
