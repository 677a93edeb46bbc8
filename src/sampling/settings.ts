/**
 * What can be asked of a completion: one schema for the command line, the lines of a prompts file and the
 * JavaScript API, with the same names and bounds.
 */
import { z } from 'zod';
import type { Config } from '../config/schema.ts';
import { wrongInput } from '../errors.ts';

const wholeFrom = (least: number) =>
  z
    .int()
    .min(least)
    .meta({ must: `a whole number of at least ${least}` });
const from = (least: number) =>
  z
    .number()
    .min(least)
    .meta({ must: `a number of at least ${least}` });
const texts = z
  .union([z.string().min(1), z.array(z.string().min(1))])
  .transform((value) => (typeof value === 'string' ? [value] : value));

/** Requests that are still held in memory at once. */
const mostSamples = 1_000_000;

const settingsSchema = z.strictObject({
  maxTokens: wholeFrom(1),
  minTokens: wholeFrom(0),
  temperature: from(0),
  topK: wholeFrom(1).nullable(),
  topP: z.number().gt(0).max(1).meta({ must: 'a number above 0, at most 1' }).nullable(),
  minP: z.number().min(0).max(1).meta({ must: 'a number from 0 to 1' }).nullable(),
  repetitionPenalty: z.number().gt(0).meta({ must: 'a number above 0' }),
  logitBias: z.record(z.string().regex(/^\d+$/), z.number()).meta({ must: 'an object of token ids and numbers' }),
  stop: texts.meta({ must: 'a text or a list of texts, none of them empty' }),
  stopTokenIds: z.array(z.int().min(0)).meta({ must: 'a list of token ids' }),
  beyondContext: z.enum(['slide', 'stop']).meta({ must: 'slide or stop' }),
  logProbabilities: z.int().min(0).max(1000).meta({ must: 'a whole number from 0 to 1000' }).nullable(),
  samples: z
    .int()
    .min(1)
    .max(mostSamples)
    .meta({ must: `a whole number from 1 to ${mostSamples}` }),
  seed: wholeFrom(0),
});

/** What can be asked, all of it with defaults. `stop` may be one text. */
export type SettingsInput = Partial<z.input<typeof settingsSchema>>;

/** How one completion is made. */
export interface CompletionSettings extends z.output<typeof settingsSchema> {
  /*
   * maxTokens          tokens drawn at most
   * minTokens          no end before so many: ending tokens are forbidden, stop texts not looked for
   * stop               texts that end the completion and are not part of it
   * stopTokenIds       tokens that end it, their text not part of it
   * beyondContext      slide: the oldest quarter of a full context is let go; stop: the completion ends there
   * logProbabilities   report ln p of each token, and so many likeliest alternatives; null: not
   * samples            completions of the prompt, the i-th (from 0) with seed + i
   */
}

/** The defaults of a run: its own `samples` section where it has the key, else what changes nothing. */
export const defaultSettings = ({ samples, seed }: Pick<Config, 'samples' | 'seed'>): CompletionSettings => ({
  maxTokens: samples.maxTokens,
  minTokens: 0,
  temperature: samples.temperature,
  topK: samples.topK,
  topP: null,
  minP: null,
  repetitionPenalty: 1,
  logitBias: {},
  stop: [],
  stopTokenIds: [],
  beyondContext: 'slide',
  logProbabilities: null,
  samples: 1,
  seed,
});

/**
 * Lays what was asked over the defaults.
 *
 * @param asked unchecked; keys that are undefined are left at the default
 * @param name how the asker spells a key, for messages, as (key) => `--${key}`
 * @throws wrong input naming the key and what must stand there
 */
export function completeSettings(
  defaults: CompletionSettings,
  asked: Record<string, unknown>,
  vocabularySize: number,
  name: (key: string) => string = (key) => key,
): CompletionSettings {
  const given = Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== undefined));
  const parsed = settingsSchema.partial().safeParse(given);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    if (issue.code === 'unrecognized_keys') {
      throw wrongInput(
        `${name(issue.keys[0]!)} is no setting of a completion; there are ${Object.keys(settingsSchema.shape).join(', ')}`,
      );
    }
    const key = String(issue.path[0]) as keyof typeof settingsSchema.shape;
    const schema = settingsSchema.shape[key] as z.ZodType;
    const inner = schema instanceof z.ZodNullable ? (schema.unwrap() as z.ZodType) : schema;
    throw wrongInput(
      `${name(key)} must be ${String(inner.meta()?.['must'])}, not ${typeof given[key] === 'number' ? String(given[key]) : JSON.stringify(given[key])}`,
    );
  }
  const settings = { ...defaults, ...(parsed.data as Partial<CompletionSettings>) };
  if (settings.minTokens > settings.maxTokens) {
    throw wrongInput(
      `${name('minTokens')} (${settings.minTokens}) is more than ${name('maxTokens')} (${settings.maxTokens})`,
    );
  }
  for (const [key, ids] of [
    ['logitBias', Object.keys(settings.logitBias).map(Number)],
    ['stopTokenIds', settings.stopTokenIds],
  ] as const) {
    const unknown = ids.find((id) => id >= vocabularySize);
    if (unknown !== undefined)
      throw wrongInput(`${name(key)}: ${unknown} is no token id; the vocabulary has 0 … ${vocabularySize - 1}`);
  }
  return settings;
}
