/** Turns prompts into completion requests: checks their settings, encodes them, and makes one request per sample. */
import { createHash } from 'node:crypto';
import type { Config } from '../config/schema.ts';
import type { ChatMessage } from '../data/chat/messages.ts';
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { ExpectedError, wrongInput } from '../errors.ts';
import { randomStream } from '../random.ts';
import { chatPrompt } from './chatPrompt.ts';
import type { CompletionRequest } from './generate.ts';
import type { LoadedModel } from './loadModel.ts';
import { completeSettings, type CompletionSettings } from './settings.ts';

/** A prompt with its own settings. */
export interface AskedPrompt {
  prompt: string;
  /** A chat to answer, in place of `prompt`. */
  messages?: readonly ChatMessage[];
  /** Unchecked; they override the settings of all prompts. */
  settings?: Record<string, unknown>;
  /** Copied to the results. */
  id?: unknown;
  /** For messages, e.g. `prompts.jsonl:17: `; empty for the command line. */
  location?: string;
}

interface RequestOptions {
  /** The settings of all prompts. */
  settings: CompletionSettings;
  tokenizer: Tokenizer;
  contextLength: number;
  /** The day that chat templates are told, as YYYY-MM-DD; null: today. */
  chatDate?: string | null | undefined;
  /** Number of the prompt among those of one call, from 0, the default; see `seedOfPrompt`. */
  promptIndex?: number | undefined;
  /** How messages call a prompt without a location. */
  promptName?: string;
}

/**
 * The requests of one prompt: one for each sample, with consecutive seeds that begin with that of the prompt (its own,
 * if it has one among its settings; else see `seedOfPrompt`).
 *
 * @throws wrong input if a setting is unknown or out of range, if the prompt is empty or cannot be encoded, or if it is
 *   longer than the context and `beyondContext` is `stop`
 */
export function requestsOf(
  asked: AskedPrompt,
  { settings: common, tokenizer, contextLength, chatDate, promptIndex = 0, promptName = 'the prompt' }: RequestOptions,
): CompletionRequest[] {
  const { prompt, messages, location = '' } = asked;
  const nameOf = (key: string): string => `${location}${key}`;
  const settings = completeSettings(common, asked.settings ?? {}, tokenizer, nameOf);
  const seed = asked.settings?.['seed'] === undefined ? seedOfPrompt(settings.seed, promptIndex) : settings.seed;
  const { text, tokenIds: promptTokenIds } = messages
    ? atPlace(location, () => chatPrompt(tokenizer, chatDate, messages))
    : { text: prompt, tokenIds: encodePrompt(prompt, settings, tokenizer, nameOf(promptName)) };
  if (settings.beyondContext === 'stop' && promptTokenIds.length > contextLength) {
    throw wrongInput(
      `${nameOf(promptName)} has ${promptTokenIds.length} tokens, more than the context length of ${contextLength}; ` +
        'shorten it or set beyondContext to slide',
    );
  }
  return Array.from({ length: settings.samples }, (_, i) => ({
    prompt: text,
    promptTokenIds,
    settings: { ...settings, seed: seed + i },
  }));
}

/**
 * The seed of the prompt with number `index`, so that equal prompts get different completions. That of the first prompt
 * is `seed` itself; the others are hashed, so that the prompts of two neighbouring seeds have none in common.
 */
export const seedOfPrompt = (seed: number, index: number): number =>
  index === 0 ? seed : randomStream(seed, 'prompt', index).uint32();

/** A refusal with the place of what is refused. */
function atPlace<Value>(location: string, run: () => Value): Value {
  try {
    return run();
  } catch (error) {
    if (error instanceof ExpectedError) throw wrongInput(`${location}${error.message}`, { cause: error });
    throw error;
  }
}

/** An empty prompt becomes the end-of-text token, after which a document begins, if the tokenizer has one. */
export function encodePrompt(
  prompt: string,
  { specialTokens }: Pick<CompletionSettings, 'specialTokens'>,
  tokenizer: Tokenizer,
  name: string,
): number[] {
  let tokenIds: number[];
  try {
    tokenIds = Array.from(tokenizer.encode(prompt, { isContinued: true, specialTokens }));
  } catch (error) {
    throw wrongInput(`${name}: ${(error as Error).message}`, { cause: error });
  }
  if (tokenIds.length > 0) return tokenIds;
  if (tokenizer.endOfText !== null) return [tokenizer.endOfText];
  throw wrongInput(`${name} is empty; give at least one character to continue, e.g. a space`);
}

/** The default of samples.prompt. A vocabulary made from a text of a single line does not contain it. */
const newline = '\n';

/**
 * The prompt of a run's samples: `samples.prompt`, or the first token of the vocabulary if that is the default newline
 * and the vocabulary has none.
 *
 * @throws wrong input naming the key if the prompt is empty or cannot be encoded
 */
export function defaultPrompt({ samples }: Pick<Config, 'samples'>, tokenizer: Tokenizer): string {
  const { prompt } = samples;
  if (prompt === '') throw wrongInput('samples.prompt is empty; give at least one character to continue');
  try {
    tokenizer.encode(prompt);
    return prompt;
  } catch (error) {
    if (prompt === newline) return tokenizer.decode([firstToken(tokenizer)]);
    throw wrongInput(`samples.prompt: ${(error as Error).message}`, { cause: error });
  }
}

/** The lowest id that a token has. */
const firstToken = ({ unusedIds }: Tokenizer): number => {
  const first = unusedIds.findIndex((id, i) => id !== i);
  return first < 0 ? unusedIds.length : first;
};

/**
 * A short hash of everything that determines a completion: the weights and their precision, the tokens of the prompt
 * and all settings. It tells whether a completion in a file is the one requested.
 */
export function fingerprintOf(
  { promptTokenIds, settings }: Pick<CompletionRequest, 'promptTokenIds' | 'settings'>,
  { modelSha256, weights }: Pick<LoadedModel, 'modelSha256' | 'weights'>,
): string {
  // Each sample has its own seed, and the tokens of a prompt say whether special ones were meant.
  const { samples: _, specialTokens: __, ...own } = settings;
  // The penalties came later: where they do nothing, completions that were made before stay valid.
  const isOld = ([key, value]: [string, unknown]): boolean => !/^(presence|frequency)Penalty$/.test(key) || value !== 0;
  const sorted = Object.entries(own)
    .filter(isOld)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256')
    .update(JSON.stringify([modelSha256, weights, promptTokenIds, sorted]))
    .digest('base64url')
    .slice(0, 16);
}
