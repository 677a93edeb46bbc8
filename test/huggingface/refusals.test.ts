import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/checkpoint/checkpoint.ts';
import { parseResolvedConfig } from '../../src/config/load.ts';
import { tokenizerFromFile } from '../../src/data/tokenizers/tokenizerFile.ts';
import { wrongInput } from '../../src/errors.ts';
import { readConfigJson } from '../../src/huggingface/configJson.ts';
import { createImportedRun } from '../../src/huggingface/importedRun.ts';
import { importModel } from '../../src/huggingface/importModel.ts';
import { readSafetensors, writeSafetensors } from '../../src/tensors/safetensors.ts';
import { failureOf, useTemporaryFolder } from '../temporaryFolder.ts';
import { wrongInputMessage } from '../config/configFolder.ts';
import { fixture } from './fixtures.ts';

const folder = useTemporaryFolder();

describe('what is odd in a folder', () => {
  const changed = (name: string, change: (text: string) => string): string => {
    const directory = join(folder(), 'model');
    cpSync(fixture('llama'), directory, { recursive: true });
    writeFileSync(join(directory, name), change(readFileSync(join(directory, name), 'latin1')), 'latin1');
    return directory;
  };
  const imported = (directory: string) => importModel(directory, join(folder(), 'run'), { contextLength: null });
  const withEnd = (id: unknown) =>
    changed('config.json', (text) => JSON.stringify({ ...JSON.parse(text), eos_token_id: id }));

  it.each([
    [[2, 99999], 'eos_token_id: no token has the id 99999; it ends no completion'],
    ['</s>', 'eos_token_id is "</s>"; what is not a token id there ends no completion'],
  ])('eos_token_id %j is named', async (id, warning) => {
    expect((await imported(withEnd(id))).warnings).toContain(warning);
  });

  it('a byte order mark before the JSON does not matter', async () => {
    const directory = changed('config.json', (text) => `\xef\xbb\xbf${text}`);
    writeFileSync(
      join(directory, 'tokenizer.json'),
      `\uFEFF${readFileSync(join(directory, 'tokenizer.json'), 'utf8')}`,
    );
    expect((await imported(directory)).warnings).toEqual([]);
  });

  it('a page in the place of the weights is named', async () => {
    const { message } = await failureOf(imported(changed('model.safetensors', () => '<!DOCTYPE html>\nDenied')));
    expect(message).toContain('it is a text that begins with "<!DOCTYP"');
  });

  it('a run is not proposed to be resumed', async () => {
    const directory = changed('config.json', (text) => text);
    await imported(directory);
    const { message } = await failureOf(imported(directory));
    expect(message).toMatch(/already has a checkpoint\. Choose another directory with --run\.$/);
  });
});
const configOf = (name: string) =>
  JSON.parse(readFileSync(join(fixture(name), 'config.json'), 'utf8')) as Record<string, unknown>;
const read = (name: string, changes: Record<string, unknown>, contextLength: number | null = null) =>
  readConfigJson(JSON.stringify({ ...configOf(name), ...changes }), 'config.json', contextLength);
const refusal = (...args: Parameters<typeof read>) => wrongInputMessage(() => read(...args));

describe('a config.json that clm would compute differently is refused by naming the key', () => {
  it.each([
    ['gpt2', { model_type: 'gpt_neo' }, 'model_type is "gpt_neo"; clm imports gpt2'],
    ['llama', { model_type: 'lama' }, 'did you mean llama?'],
    ['gpt2', { activation_function: 'gelu' }, 'activation_function is "gelu"'],
    ['gpt2', { scale_attn_by_inverse_layer_idx: true }, 'scale_attn_by_inverse_layer_idx is true'],
    ['llama', { hidden_act: 'relu' }, 'hidden_act is "relu"'],
    ['smollm3', { no_rope_layers: [1, 0, 0] }, 'no_rope_layers is [1,0,0]; clm supports only a 0 at every n-th layer'],
    ['smollm3', { no_rope_layers: [0, 0, 0] }, 'no_rope_layers is [0,0,0]'],
    ['smollm3', { no_rope_layers: 'all' }, 'no_rope_layers is "all"'],
    ['llama', { no_rope_layers: [1, 0] }, 'no_rope_layers ([1,0]) is not known to clm'],
    ['llama', { logit_scale: 0.0625 }, 'logit_scale (0.0625) is not known to clm'],
    ['llama', { quantization_config: { bits: 4 } }, 'quantization_config is {"bits":4}'],
    ['llama', { rope_parameters: { rope_type: 'yarn', rope_theta: 500, factor: 4 } }, 'RoPE scaling is of type "yarn"'],
    [
      'llama',
      { rope_parameters: { rope_type: 'default', rope_theta: 500, beta_fast: 4 } },
      'beta_fast, which clm does not know',
    ],
    ['qwen3', { rope_scaling: { type: 'dynamic', factor: 2 } }, 'RoPE scaling is of type "dynamic"'],
    [
      'mistral',
      { sliding_window: 5 },
      'sliding_window is 5, shorter than the context of 7; import with --context-length 5 or less',
    ],
    ['mistral', { max_position_embeddings: 5000, sliding_window: undefined }, 'sliding_window is 4096'],
    ['qwen2', { layer_types: ['full_attention', 'sliding_attention'], sliding_window: 3 }, 'sliding_window is 3'],
    ['qwen2', { layer_types: ['linear_attention'] }, 'layer_types has "linear_attention"'],
    ['llama', { num_hidden_layers: 2.5 }, 'num_hidden_layers is 2.5; it must be a whole number'],
  ])('%s %j', (name, changes, message) => {
    expect(refusal(name, changes)).toContain(message);
  });

  it('lists all problems at once, and accepts keys without effect', () => {
    const message = refusal('gpt2', { activation_function: 'relu', mystery: 1 });
    expect(message).toContain('activation_function');
    expect(message).toContain('mystery');
    expect(read('gpt2', { summary_type: 'mean', use_cache: false, torch_dtype: 'float16' }).kind).toBe('gpt2');
  });
});

describe('config.json', () => {
  it('gets the defaults of transformers for keys that version 4 leaves out', () => {
    const { num_key_value_heads: _, ...rest } = configOf('mistral');
    const { model } = readConfigJson(
      JSON.stringify({ ...rest, num_attention_heads: 16, sliding_window: null }),
      'config.json',
      null,
    );
    expect(model.keyValueHeads).toBe(8);
    const { head_dim: __, rms_norm_eps: ___, ...llama } = configOf('llama');
    expect(readConfigJson(JSON.stringify(llama), 'config.json', null).model).toMatchObject({
      headSize: 5,
      normEpsilon: 1e-6,
    });
  });

  it('tells which layers have no positions, by a list or an interval', () => {
    const every = (changes: Record<string, unknown>) => read('smollm3', changes).model.nopeEveryLayers;
    expect(every({})).toBe(2);
    expect(every({ no_rope_layers: null, no_rope_layer_interval: 3 })).toBe(3);
    expect(every({ no_rope_layers: null, no_rope_layer_interval: 4 })).toBe(null); // of three layers none
    expect(every({ no_rope_layers: [1, 1, 0] })).toBe(3);
    expect(every({ no_rope_layers: [1, 1, 1] })).toBe(null);
    const { rope_parameters: _, ...rest } = configOf('smollm3');
    expect(readConfigJson(JSON.stringify(rest), 'config.json', null).model.ropeTheta).toBe(2e6);
  });

  it('names the tokens that end texts', () => {
    const end = (eos_token_id: unknown) => read('llama', { eos_token_id }).endTokens;
    expect([end(3), end([5, 7]), end(null), end(undefined)]).toEqual([[3], [5, 7], [], []]);
  });

  it('allows a shorter context with RoPE, but not with learned positions', () => {
    expect(read('mistral', { sliding_window: 5 }, 5).model.contextLength).toBe(5);
    expect(refusal('gpt2', {}, 5)).toContain('leave out --context-length');
    expect(refusal('llama', {}, 8)).toContain('--context-length 8 is longer than max_position_embeddings (7)');
  });
});

describe('a folder', () => {
  const copied = (name: string): string => {
    const directory = join(folder(), 'copy');
    cpSync(fixture(name), directory, { recursive: true });
    return directory;
  };
  const refused = async (directory: string): Promise<string> => {
    const run = join(folder(), 'run');
    const failure = await failureOf(importModel(directory, run, { contextLength: null }));
    expect(failure.kind).toBe('wrongInput');
    expect(existsSync(run)).toBe(false);
    return failure.message;
  };

  it.each(['config.json', 'tokenizer.json', 'model.safetensors'])(
    'without %s is refused, and nothing is written',
    async (file) => {
      const directory = copied('llama');
      rmSync(join(directory, file));
      expect(await refused(directory)).toContain(file);
    },
  );

  it('with an older kind of tokenizer file is refused with the command that makes tokenizer.json', async () => {
    const directory = copied('gpt2');
    rmSync(join(directory, 'tokenizer.json'));
    expect(await refused(directory)).toMatch(
      /vocab\.json and merges\.txt.*\n {2}cd .* && python3 -c "from transformers/,
    );
    writeFileSync(join(directory, 'vocab.json'), '{}');
    expect(await refused(directory)).toContain(
      'the folder has its tokenizer as vocab.json. transformers makes one of it',
    );
  });

  it('leaves no run if the disk is too small, or the weights cannot be read', async () => {
    const run = join(folder(), 'run');
    const base = await importModel(fixture('llama'), join(folder(), 'base'), { contextLength: null });
    const { configText, tokenizerText } = await openCheckpoint(base.checkpoint, { optimizer: false });
    const config = parseResolvedConfig(configText, join(base.checkpoint, 'config.yaml'));
    const tokenizer = tokenizerFromFile(tokenizerText, 'tokenizer.json');
    const record = { imported: { kind: 'llama' } };
    const made = (count: number, values: () => Float32Array) =>
      failureOf(createImportedRun(run, { config, tokenizer, record, model: [{ name: 'w', shape: [count], values }] }));
    const { kind, message } = await made(2 ** 52, () => new Float32Array(0));
    expect([kind, message]).toEqual(['environment', expect.stringContaining('or choose another place with --run.')]);
    const cannot = () => {
      throw wrongInput('damaged');
    };
    expect((await made(1, cannot)).message).toBe('damaged');
    expect(existsSync(run)).toBe(false);
  });

  it('that is a file, or that transformers would take for an adapter, is refused', async () => {
    const directory = copied('llama');
    expect(await refused(join(directory, 'model.safetensors'))).toContain('is a file; name the folder that it is in');
    writeFileSync(join(directory, 'adapter_config.json'), '{}');
    expect(await refused(directory)).toContain('has adapter_config.json');
  });

  it('whose names all have one prefix too many is refused in one line', async () => {
    const directory = copied('gpt2');
    const file = join(directory, 'model.safetensors');
    const tensors = await readSafetensors(file);
    await writeSafetensors(
      file,
      tensors.map((tensor) => ({ ...tensor, name: `_orig_mod.${tensor.name}` })),
    );
    const message = await refused(directory);
    expect(message.split('\n')).toHaveLength(2);
    expect(message).toContain(`the names of ${tensors.length} tensors begin with "_orig_mod."`);
  });

  it('with a missing shard or an index that points outside is refused', async () => {
    const directory = copied('mistral');
    const index = join(directory, 'model.safetensors.index.json');
    rmSync(join(directory, 'model-00003-of-00010.safetensors'));
    expect(await refused(directory)).toContain('model-00003-of-00010.safetensors is missing');
    writeFileSync(index, JSON.stringify({ weight_map: { 'model.norm.weight': '../../elsewhere.safetensors' } }));
    expect(await refused(directory)).toContain('not a file of its folder');
  });

  it('whose weights are not floating-point numbers is refused', async () => {
    const directory = copied('llama');
    const file = join(directory, 'model.safetensors');
    const bytes = readFileSync(file);
    const header = bytes.toString('latin1', 8, 8 + Number(bytes.readBigUInt64LE()));
    const at = header.indexOf('"F32"', header.indexOf('model.norm.weight'));
    bytes.write('"I32"', 8 + at, 'latin1');
    writeFileSync(file, bytes);
    expect(await refused(directory)).toContain('model.norm.weight has dtype I32; weights must be F32, F16, BF16');
  });

  it('whose config.json claims a model that clm cannot make is refused by that file', async () => {
    const directory = copied('llama');
    const write = (changes: Record<string, unknown>) =>
      writeFileSync(join(directory, 'config.json'), JSON.stringify({ ...configOf('llama'), ...changes }));
    write({ rope_parameters: { rope_type: 'linear', factor: 0.5, rope_theta: 500 } });
    expect(await refused(directory)).toMatch(/config\.json describes a model that clm cannot make: model\.ropeScaling/);
    write({ num_hidden_layers: 1e9 });
    expect(await refused(directory)).toContain('config.json has 1000000000 layers, the files only ');
  });

  it('whose tensors do not match its config.json is refused', async () => {
    const directory = copied('llama');
    const path = join(directory, 'config.json');
    writeFileSync(path, JSON.stringify({ ...configOf('llama'), intermediate_size: 31, num_hidden_layers: 1 }));
    const message = await refused(directory);
    expect(message).toContain('model.layers.0.mlp.gate_proj.weight has shape (29, 30), config.json requires (31, 30)');
    expect(message).toContain('model.layers.1');
    expect(message).toContain('is not known to clm');
  });
});
