/**
 * Reads the adapter_config.json of a LoRA adapter that PEFT saved. What clm would compute differently is refused by the
 * name of its key.
 */
import { z } from 'zod';
import { wrongInput } from '../../errors.ts';
import { shellWord } from '../../shellWord.ts';
import { fullyMatching, listed, valuesByPattern } from './modulePatterns.ts';

const names = z.array(z.string());
const rank = z.int().min(1, 'must be at least 1');
const alpha = z.number('must be a number').gt(0, 'must be above 0');
const layers = z.array(z.int().min(0));

/** The keys that clm reads, with PEFT's defaults. */
const keys = z.object({
  r: rank.default(8),
  lora_alpha: alpha.default(8),
  lora_dropout: z.number().min(0).lt(1).default(0),
  target_modules: z.union([z.string(), names]).nullish(),
  exclude_modules: z.union([z.string(), names]).nullish(),
  layers_to_transform: z.union([z.int().min(0), layers]).nullish(),
  layers_pattern: z.union([z.string(), names]).nullish(),
  rank_pattern: z.record(z.string(), rank).nullish(),
  alpha_pattern: z.record(z.string(), alpha).nullish(),
  use_rslora: z.boolean().default(false),
  base_model_name_or_path: z.string().nullish().catch(null),
});

/** Keys that must have one of these values or be missing: others change what is computed, or the base. */
const requiredValues: Readonly<Record<string, readonly unknown[]>> = {
  peft_type: ['LORA'],
  task_type: ['CAUSAL_LM', null],
  bias: ['none'],
  /** What only sets the values that training started from. Others change the base model, too. */
  init_lora_weights: [true, false, 'gaussian', 'eva', 'orthogonal'],
};

/** Keys that say where the file is from, or concern how the adapter was initialised or is loaded. */
const withoutEffect = new Set(
  [
    'peft_version revision auto_mapping inference_mode runtime_config megatron_core megatron_config',
    'loftq_config eva_config corda_config lora_ga_config qalora_group_size ensure_weight_tying',
    'fan_in_fan_out', // follows from the class of the module; PEFT corrects it
  ].flatMap((line) => line.split(' ')),
);

/** Keys that change what is computed: no advice to ignore them. */
const changing = new Set([
  ...['use_dora', 'layer_replication', 'modules_to_save', 'target_parameters', 'trainable_token_indices'],
  ...['lora_bias', 'alora_invocation_tokens'],
]);

export interface AdapterConfig {
  dropout: number;
  /** The name or path of the model that it was made for; null if it does not say. */
  baseName: string | null;
  /** Of the model's modules, those that are adapted: `α/r` or `α/√r`, and r. */
  modulesOf(names: readonly string[]): Map<string, { rank: number; scale: number }>;
}

/**
 * @param text of adapter_config.json
 * @param path for messages
 * @param ignored keys that clm does not know, to be treated as if they were not there
 * @throws wrongInput naming every key because of which clm would not compute the same as PEFT
 */
export function readAdapterConfig(text: string, path: string, ignored: readonly string[] = []): AdapterConfig {
  const given = objectOf(text, path);
  const unknown = Object.keys(given).filter((key) => !isKnown(key) && !isEmpty(given[key]));
  const problems = [
    ...Object.entries(requiredValues).flatMap(([key, values]) =>
      key in given && !values.includes(given[key])
        ? [`${key} is ${JSON.stringify(given[key])}; clm supports ${JSON.stringify(values).slice(1, -1)}`]
        : [],
    ),
    ...unknown
      .filter((key) => !ignored.includes(key))
      .map((key) => `${key} (${JSON.stringify(given[key])}) is not supported`),
  ];
  const parsed = keys.safeParse(given);
  for (const { path: place, message } of parsed.error?.issues ?? []) problems.push(`${place.join('.')}: ${message}`);
  if (!parsed.success || problems.length > 0) {
    throw wrongInput(`${path} cannot be imported:\n  ${problems.join('\n  ')}${wayOn(given, unknown)}`);
  }
  const { r, lora_alpha, rank_pattern, alpha_pattern, use_rslora, lora_dropout, base_model_name_or_path } = parsed.data;
  return {
    dropout: lora_dropout,
    baseName: base_model_name_or_path || null,
    modulesOf(names) {
      const targets = targetsOf(parsed.data, names, path);
      const ranks = valuesByPattern(rank_pattern ?? {}, names, `${path}: rank_pattern`);
      const alphas = valuesByPattern(alpha_pattern ?? {}, names, `${path}: alpha_pattern`);
      const settings = (name: string): { rank: number; scale: number } => {
        const rank = ranks.get(name) ?? r;
        return { rank, scale: (alphas.get(name) ?? lora_alpha) / (use_rslora ? Math.sqrt(rank) : rank) };
      };
      return new Map(targets.map((name) => [name, settings(name)]));
    },
  };
}

/** The modules that PEFT adapts, in the order of `all`. */
function targetsOf(config: z.output<typeof keys>, all: readonly string[], path: string): string[] {
  const { target_modules: targets, exclude_modules: excluded, layers_to_transform: layers } = config;
  const select = (chosen: string | readonly string[], key: string): Set<string> =>
    typeof chosen === 'string' ? fullyMatching(chosen, all, `${path}: ${key}`) : listed(chosen, all);
  const isEvery = typeof targets === 'string' && targets.toLowerCase() === 'all-linear';
  const chosen = isEvery ? new Set(all) : select(targets ?? [], 'target_modules');
  const left = select(excluded ?? [], 'exclude_modules');
  const kept = layers === null || layers === undefined ? null : new Set([layers].flat());
  const pattern = [config.layers_pattern ?? []].flat();
  return all.filter((name) => {
    if (!chosen.has(name) || left.has(name)) return false;
    if (kept === null || kept.size === 0) return true;
    const [, list, layer] = /\.([^.]*)\.(\d+)\./.exec(name)!;
    return kept.has(Number(layer)) && (pattern.length === 0 || pattern.includes(list!));
  });
}

const isKnown = (key: string): boolean =>
  Object.hasOwn(keys.shape, key) || Object.hasOwn(requiredValues, key) || withoutEffect.has(key);

/** Whether a value says that a feature is not used. */
const isEmpty = (value: unknown): boolean =>
  value === null || value === false || (typeof value === 'object' && Object.keys(value).length === 0);

/** What may help, as the end of a message. */
function wayOn(given: Readonly<Record<string, unknown>>, unknown: readonly string[]): string {
  if (given['peft_type'] !== 'LORA' || unknown.length === 0 || unknown.some((key) => changing.has(key)))
    return '\nPEFT itself can merge it into its model (merge_and_unload); import that model.';
  const options = unknown.map((key) => ` --ignore-key ${shellWord(key)}`).join('');
  return (
    '\nPEFT itself can merge it into its model (merge_and_unload); import that model. ' +
    `If the keys change nothing, import without them:${options}`
  );
}

function objectOf(text: string, path: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (cause) {
    throw wrongInput(`${path} is not JSON: ${(cause as Error).message}. Correct it, or download it again.`, { cause });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw wrongInput(`${path} is not a JSON object. Download it again.`);
}
