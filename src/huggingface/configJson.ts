/** Translates the config.json of a Hugging Face model, of transformers 4 or 5, into the `model` section of clm's. */
import { isDeepStrictEqual } from 'node:util';
import { distance } from 'fastest-levenshtein';
import type { Config } from '../config/schema.ts';
import { wrongInput } from '../errors.ts';
import { shellWord } from '../shellWord.ts';
import { activationNames } from './configKeys.ts';
import { configReader } from './configReader.ts';
import { modelTypes, type ModelType } from './modelTypes.ts';
import { readRope } from './ropeJson.ts';

type Activation = Config['model']['activation'];

export interface HuggingFaceModel {
  kind: ModelType;
  model: Config['model'];
  /** `eos_token_id`: none, one or several. */
  endTokens: number[];
  /** What the file seems to say and transformers does not do, and keys that were ignored on request. */
  warnings: string[];
}

/**
 * @param text of config.json
 * @param path for messages
 * @param contextLength a context length shorter than the model's own; null keeps the model's
 * @param ignored keys that clm does not know, to be treated as if they were not there
 * @throws wrongInput naming every key because of which clm would not compute the same as transformers
 */
export function readConfigJson(
  text: string,
  path: string,
  contextLength: number | null,
  ignored: readonly string[] = [],
): HuggingFaceModel {
  const given = parse(text, path);
  const kind = kindOf(given, path);
  const reader = configReader(given, kind, ignored);
  const { get, size, number, flag, problems, warnings } = reader;
  const vocabularySize = size('vocab_size');
  const model = kind === 'gpt2' ? gpt2Model() : llamaModel();
  const eos = given['eos_token_id'];
  const endTokens = endTokensOf(eos);

  const written = [eos].flat().filter((id) => (id ?? null) !== null);
  if (written.length > endTokens.length)
    warnings.push(`eos_token_id is ${JSON.stringify(eos)}; what is not a token id there ends no completion`);
  reader.finish();
  if (problems.length > 0) {
    const keys = reader.unknownKeys.map((key) => ` --ignore-key ${shellWord(key)}`).join('');
    const wayOn = keys && `\nIf they change nothing for a ${kind}, import without them:${keys}`;
    throw wrongInput(`${path} cannot be imported:\n  ${problems.join('\n  ')}${wayOn}`);
  }
  return { kind, model, endTokens, warnings };

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
      activation: activation('activation_function', ['gelu', 'squaredRelu']),
      contextLength: positions,
      dropout: 0,
      biases: true,
      queryKeyValueBiases: true,
      feedForwardBiases: true,
      queryKeyNorm: false,
      normPlacement: 'before',
      logitSoftCap: null,
      valueEmbeddings: null,
      normEpsilon: number('layer_norm_epsilon'),
      nopeEveryLayers: null,
      ropeTheta: 10_000,
      ropeScaling: null,
      tiedEmbeddings: flag('tie_word_embeddings'),
    };
  }

  function llamaModel(): Config['model'] {
    const width = size('hidden_size');
    const heads = size('num_attention_heads');
    const longest = size('max_position_embeddings');
    const wanted = contextLength ?? longest;
    if (wanted > longest)
      problems.push(`--context-length ${wanted} is longer than max_position_embeddings (${longest})`);
    const layers = size('num_hidden_layers');
    refuseShortWindow(wanted, layers);
    // The classes of mistral and qwen2 have or lack biases whatever the file says.
    const attentionBias = ['llama', 'arcee', 'qwen3', 'smollm3'].includes(kind) && flag('attention_bias');
    const groups = size('num_key_value_heads', heads);
    if (heads % groups !== 0)
      problems.push(`num_key_value_heads (${groups}) does not divide num_attention_heads (${heads})`);
    const headSize =
      get('head_dim') == null ? headSizeOf(width, heads, 'num_attention_heads', 'hidden_size') : size('head_dim');
    return {
      family: 'llama',
      preset: null,
      layers,
      heads,
      keyValueHeads: groups,
      headSize,
      width,
      vocabularySize,
      feedForwardWidth: size('intermediate_size'),
      // The class of Arcee has no gate, and the others have none without.
      activation: activation('hidden_act', kind === 'arcee' ? ['squaredRelu', 'gelu'] : ['swiglu']),
      contextLength: wanted,
      dropout: 0,
      biases: attentionBias,
      queryKeyValueBiases: attentionBias || kind === 'qwen2',
      feedForwardBiases: ['llama', 'arcee', 'smollm3'].includes(kind) && flag('mlp_bias'),
      queryKeyNorm: kind === 'qwen3',
      normPlacement: 'before',
      logitSoftCap: null,
      valueEmbeddings: null,
      normEpsilon: number('rms_norm_eps'),
      nopeEveryLayers: kind === 'smollm3' ? nopeEveryLayers(layers) : null,
      ...readRope(reader, longest),
      tiedEmbeddings: flag('tie_word_embeddings'),
    };
  }

  function activation(key: string, known: readonly Activation[]): Activation {
    const name = get(key);
    const found = known.find((each) => activationNames[each].some((own) => own === name));
    const supported = known.flatMap((each) => activationNames[each].map((own) => JSON.stringify(own)));
    if (found === undefined)
      problems.push(`${key} is ${JSON.stringify(name)}; clm supports only ${supported.join(' or ')}`);
    return found ?? known[0]!;
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
    const expected = Array.from({ length: Math.min(layers, flags.length) }, (_, i) =>
      Number(first === 0 || (i + 1) % first !== 0),
    );
    if (flags.length === layers && isDeepStrictEqual(flags, expected) && first !== 1) return first === 0 ? null : first;
    problems.push(
      `no_rope_layers is ${JSON.stringify(given)}; clm supports only a 0 at every n-th layer, ` +
        'e.g. 1, 1, 1, 0, 1, 1, 1, 0',
    );
    return null;
  }

  /** clm has no sliding window; one that is at least as long as the context changes nothing. */
  function refuseShortWindow(wanted: number, layers: number): void {
    if (kind === 'llama' || kind === 'arcee' || !hasSlidingLayers(layers)) return;
    const window = get('sliding_window');
    if (typeof window === 'number' && window >= wanted) return;
    const remedy = typeof window === 'number' && window >= 1 ? window : 'N';
    problems.push(
      `sliding_window is ${JSON.stringify(window)}, shorter than the context of ${wanted}; ` +
        `import with --context-length ${remedy} or less`,
    );
  }

  /** Whether any layer attends to a window, as the class of the model decides it. */
  function hasSlidingLayers(layers: number): boolean {
    const isSet = get('sliding_window') != null;
    if (kind === 'mistral') return isSet; // its class does not read the other keys
    const isUsed = flag('use_sliding_window') && isSet;
    const firstSliding = kind === 'smollm3' ? 0 : (get('max_window_layers') as number);
    const layerTypes = get('layer_types');
    if (!Array.isArray(layerTypes)) return isUsed && layers > firstSliding;
    const other = layerTypes.find((type) => type !== 'full_attention' && type !== 'sliding_attention');
    if (other !== undefined) problems.push(`layer_types has ${JSON.stringify(other)}, which clm does not support`);
    return layerTypes.includes('sliding_attention');
  }
}

/** The ids of `eos_token_id`: a number, a list, or nothing. */
export const endTokensOf = (eos: unknown): number[] =>
  [eos].flat().filter((id): id is number => Number.isInteger(id) && (id as number) >= 0);

function parse(text: string, path: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw wrongInput(`${path} is not JSON: ${(cause as Error).message}. Correct it, or download it again.`, { cause });
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
