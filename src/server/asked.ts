/** What a request asks for: from the fields of its body to the completions that are to be generated. */
import { ExpectedError } from '../errors.ts';
import { chatPrompt } from '../sampling/chatPrompt.ts';
import { encodePrompt, seedOfPrompt } from '../sampling/requests.ts';
import { completeSettings, largestSeed, type CompletionSettings } from '../sampling/settings.ts';
import { ApiError, badRequest } from './apiError.ts';
import { chatBody, completionBody, shown, type ChatBody, type CompletionBody } from './fields.ts';
import { chatMessagesOf } from './messages.ts';
import type { ServedModel } from './served.ts';

export interface AskedPrompt {
  text: string;
  tokenIds: readonly number[];
}

/** One completion of the answer; they are numbered as they lie in the list. */
export interface AskedChoice {
  prompt: AskedPrompt;
  settings: CompletionSettings;
}

export interface Asked {
  kind: 'completion' | 'chat';
  prompts: AskedPrompt[];
  /** n of each prompt. */
  choices: AskedChoice[];
  isStreamed: boolean;
  /** Whether a stream ends with the number of tokens. */
  includesUsage: boolean;
  /** Whether the answer repeats the prompt. */
  echoes: boolean;
  /** Log-probabilities, and of so many of the likeliest tokens; null: none. */
  logprobs: number | null;
  /** Whether nothing is generated: the prompt is repeated, and perhaps scored. */
  isEchoOnly: boolean;
}

/**
 * Reads bodies of requests. A prompt without a seed gets one made from that of the run and its number since the start,
 * as the prompts of one `clm sample` do.
 */
export function askedOf(model: ServedModel): Record<'completion' | 'chat', (body: unknown) => Asked> {
  let unseeded = 0;
  const seedOf = (body: ChatBody | CompletionBody): number =>
    body.seed ?? seedOfPrompt(model.defaults.seed, unseeded++);

  const choicesOf = (body: ChatBody | CompletionBody, prompts: AskedPrompt[], asked: AskedLengths): AskedChoice[] =>
    prompts.flatMap((prompt) => {
      const maxTokens = maxTokensOf(model, prompt, asked);
      refuseMoreThanDefault(body, asked, maxTokens);
      const settings = settingsOf(model, body, { ...asked, maxTokens });
      const seed = seedOf(body);
      const { n = 1 } = body;
      if (seed > largestSeed(n))
        throw badRequest(`'seed' must be at most ${largestSeed(n)} with n ${n}, not ${seed}.`, 'seed');
      return Array.from({ length: n }, (_, i) => ({ prompt, settings: { ...settings, seed: seed + i } }));
    });

  return {
    completion: (value) => {
      const body = completionBody(value);
      checkCommon(model, body);
      const { echo = false, logprobs, n = 1, best_of = 1, max_tokens } = body;
      if (best_of > n && best_of !== 1)
        throw badRequest("'best_of' is not supported; leave it out.", 'best_of', 'unsupported_parameter');
      const isEchoOnly = max_tokens === 0;
      if (isEchoOnly && !echo) throw badRequest("'max_tokens' may be 0 only with 'echo'.", 'max_tokens');
      const prompts = promptsOf(model, body);
      const asked = { param: 'prompt', maxTokens: max_tokens, logprobs: logprobs ?? null };
      return {
        ...{ kind: 'completion', prompts, choices: choicesOf(body, prompts, asked), ...streaming(body) },
        ...{ echoes: echo, logprobs: asked.logprobs, isEchoOnly },
      };
    },
    chat: (value) => {
      const body = chatBody(value);
      checkCommon(model, body);
      const { logprobs = false, top_logprobs, max_tokens, max_completion_tokens = max_tokens } = body;
      if (max_tokens !== undefined && max_tokens !== max_completion_tokens)
        throw badRequest("'max_tokens' and 'max_completion_tokens' differ; give one of them.", 'max_tokens');
      if (top_logprobs !== undefined && !logprobs)
        throw badRequest("'top_logprobs' needs 'logprobs': true.", 'top_logprobs');
      const prompts = [chatPromptOf(model, body)];
      const scored = logprobs ? (top_logprobs ?? 0) : null;
      const asked = { param: 'messages', maxTokens: max_completion_tokens, logprobs: scored };
      return {
        ...{ kind: 'chat', prompts, choices: choicesOf(body, prompts, asked), ...streaming(body) },
        ...{ echoes: false, logprobs: scored, isEchoOnly: false },
      };
    },
  };
}

/** How much is asked for. */
interface AskedLengths {
  /** The field that holds the prompt. */
  param: string;
  maxTokens: number | undefined;
  logprobs: number | null;
}

function checkCommon({ name }: ServedModel, { model, stream, stream_options }: ChatBody | CompletionBody): void {
  if (model !== undefined && model !== name)
    throw new ApiError(404, `The model ${shown(model)} does not exist; this server has ${shown(name)}.`, {
      ...{ param: 'model', code: 'model_not_found' },
    });
  if (stream_options !== undefined && stream !== true)
    throw badRequest("'stream_options' needs 'stream': true.", 'stream_options');
}

const streaming = ({ stream, stream_options }: ChatBody | CompletionBody) => ({
  isStreamed: stream === true,
  includesUsage: stream_options?.include_usage === true,
});

function promptsOf({ tokenizer, defaults }: ServedModel, { prompt = '' }: CompletionBody): AskedPrompt[] {
  const isNumbers = (value: unknown[]): value is number[] => typeof value[0] === 'number';
  const prompts = typeof prompt === 'string' ? [prompt] : isNumbers(prompt) ? [prompt] : prompt;
  if (prompts.length === 0) throw badRequest("'prompt' is an empty list.", 'prompt');
  return prompts.map((each, i) => {
    const name = prompts.length === 1 ? "'prompt'" : `'prompt[${i}]'`;
    if (typeof each === 'string')
      return refusing('prompt', () => ({ text: each, tokenIds: encodePrompt(each, defaults, tokenizer, name) }));
    if (each.length === 0) throw badRequest(`${name} is an empty list of token ids.`, 'prompt');
    const wrong = each.find((id) => id >= tokenizer.vocabularySize || tokenizer.unusedIds.includes(id));
    if (wrong !== undefined) throw badRequest(`${name}: no token has the id ${wrong}.`, 'prompt');
    return { text: tokenizer.decode(each, { specialTokens: true }), tokenIds: each };
  });
}

function chatPromptOf({ tokenizer, chatDate }: ServedModel, { messages }: ChatBody): AskedPrompt {
  if (messages === undefined) throw badRequest("'messages' is missing.", 'messages', 'missing_required_parameter');
  if (tokenizer.chat === null)
    throw badRequest('The model has no chat template; use /v1/completions.', 'messages', 'no_chat_template');
  const knowsDeveloper = tokenizer.chat.template.includes('developer');
  const checked = chatMessagesOf(messages, knowsDeveloper);
  return refusing('messages', () => chatPrompt(tokenizer, chatDate, checked));
}

/** @throws ApiError if the prompt, with the tokens that are asked for, is longer than the context */
function maxTokensOf({ contextLength, defaults }: ServedModel, prompt: AskedPrompt, lengths: AskedLengths): number {
  const { length } = prompt.tokenIds;
  const { param, maxTokens } = lengths;
  if (length + (maxTokens ?? 1) <= contextLength)
    return maxTokens ?? Math.min(defaults.maxTokens, contextLength - length);
  const asked = maxTokens === undefined ? '' : ` and ${maxTokens} in the completion`;
  throw badRequest(
    `This model's maximum context length is ${contextLength} tokens, but ${length + (maxTokens ?? 1)} are needed: ` +
      `${length} in the prompt${asked}. Shorten the prompt${maxTokens === undefined ? '' : ' or the completion'}.`,
    param,
    'context_length_exceeded',
  );
}

/** Without a word about a field that the request does not have. */
function refuseMoreThanDefault({ min_tokens = 0 }: ChatBody | CompletionBody, asked: AskedLengths, most: number): void {
  if (asked.maxTokens !== undefined || min_tokens <= most) return;
  throw badRequest(
    `'min_tokens' is ${min_tokens}, and without 'max_tokens' a completion of this prompt has at most ${most} tokens. ` +
      "Give 'max_tokens' too.",
    'min_tokens',
  );
}

const snakeCase = (key: string): string => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

function settingsOf(
  { defaults, tokenizer }: ServedModel,
  body: ChatBody | CompletionBody,
  { maxTokens, logprobs }: { maxTokens: number; logprobs: number | null },
): CompletionSettings {
  const given = {
    maxTokens: Math.max(1, maxTokens),
    minTokens: body.min_tokens,
    temperature: body.temperature,
    topK: body.top_k,
    topP: body.top_p === 0 ? Number.MIN_VALUE : body.top_p, // the likeliest token alone
    minP: body.min_p,
    repetitionPenalty: body.repetition_penalty,
    presencePenalty: body.presence_penalty,
    frequencyPenalty: body.frequency_penalty,
    logitBias: body.logit_bias,
    stop: body.stop,
    stopTokenIds: body.stop_token_ids,
    beyondContext: 'stop',
    logProbabilities: logprobs,
    samples: 1,
  };
  return refusing(undefined, () => completeSettings(defaults, given, tokenizer, (key) => `'${snakeCase(key)}'`));
}

/** Wrong input, as a refusal of the request. */
function refusing<Value>(param: string | undefined, run: () => Value): Value {
  try {
    return run();
  } catch (error) {
    if (error instanceof ExpectedError && error.kind === 'wrongInput') throw badRequest(error.message, param);
    throw error;
  }
}
