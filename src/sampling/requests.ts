/** From prompts as people give them to requests that can be generated: checked, encoded, a request for each sample. */
import { createHash } from 'node:crypto';
import type { Config } from '../config/schema.ts';
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { wrongInput } from '../errors.ts';
import type { CompletionRequest } from './generate.ts';
import type { LoadedModel } from './loadModel.ts';
import { completeSettings, type CompletionSettings } from './settings.ts';

/** A prompt with what is asked of its completions alone. */
export interface AskedPrompt {
  prompt: string;
  /** Settings by name, unchecked; they lie over those of all prompts. */
  settings?: Record<string, unknown>;
  /** Handed through to the results. */
  id?: unknown;
  /** Where it stands, for messages: as `prompts.jsonl:17: `; empty for the command line. */
  place?: string;
}

interface RequestOptions {
  /** Of all prompts that do not say otherwise. */
  settings: CompletionSettings;
  tokenizer: Tokenizer;
  contextLength: number;
  /** How a prompt is called where it has no place of its own, for messages. */
  promptName?: string;
}

/**
 * The requests of one prompt, one for each sample, with seeds that count up.
 *
 * @throws wrong input where a setting is none, the prompt is empty or cannot be encoded, or does not fit a context
 *   beyond which the completion is to stop
 */
export function requestsOf(
  asked: AskedPrompt,
  { settings: common, tokenizer, contextLength, promptName = 'the prompt' }: RequestOptions,
): CompletionRequest[] {
  const { prompt, place = '' } = asked;
  const settings = completeSettings(common, asked.settings ?? {}, tokenizer.vocabularySize, (key) => `${place}${key}`);
  const promptTokenIds = encodePrompt(prompt, tokenizer, `${place}${promptName}`);
  if (settings.beyondContext === 'stop' && promptTokenIds.length > contextLength) {
    throw wrongInput(
      `${place}${promptName} has ${promptTokenIds.length} tokens, more than the context length of ${contextLength}. ` +
        'Shorten it, or let the context slide (beyondContext: slide).',
    );
  }
  return Array.from({ length: settings.samples }, (_, i) => ({
    prompt,
    promptTokenIds,
    settings: { ...settings, seed: settings.seed + i },
  }));
}

/** An empty prompt is the beginning of a document where the tokenizer has a token for that. */
function encodePrompt(prompt: string, tokenizer: Tokenizer, name: string): number[] {
  let tokenIds: number[];
  try {
    tokenIds = Array.from(tokenizer.encode(prompt));
  } catch (error) {
    throw wrongInput(`${name}: ${(error as Error).message}`, { cause: error });
  }
  if (tokenIds.length > 0) return tokenIds;
  if (tokenizer.endOfText !== null) return [tokenizer.endOfText];
  throw wrongInput(`${name} is empty: there is nothing to continue. Give at least one character, for example a space.`);
}

/** The default of samples.prompt, which a text of one line does not contain. */
const newline = '\n';

/**
 * samples.prompt; where it is the default and the vocabulary has no newline, the vocabulary's first token.
 *
 * @throws wrong input naming the key where the prompt is empty or cannot be encoded
 */
export function defaultPrompt({ samples }: Pick<Config, 'samples'>, tokenizer: Tokenizer): string {
  const { prompt } = samples;
  if (prompt === '') throw wrongInput('samples.prompt is empty: there is nothing to continue.');
  try {
    tokenizer.encode(prompt);
    return prompt;
  } catch (error) {
    if (prompt === newline) return tokenizer.decode([0]);
    throw wrongInput(`samples.prompt: ${(error as Error).message}`, { cause: error });
  }
}

/** Of the model's weights and how they are kept, the prompt's tokens, and every setting. */
export function fingerprintOf(
  { promptTokenIds, settings }: Pick<CompletionRequest, 'promptTokenIds' | 'settings'>,
  { modelSha256, weights }: Pick<LoadedModel, 'modelSha256' | 'weights'>,
): string {
  const { samples: _, ...own } = settings; // the seed says which of them this is
  const sorted = Object.entries(own).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256')
    .update(JSON.stringify([modelSha256, weights, promptTokenIds, sorted]))
    .digest('base64url')
    .slice(0, 16);
}
