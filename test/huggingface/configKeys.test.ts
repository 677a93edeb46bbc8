import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readConfigJson } from '../../src/huggingface/configJson.ts';
import { wrongInputMessage } from '../config/configFolder.ts';
import { fixture } from './fixtures.ts';

type Keys = Record<string, unknown>;
const read = (keys: Keys, ignored: string[] = [], contextLength: number | null = null) =>
  readConfigJson(JSON.stringify(keys), 'config.json', contextLength, ignored);
const refusal = (...args: Parameters<typeof read>): string => wrongInputMessage(() => read(...args));

describe('RoPE in the spellings of transformers 4 and 5', () => {
  const lines = readFileSync(fixture('rope.jsonl'), 'utf8').trim().split('\n');
  const mixtures = lines.map((line) => JSON.parse(line) as { kind: string; keys: Keys; rope: Keys });

  it(`is taken as transformers takes it, in ${mixtures.length} mixtures`, () => {
    for (const { kind, keys, rope } of mixtures) {
      const { model } = read({ model_type: kind, max_position_embeddings: 64, ...keys });
      const scaling = {
        default: null,
        linear: { kind: 'linear', factor: rope['factor'] },
        llama3: {
          kind: 'llama3',
          factor: rope['factor'],
          lowFrequencyFactor: rope['low_freq_factor'],
          highFrequencyFactor: rope['high_freq_factor'],
          originalContextLength: rope['original_max_position_embeddings'],
        },
      }[rope['rope_type'] as 'default'];
      expect(model, JSON.stringify(keys)).toMatchObject({ ropeTheta: rope['rope_theta'], ropeScaling: scaling });
    }
  });

  it('is warned of exactly where two places differ', () => {
    const warnings = (keys: Keys) => read({ model_type: 'llama', ...keys }).warnings;
    const five = { rope_type: 'default', rope_theta: 500 };
    const linear = { rope_type: 'linear', factor: 2 };
    expect(warnings({ rope_theta: 500, rope_scaling: null, rope_parameters: five })).toEqual([]);
    expect(
      warnings({ rope_theta: 500, rope_scaling: linear, rope_parameters: { ...linear, ...five, ...linear } }),
    ).toEqual([]);
    expect(warnings({ rope_theta: 10_000, rope_parameters: five })).toEqual([
      'rope_theta is 10000, but 500 in rope_parameters: took 500, as transformers 5 does',
    ]);
    expect(warnings({ rope_scaling: linear, rope_parameters: five }).join()).toContain(
      'rope_scaling and rope_parameters differ: took rope_scaling {"rope_type":"linear","factor":2}',
    );
    expect(warnings({ rope_scaling: { ...linear, type: 'llama3' } }).join()).toContain('took rope_type');
  });

  it.each<[Keys, string]>([
    [{ rope_theta: null }, 'rope_theta is null'],
    [{ rope_theta: 500, rope_parameters: { rope_theta: null } }, 'rope_theta is null'],
    [{ rope_scaling: 'linear' }, 'rope_scaling is "linear"; it must be an object or null'],
    [{ rope_parameters: { full_attention: { rope_theta: 5 } } }, 'have full_attention, which clm does not know'],
    [{ rope_scaling: { type: 'yarn', factor: 4 } }, 'of type "yarn"'],
    [{ rope_parameters: { rope_theta: 500, partial_rotary_factor: 0.5 } }, 'partial_rotary_factor'],
    [
      {
        original_max_position_embeddings: 32,
        rope_scaling: { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 },
      },
      'original_max_position_embeddings is 32, but 2048 in rope_scaling',
    ],
  ])('is refused by name: %j', (keys, message) => {
    expect(refusal({ model_type: 'llama', ...keys })).toContain(message);
  });
});

describe('keys without effect', () => {
  it.each<[string, Keys]>([
    ['gpt2', { n_special: 0, predict_special_tokens: true, output_past: true, _num_labels: 1, hidden_size: 768 }],
    ['llama', { unsloth_fixed: true, unsloth_version: '2025.1', pretraining_tp: 2, max_sequence_length: 2048 }],
    ['llama', { _flash_attn_2_enabled: true, neftune_noise_alpha: null, auto_map: {}, activation: 'swiglu' }],
    ['llama', { temperature: 0.6, top_p: 0.9, num_beams: 4, bad_words_ids: null, min_length: 0, mystery: null }],
    ['qwen2', { use_mrope: false, attention_bias: false, layer_types: null, quantization_config: null }],
    ['mistral', { attention_bias: false, mlp_bias: false, sliding_window: null }],
    ['smollm3', { pretraining_tp: 2, max_window_layers: 28 }],
  ])('%s %j are passed over', (kind, keys) => {
    const { model } = read({ model_type: kind, sliding_window: kind === 'mistral' ? null : undefined });
    expect(read({ model_type: kind, ...keys }).model).toEqual(model);
  });

  it('that only other kinds read are named if they are set', () => {
    const read2 = read({ model_type: 'qwen2', attention_bias: true });
    expect(read2.model).toMatchObject({ biases: false, queryKeyValueBiases: true });
    expect(read2.warnings).toEqual([
      'attention_bias is true, which a qwen2 in transformers does not read: it has no effect',
    ]);
    const mistral = read({ model_type: 'mistral', sliding_window: null, attention_bias: true, mlp_bias: true });
    expect(mistral.model).toMatchObject({ biases: false, queryKeyValueBiases: false, feedForwardBiases: false });
    expect(mistral.warnings).toHaveLength(2);
    expect(read({ model_type: 'llama', sliding_window: 4 }).warnings).toHaveLength(1);
  });
});

it('a mistral slides whatever its other keys say, a qwen from the layer that its keys name', () => {
  const mistral = { model_type: 'mistral', max_position_embeddings: 64, sliding_window: 8 };
  expect(refusal(mistral)).toContain('sliding_window is 8');
  expect(refusal({ ...mistral, use_sliding_window: false })).toContain('sliding_window is 8');
  expect(refusal({ ...mistral, layer_types: ['full_attention'] })).toContain('sliding_window is 8');
  const qwen = { model_type: 'qwen2', max_position_embeddings: 64, use_sliding_window: true, num_hidden_layers: 3 };
  expect(refusal({ ...qwen, sliding_window: 8, max_window_layers: 2 })).toContain('sliding_window is 8');
  expect(read({ ...qwen, sliding_window: 8, max_window_layers: 3 }).model.layers).toBe(3);
  expect(refusal({ ...qwen, max_position_embeddings: 5000, max_window_layers: 0 })).toContain('sliding_window is 4096');
});

it('second names of GPT-2’s sizes count, unless they contradict the first', () => {
  const sizes = { hidden_size: 30, num_attention_heads: 5, num_hidden_layers: 2, max_position_embeddings: 9 };
  const expected = { width: 30, heads: 5, layers: 2, contextLength: 9 };
  expect(read({ model_type: 'gpt2', ...sizes }).model).toMatchObject(expected);
  expect(refusal({ model_type: 'gpt2', ...sizes, n_embd: 60 })).toContain('n_embd is 60 and hidden_size is 30');
});

it.each<[Keys, string]>([
  [{ model_type: 'qwen2', use_mrope: true }, 'use_mrope is true'],
  [{ model_type: 'llama', quantization_config: { bits: 4 } }, 'quantization_config is {"bits":4}'],
  [{ model_type: 'llama', auto_map: { AutoModelForCausalLM: 'own.Model' } }, 'auto_map is'],
  [{ model_type: 'llama', transformers_weights: 'other.safetensors' }, 'transformers_weights is'],
  [{ model_type: 'llama', attention_bias: 'yes' }, 'attention_bias is "yes"; it must be true or false'],
  [{ model_type: 'gpt2', tie_word_embeddings: 1 }, 'tie_word_embeddings is 1; it must be true or false'],
  [{ model_type: 'llama', num_key_value_heads: 5 }, 'num_key_value_heads (5) does not divide num_attention_heads (32)'],
  [{ model_type: 'llama', 'a b': 5 }, "import without them: --ignore-key 'a b'"],
  [{ model_type: 'smollm3', num_hidden_layers: 1e9, no_rope_layers: [1, 1, 1, 0] }, 'no_rope_layers is [1,1,1,0]'],
  [{ model_type: 'gpt2', rope_theta: 500 }, 'rope_theta (500) is not known to clm'],
])('is refused: %j', (keys, message) => {
  expect(refusal(keys)).toContain(message);
});

describe('--ignore-key', () => {
  const strange = {
    model_type: 'llama',
    logit_scale: 2,
    mystery: [1],
    rope_scaling: { type: 'linear', factor: 2, beta: 3 },
  };

  it('is the way on that a refusal names, for all keys at once', () => {
    const message = refusal(strange);
    expect(message).toContain(
      'import without them: --ignore-key rope_scaling.beta --ignore-key logit_scale --ignore-key mystery',
    );
    const { model, warnings } = read(strange, ['rope_scaling.beta', 'logit_scale', 'mystery']);
    expect(model.ropeScaling).toEqual({ kind: 'linear', factor: 2 });
    expect(warnings).toHaveLength(3);
    expect(warnings[1]).toBe('logit_scale is ignored, as --ignore-key says: clm does as if it were not there');
  });

  it('passes over use_mrope, quantization_config and auto_map too, and nothing that clm computes with', () => {
    expect(read({ model_type: 'qwen2', use_mrope: true }, ['use_mrope']).warnings).toHaveLength(1);
    for (const key of ['hidden_act', 'rope_theta', 'hidden_size']) {
      const keys = { model_type: 'llama', hidden_act: 'relu', rope_theta: 500, hidden_size: 4096 };
      expect(refusal(keys, [key])).toContain(`--ignore-key ${key}: clm computes with this key`);
    }
    expect(refusal({ model_type: 'llama' }, ['mistery'])).toContain('--ignore-key mistery: there is no such key');
  });
});
