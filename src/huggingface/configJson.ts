/**
 * Translates the config.json of a Hugging Face model into the `model` section of clm's config. Reads files of
 * transformers 4 (`rope_theta` and `rope_scaling`) and 5 (both inside `rope_parameters`).
 */
import { isDeepStrictEqual } from 'node:util';
import { distance } from 'fastest-levenshtein';
import type { Config } from '../config/schema.ts';
import { wrongInput } from '../errors.ts';
import { requiredValues, ignoredKeys, transformersDefaults, modelTypes, type ModelType } from './modelTypes.ts';

export interface HuggingFaceModel {
  kind: ModelType;
  model: Config['model'];
  /** `eos_token_id`, or the first of several; null if there is none. */
  endOfText: number | null;
}

/**
 * @param text of config.json
 * @param path for messages
 * @param contextLength a context length shorter than the model's own; null keeps the model's
 * @throws wrongInput naming every key because of which clm would not compute the same as transformers
 */
export function readConfigJson(text: string, path: string, contextLength: number | null): HuggingFaceModel {
  const given = parse(text, path);
  const kind = kindOf(given, path);
  const problems: string[] = [];
  const seen = new Set<string>();
  const get = (key: string): unknown => {
    seen.add(key);
    return Object.hasOwn(given, key) ? given[key] : transformersDefaults[kind][key];
  };
  const size = (key: string, fallback?: number): number => {
    const value = get(key) ?? fallback;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 1) return value;
    problems.push(`${key} is ${JSON.stringify(value)}; it must be a whole number of at least 1`);
    return 1;
  };
  const number = (key: string): number => {
    const value = get(key);
    if (typeof value === 'number' && value > 0 && value < Infinity) return value;
    problems.push(`${key} is ${JSON.stringify(value)}; it must be a number greater than 0`);
    return 1;
  };

  for (const [key, allowed] of Object.entries(requiredValues)) {
    const value = get(key);
    if (value === undefined || value === null || allowed.includes(value)) continue;
    if (isDeepStrictEqual(value, {})) continue; // no pruned heads
    problems.push(
      `${key} is ${JSON.stringify(value)}; clm supports only ${allowed.map((one) => JSON.stringify(one)).join(' or ')}`,
    );
  }
  const vocabularySize = size('vocab_size');
  const model = kind === 'gpt2' ? gpt2Model() : llamaModel();
  const eos = given['eos_token_id'];
  const endOfText = [eos].flat().find((id): id is number => typeof id === 'number') ?? null;

  for (const key of Object.keys(given)) {
    if (seen.has(key) || ignoredKeys.has(key)) continue;
    problems.push(
      `${key} (${JSON.stringify(given[key])?.slice(0, 60)}) is not known to clm and may change the results`,
    );
  }
  if (problems.length > 0) throw wrongInput(`${path} cannot be imported:\n  ${problems.join('\n  ')}`);
  return { kind, model, endOfText };

  function gpt2Model(): Config['model'] {
    const width = size('n_embd');
    const heads = size('n_head');
    const positions = size('n_positions');
    if (contextLength !== null && contextLength !== positions) {
      problems.push(
        `n_positions is ${positions}; learned positions fix the context length, so leave out --context-length`,
      );
    }
    return {
      family: 'gpt2',
      preset: null,
      layers: size('n_layer'),
      heads,
      keyValueHeads: heads,
      headSize: headSizeOf(width, heads, 'n_head', 'n_embd'),
      width,
      vocabularySize,
      feedForwardWidth: size('n_inner', 4 * width),
      contextLength: positions,
      dropout: 0,
      biases: true,
      queryKeyValueBiases: true,
      feedForwardBiases: true,
      queryKeyNorm: false,
      normEpsilon: number('layer_norm_epsilon'),
      nopeEveryLayers: null,
      ropeTheta: 10_000,
      ropeScaling: null,
      tiedEmbeddings: get('tie_word_embeddings') !== false,
    };
  }

  function llamaModel(): Config['model'] {
    const width = size('hidden_size');
    const heads = size('num_attention_heads');
    const longest = size('max_position_embeddings');
    const wanted = contextLength ?? longest;
    if (wanted > longest)
      problems.push(`--context-length ${wanted} is longer than max_position_embeddings (${longest})`);
    refuseShortWindow(wanted);
    const attentionBias = get('attention_bias') === true;
    const headDimension = get('head_dim');
    const layers = size('num_hidden_layers');
    return {
      family: 'llama',
      preset: null,
      layers,
      heads,
      keyValueHeads: size('num_key_value_heads', heads),
      headSize:
        headDimension == null ? headSizeOf(width, heads, 'num_attention_heads', 'hidden_size') : size('head_dim'),
      width,
      vocabularySize,
      feedForwardWidth: size('intermediate_size'),
      contextLength: wanted,
      dropout: 0,
      biases: attentionBias,
      queryKeyValueBiases: attentionBias || kind === 'qwen2',
      feedForwardBiases: get('mlp_bias') === true,
      queryKeyNorm: kind === 'qwen3',
      normEpsilon: number('rms_norm_eps'),
      nopeEveryLayers: kind === 'smollm3' ? nopeEveryLayers(layers) : null,
      ...rope(longest),
      tiedEmbeddings: get('tie_word_embeddings') === true,
    };
  }

  function headSizeOf(width: number, heads: number, headsKey: string, widthKey: string): number {
    if (width % heads !== 0) problems.push(`${headsKey} (${heads}) does not divide ${widthKey} (${width})`);
    return Math.max(1, Math.floor(width / heads));
  }

  /** From `no_rope_layers`, a list with 0 for each layer without RoPE, or else from the interval. */
  function nopeEveryLayers(layers: number): number | null {
    const interval = size('no_rope_layer_interval');
    const given = get('no_rope_layers');
    if (given == null) return interval <= layers ? interval : null;
    const flags = Array.isArray(given) ? given.slice(0, layers) : [];
    const first = flags.indexOf(0) + 1;
    const expected = Array.from({ length: layers }, (_, i) => Number(first === 0 || (i + 1) % first !== 0));
    if (isDeepStrictEqual(flags, expected) && first !== 1) return first === 0 ? null : first;
    problems.push(
      `no_rope_layers is ${JSON.stringify(given)}; clm supports only a 0 at every n-th layer, ` +
        'e.g. 1, 1, 1, 0, 1, 1, 1, 0',
    );
    return null;
  }

  /** clm has no sliding window; one that is at least as long as the context changes nothing. */
  function refuseShortWindow(wanted: number): void {
    const window = get('sliding_window');
    const used = get('use_sliding_window') ?? kind === 'mistral';
    const layerTypes = get('layer_types');
    const slides = Array.isArray(layerTypes)
      ? layerTypes.includes('sliding_attention')
      : used === true && typeof window === 'number';
    const unknown = Array.isArray(layerTypes)
      ? layerTypes.filter((type) => !['full_attention', 'sliding_attention'].includes(type as string))
      : [];
    if (unknown.length > 0) problems.push(`layer_types has ${JSON.stringify(unknown[0])}, which clm does not support`);
    if (slides && !(typeof window === 'number' && window >= wanted)) {
      problems.push(
        `sliding_window is ${JSON.stringify(window)}, shorter than the context of ${wanted}; ` +
          `import with --context-length ${typeof window === 'number' ? window : 'N'} or less`,
      );
    }
  }

  function rope(longest: number): Pick<Config['model'], 'ropeTheta' | 'ropeScaling'> {
    const parameters = {
      ...(get('rope_scaling') as object | null),
      ...(get('rope_parameters') as object | null),
    } as Record<string, unknown>;
    seen.add('rope_theta');
    const theta = given['rope_theta'] ?? parameters['rope_theta'] ?? transformersDefaults[kind]['rope_theta'];
    const ropeTheta = typeof theta === 'number' && theta > 1 ? theta : 10_000;
    if (ropeTheta !== theta)
      problems.push(`rope_theta is ${JSON.stringify(theta)}; it must be a number greater than 1`);
    const ropeType = parameters['rope_type'] ?? parameters['type'] ?? 'default';
    const known = new Set(['rope_theta', 'rope_type', 'type']);
    const value = (key: string, fallback?: number): number => {
      known.add(key);
      const found = parameters[key] ?? fallback;
      if (typeof found === 'number' && found > 0) return found;
      problems.push(`${key} of the RoPE scaling is ${JSON.stringify(found)}; it must be a number greater than 0`);
      return 1;
    };
    const ropeScaling = ((): Config['model']['ropeScaling'] => {
      if (ropeType === 'default') return null;
      if (ropeType === 'linear') return { kind: 'linear', factor: value('factor') };
      if (ropeType === 'llama3') {
        return {
          kind: 'llama3',
          factor: value('factor'),
          lowFrequencyFactor: value('low_freq_factor'),
          highFrequencyFactor: value('high_freq_factor'),
          originalContextLength: value('original_max_position_embeddings', longest),
        };
      }
      problems.push(`the RoPE scaling is of type ${JSON.stringify(ropeType)}; clm supports default, linear and llama3`);
      return null;
    })();
    if (parameters['partial_rotary_factor'] === 1) known.add('partial_rotary_factor');
    const rest = Object.keys(parameters).filter((key) => !known.has(key));
    if (rest.length > 0 && problems.length === 0)
      problems.push(`the RoPE parameters have ${rest.join(', ')}, which clm does not know`);
    return { ropeTheta, ropeScaling };
  }
}

function parse(text: string, path: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw wrongInput(`${path} is not JSON. Download it again.`, { cause });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw wrongInput(`${path} is not a JSON object. Download it again.`);
}

function kindOf(given: Record<string, unknown>, path: string): ModelType {
  const type = given['model_type'];
  const kind = modelTypes.find((known) => known === type);
  if (kind !== undefined) return kind;
  const near = modelTypes.find((known) => distance(known, String(type)) <= 1);
  throw wrongInput(
    `${path}: model_type is ${JSON.stringify(type)}; clm imports ${modelTypes.join(', ')} ` +
      `(SmolLM and SmolLM2 have type llama)${near === undefined ? '' : `; did you mean ${near}?`}`,
  );
}
