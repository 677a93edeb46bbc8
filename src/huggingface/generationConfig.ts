/**
 * generation_config.json: the end tokens and sampling settings that transformers generates with, and vLLM and others
 * by default. They become defaults of the run (`samples`), and are written back by the export.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { configSchema, type Config } from '../config/schema.ts';
import { wrongInput } from '../errors.ts';
import { readBounded } from '../storage/boundedFile.ts';
import { endTokensOf } from './configJson.ts';

type SamplingKey = 'temperature' | 'topK' | 'topP' | 'minP' | 'repetitionPenalty';

/** Settings of `samples`, those that a file names. */
export type SamplingDefaults = Partial<Pick<Config['samples'], SamplingKey>>;

interface GenerationConfig {
  endTokens: number[];
  sampling: SamplingDefaults;
  /** What is not taken over, with its value. */
  warnings: string[];
}

/** clm's key, and the value of transformers that has no effect: null in clm, if its key can be null. */
const samplingKeys = {
  temperature: { key: 'temperature', noEffect: 1 },
  top_k: { key: 'topK', noEffect: 0 },
  top_p: { key: 'topP', noEffect: 1 },
  min_p: { key: 'minP', noEffect: 0 },
  repetition_penalty: { key: 'repetitionPenalty', noEffect: 1 },
} as const satisfies Record<string, { key: SamplingKey; noEffect: number }>;

/** What transformers samples with if a file says `do_sample: true` and nothing else. */
const samplingOfTransformers = { temperature: 1, top_k: 50 };

/** Keys that clm reads, and those that do not change which tokens are generated. */
const understood: ReadonlySet<string> = new Set(
  [
    'do_sample bos_token_id eos_token_id pad_token_id decoder_start_token_id use_cache cache_implementation',
    'cache_config use_mtp prefill_chunk_size compile_config disable_compile transformers_version',
    'num_assistant_tokens num_assistant_tokens_schedule assistant_confidence_threshold assistant_lookbehind',
    'target_lookbehind assistant_early_exit prompt_lookup_num_tokens max_matching_ngram_size is_assistant',
    'output_attentions output_hidden_states output_scores output_logits return_dict_in_generate',
    ...Object.keys(samplingKeys),
  ].flatMap((keys) => keys.split(' ')),
);

/** Values with which transformers does nothing, besides null, false and what is empty. */
const withoutEffect: Readonly<Record<string, unknown>> = {
  max_length: 20, // the default, which older versions wrote into every file
  min_length: 0,
  num_beams: 1,
  num_beam_groups: 1,
  num_return_sequences: 1,
  diversity_penalty: 0,
  length_penalty: 1,
  typical_p: 1,
  epsilon_cutoff: 0,
  eta_cutoff: 0,
  no_repeat_ngram_size: 0,
  encoder_no_repeat_ngram_size: 0,
  encoder_repetition_penalty: 1,
};

/**
 * A file that does not say `do_sample` leaves the temperature to clm. With `do_sample: true`, a temperature and a top_k
 * that it does not name are those of transformers, 1 and 50. With `do_sample: false` the temperature is 0.
 *
 * @throws wrongInput if the folder's generation_config.json is not a JSON object
 */
export function readGenerationConfig(directory: string): GenerationConfig {
  const path = join(directory, 'generation_config.json');
  if (!existsSync(path)) return { endTokens: [], sampling: {}, warnings: [] };
  const given = objectOf(path);
  const { do_sample: doSample, temperature } = given;
  const warnings: string[] = [];
  const warn = (text: string): void => void warnings.push(`generation_config.json: ${text}`);
  const sampling: Record<string, unknown> = {};
  for (const [name, { key, noEffect }] of Object.entries(samplingKeys)) {
    const value = given[name] ?? (doSample === true ? (samplingOfTransformers as Record<string, number>)[name] : null);
    if (value === undefined || value === null) continue;
    const own = value === noEffect && key !== 'temperature' && key !== 'repetitionPenalty' ? null : value;
    if (configSchema.shape.samples.safeParse({ [key]: own }).success) sampling[key] = own;
    else warn(`${name} is ${shown(value)}, which clm cannot sample with: not taken over`);
  }
  if (doSample === false) {
    if (typeof temperature === 'number' && temperature !== 0 && temperature !== 1)
      warn(`temperature is ${temperature}, but do_sample is false: took 0, as transformers does`);
    sampling['temperature'] = 0;
  }
  for (const [name, value] of Object.entries(given)) {
    if (name.startsWith('_') || understood.has(name) || hasNoEffect(name, value)) continue;
    warn(`${name} is ${shown(value)}: not taken over`);
  }
  return { endTokens: endTokensOf(given['eos_token_id']), sampling: sampling as SamplingDefaults, warnings };
}

/**
 * The keys of generation_config.json that `readGenerationConfig` turns into the same settings. None if all settings
 * are clm's defaults: then the file need not say anything, and transformers takes the likeliest token.
 */
export function generationSettings(samples: Config['samples']): Record<string, unknown> {
  const defaults = configSchema.shape.samples.parse({});
  if (Object.values(samplingKeys).every(({ key }) => samples[key] === defaults[key])) return {};
  const isGreedy = samples.temperature === 0;
  const named = Object.entries(samplingKeys).flatMap(([name, { key, noEffect }]): [string, number][] => {
    if (name === 'temperature') return isGreedy ? [] : [[name, samples.temperature]];
    // Without top_k, transformers would take 50.
    if (samples[key] === defaults[key] && (name !== 'top_k' || isGreedy)) return [];
    return [[name, samples[key] ?? noEffect]];
  });
  return { do_sample: !isGreedy, ...Object.fromEntries(named) };
}

function objectOf(path: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(readBounded(path, 1 << 20).toString('utf8'));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
  }
  throw wrongInput(`${path} is not a JSON object. Download it again.`);
}

const hasNoEffect = (name: string, value: unknown): boolean =>
  value === null ||
  value === false ||
  isDeepStrictEqual(value, {}) ||
  isDeepStrictEqual(value, []) ||
  (Object.hasOwn(withoutEffect, name) && value === withoutEffect[name]);

const shown = (value: unknown): string => JSON.stringify(value).slice(0, 60);
