/**
 * The settings of a completion. One schema serves the command line, prompt files and the JavaScript API, so names and
 * ranges are the same everywhere.
 */
import { z } from 'zod';
import type { Config } from '../config/schema.ts';
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { wrongInput } from '../errors.ts';

const wholeNumberFrom = (least: number) =>
  z
    .int()
    .min(least)
    .meta({ must: `a whole number of at least ${least}` });
const numberFrom = (least: number) =>
  z
    .number()
    .min(least)
    .meta({ must: `a number of at least ${least}` });
const texts = z
  .union([z.string().min(1), z.array(z.string().min(1))])
  .transform((value) => (typeof value === 'string' ? [value] : value));
const penalty = z.number().min(-2).max(2).meta({ must: 'a number from -2 to 2' });

/** The requests of all samples of a prompt are in memory at once. */
const maxSamples = 1_000_000;

const settingsSchema = z.strictObject({
  maxTokens: wholeNumberFrom(1),
  minTokens: wholeNumberFrom(0),
  temperature: numberFrom(0),
  topK: wholeNumberFrom(1).nullable(),
  topP: z.number().gt(0).max(1).meta({ must: 'a number above 0 and at most 1' }).nullable(),
  minP: z.number().min(0).max(1).meta({ must: 'a number from 0 to 1' }).nullable(),
  repetitionPenalty: z.number().gt(0).meta({ must: 'a number above 0' }),
  presencePenalty: penalty,
  frequencyPenalty: penalty,
  logitBias: z
    .record(z.string().regex(/^(0|[1-9]\d*)$/), z.number())
    .meta({ must: 'an object with token ids as keys and numbers as values' }),
  stop: texts.meta({ must: 'a text or a list of texts, none of them empty' }),
  stopTokenIds: z.array(z.int().min(0)).meta({ must: 'a list of token ids' }),
  specialTokens: z.boolean().meta({ must: 'true or false' }),
  beyondContext: z.enum(['slide', 'stop']).meta({ must: 'slide or stop' }),
  logProbabilities: z.int().min(0).max(1000).meta({ must: 'a whole number from 0 to 1000' }).nullable(),
  samples: z
    .int()
    .min(1)
    .max(maxSamples)
    .meta({ must: `a whole number from 1 to ${maxSamples}` }),
  seed: z
    .int()
    .min(0)
    .meta({ must: `a whole number from 0 to ${Number.MAX_SAFE_INTEGER}` }),
});

/** Of the first of so many samples: their seeds are consecutive, and numbers above 2⁵³ − 1 are not all exact. */
export const largestSeed = (samples: number): number => Number.MAX_SAFE_INTEGER - samples + 1;

/** Settings as given; all are optional, and `stop` may be a single text. */
export type SettingsInput = Partial<z.input<typeof settingsSchema>>;

/** The settings of one completion, complete and checked. */
export interface CompletionSettings extends z.output<typeof settingsSchema> {
  /*
   * maxTokens          maximum number of tokens
   * minTokens          before this many tokens, end tokens are forbidden and stop texts ignored
   * stop               texts that end the completion and are not included in it
   * stopTokenIds       tokens that end the completion; their text is not included
   * specialTokens      whether a prompt that spells special tokens means these tokens, rather than text
   * beyondContext      when the context is full: slide drops its oldest quarter, stop ends the completion
   * logProbabilities   report ln p of each token and this many of the likeliest alternatives; null: neither
   * samples            completions of the prompt; the i-th (from 0) uses seed + i
   */
}

/** The defaults of a run: the values of its `samples` section, and no effect for all other settings. */
export const defaultSettings = ({ samples, seed }: Pick<Config, 'samples' | 'seed'>): CompletionSettings => ({
  maxTokens: samples.maxTokens,
  minTokens: 0,
  temperature: samples.temperature,
  topK: samples.topK,
  topP: samples.topP,
  minP: samples.minP,
  repetitionPenalty: samples.repetitionPenalty,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: {},
  stop: [],
  stopTokenIds: [],
  specialTokens: false,
  beyondContext: 'slide',
  logProbabilities: null,
  samples: 1,
  seed,
});

/**
 * Overrides the defaults by the given settings.
 *
 * @param given unchecked; undefined values keep the default
 * @param name how messages spell a key, e.g. (key) => `--${key}`
 * @throws wrong input naming the key and its allowed values
 */
export function completeSettings(
  defaults: CompletionSettings,
  given: Record<string, unknown>,
  { vocabularySize, unusedIds }: Pick<Tokenizer, 'vocabularySize' | 'unusedIds'>,
  name: (key: string) => string = (key) => key,
): CompletionSettings {
  const defined = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const parsed = settingsSchema.partial().safeParse(defined);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    if (issue.code === 'unrecognized_keys') {
      const known = Object.keys(settingsSchema.shape).join(', ');
      throw wrongInput(`${name(issue.keys[0]!)} is not a setting of a completion; the settings are ${known}`);
    }
    const key = String(issue.path[0]) as keyof typeof settingsSchema.shape;
    const schema = settingsSchema.shape[key] as z.ZodType;
    const inner = schema instanceof z.ZodNullable ? (schema.unwrap() as z.ZodType) : schema;
    const value = defined[key];
    const shown = typeof value === 'number' ? String(value) : JSON.stringify(value); // NaN has no JSON
    throw wrongInput(`${name(key)} must be ${String(inner.meta()?.['must'])}, not ${shown}`);
  }
  const settings = { ...defaults, ...(parsed.data as Partial<CompletionSettings>) };
  if (settings.minTokens > settings.maxTokens) {
    throw wrongInput(
      `${name('minTokens')} (${settings.minTokens}) is greater than ${name('maxTokens')} (${settings.maxTokens})`,
    );
  }
  const mostSeed = largestSeed(settings.samples);
  if (settings.seed > mostSeed) {
    throw wrongInput(
      `${name('seed')} must be at most ${mostSeed} for ${settings.samples} samples, which use consecutive seeds ` +
        `up to ${Number.MAX_SAFE_INTEGER}, not ${settings.seed}`,
    );
  }
  for (const [key, ids] of [
    ['logitBias', Object.keys(settings.logitBias).map(Number)],
    ['stopTokenIds', settings.stopTokenIds],
  ] as const) {
    const unknown = ids.find((id) => id >= vocabularySize);
    if (unknown !== undefined)
      throw wrongInput(`${name(key)}: ${unknown} is not a token id; token ids are 0 … ${vocabularySize - 1}`);
    const gap = ids.find((id) => unusedIds.includes(id));
    if (gap !== undefined) throw wrongInput(`${name(key)}: no token has the id ${gap}; it is a gap in the vocabulary`);
  }
  return settings;
}
