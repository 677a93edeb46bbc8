/**
 * The fields of requests: what they may hold, which are harmless, and which would change the answer but are not
 * supported. The latter are refused, unless they ask for what happens anyway.
 */
import { z } from 'zod';
import { badRequest } from './apiError.ts';

const number = (least: number, most = Infinity) =>
  z
    .number()
    .min(least)
    .max(most)
    .meta({ must: most === Infinity ? `a number of at least ${least}` : `a number from ${least} to ${most}` });
const whole = (least: number, most = Number.MAX_SAFE_INTEGER) =>
  z
    .int()
    .min(least)
    .max(most)
    .meta({ must: `a whole number from ${least} to ${most}` });
const flag = z.boolean().meta({ must: 'true or false' });
const tokenIds = z.array(z.int().min(0));

/** Every field may be left out, or be null, which means the same. */
const common = {
  model: z.string().meta({ must: 'the name of a model' }),
  n: whole(1, 128),
  seed: z
    .int()
    .min(0)
    .meta({ must: `a whole number from 0 to ${Number.MAX_SAFE_INTEGER}` }),
  temperature: number(0),
  top_p: number(0, 1),
  presence_penalty: number(-2, 2),
  frequency_penalty: number(-2, 2),
  logit_bias: z
    .record(z.string().regex(/^(0|[1-9]\d*)$/), z.number().min(-100).max(100))
    .meta({ must: 'an object with token ids as keys and numbers from -100 to 100 as values' }),
  stop: z
    .union([z.string().min(1), z.array(z.string().min(1)).max(16)])
    .meta({ must: 'a text or a list of at most 16 texts, none of them empty' }),
  stream: flag,
  stream_options: z
    .strictObject({ include_usage: z.boolean().nullish(), include_obfuscation: z.boolean().nullish() })
    .meta({ must: 'an object such as {"include_usage": true}' }),
  // Not OpenAI's, but known to other servers and to clm.
  top_k: whole(1),
  min_p: number(0, 1),
  repetition_penalty: z.number().gt(0).meta({ must: 'a number above 0' }),
  min_tokens: whole(0),
  stop_token_ids: tokenIds.meta({ must: 'a list of token ids' }),
};

const completionFields = {
  ...common,
  prompt: z
    .union([z.string(), z.array(z.string()), tokenIds, z.array(tokenIds)])
    .meta({ must: 'a text, a list of texts, a list of token ids, or a list of such lists' }),
  max_tokens: whole(0),
  logprobs: whole(0, 20),
  echo: flag,
  best_of: whole(1),
};

const chatFields = {
  ...common,
  messages: z.array(z.unknown()).min(1).meta({ must: 'a list of messages, and not empty' }),
  max_tokens: whole(1),
  max_completion_tokens: whole(1),
  logprobs: flag,
  top_logprobs: whole(0, 20),
};

type Fields = Readonly<Record<string, z.ZodType>>;
type Values<F extends Fields> = { [K in keyof F]?: z.output<F[K]> };

export type CompletionBody = Values<typeof completionFields>;
export type ChatBody = Values<typeof chatFields>;

/** They change no answer: names and notes for the operator, and what only a larger service has. */
const harmless = new Set([
  ...['user', 'metadata', 'store', 'service_tier', 'safety_identifier', 'prompt_cache_key', 'prompt_cache_retention'],
  'parallel_tool_calls',
]);

/** What each field that is not supported may hold: the value that asks for nothing. null is always allowed. */
const unsupported: Readonly<Record<string, (value: unknown) => boolean>> = {
  suffix: (value) => value === '',
  tools: isEmptyList,
  functions: isEmptyList,
  tool_choice: (value) => value === 'none' || value === 'auto',
  function_call: (value) => value === 'none' || value === 'auto',
  response_format: (value) => (value as { type?: unknown }).type === 'text',
  modalities: (value) => Array.isArray(value) && value.length === 1 && value[0] === 'text',
  audio: () => false,
  prediction: () => false,
  reasoning_effort: (value) => value === 'none',
  verbosity: (value) => value === 'medium',
  web_search_options: () => false,
};

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

/** @throws ApiError naming the field that is wrong, unknown or not supported */
export const completionBody = (body: unknown): CompletionBody => checked(completionFields, body);

/** @throws ApiError naming the field that is wrong, unknown or not supported */
export const chatBody = (body: unknown): ChatBody => checked(chatFields, body);

function checked<F extends Fields>(fields: F, body: unknown): Values<F> {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw badRequest('The body of the request must be a JSON object.');
  const values: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(body)) {
    const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (field !== undefined) {
      const parsed = field.nullish().safeParse(value);
      if (!parsed.success)
        throw badRequest(`'${name}' must be ${String(field.meta()?.['must'])}, not ${shown(value)}.`, name);
      if (parsed.data !== null) values[name] = parsed.data;
    } else if (Object.hasOwn(unsupported, name)) {
      if (value !== null && !unsupported[name]!(value))
        throw badRequest(`'${name}' is not supported; leave it out.`, name, 'unsupported_parameter');
    } else if (!harmless.has(name)) {
      throw badRequest(`Unknown parameter: '${name.slice(0, 100)}'.`, name.slice(0, 100), 'unknown_parameter');
    }
  }
  return values as Values<F>;
}

/** A value as it can be shown in a message. */
export function shown(value: unknown): string {
  let text: string;
  try {
    // JSON.parse makes Infinity of 1e400, which JSON.stringify would show as null.
    const withInfinity = (_: string, each: unknown): unknown =>
      typeof each === 'number' && !Number.isFinite(each) ? `\0${each}` : each;
    text = JSON.stringify(value, withInfinity).replaceAll(/"\\u0000(-?Infinity)"/g, '$1');
  } catch {
    return 'a deeply nested value'; // too deep for the stack
  }
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
