import { describe, expect, it } from 'vitest';
import { loadConfig, parseResolvedConfig } from '../../src/config/load.ts';
import { presets } from '../../src/config/presets.ts';
import { renderConfig } from '../../src/config/resolved.ts';
import { parameterTable } from '../../src/model/parameters.ts';
import { elementCount } from '../../src/tensors/tensors.ts';
import { corpus, useConfigFolder } from './configFolder.ts';

const folder = useConfigFolder();
const load = (text: string, ...set: string[]) => loadConfig(folder.write('a.yaml', corpus + text), { set });

describe('model.preset', () => {
  it('provides the keys that are not set, and becomes plain keys in the resolved config', () => {
    const config = load('model: { preset: smollm-135m, layers: 5 }', 'model.dropout=0.1');
    expect(config.model).toMatchObject({
      preset: null,
      family: 'llama',
      layers: 5,
      keyValueHeads: 3,
      headSize: 64,
      width: 576,
      dropout: 0.1,
    });
    expect(parseResolvedConfig(renderConfig(config), 'config.yaml')).toEqual(config);
  });

  it('can be set by a flag', () => {
    expect(load('', 'model.preset=qwen3-0.6b').model).toMatchObject({
      headSize: 128,
      queryKeyNorm: true,
      ropeTheta: 1e6,
    });
  });

  it('is refused with its location and the nearest preset if unknown', () => {
    expect(folder.refusal(`${corpus}model: { preset: gpt2-124 }`)).toMatch(
      /^a\.yaml:2:18: unknown model\.preset "gpt2-124"; did you mean gpt2-124m\? The presets are gpt2-124m, /,
    );
  });

  // The vocabularies and sizes that the models are published with.
  it.each([
    ['gpt2-124m', 50_257, 124_439_808],
    ['gpt2-350m', 50_257, 354_823_168],
    ['gpt2-774m', 50_257, 774_030_080],
    ['gpt2-1558m', 50_257, 1_557_611_200],
    ['llama-15m', 32_000, 15_191_712],
    ['llama-42m', 32_000, 41_689_600],
    ['llama-110m', 32_000, 109_529_856],
    ['smollm-135m', 49_152, 134_515_008],
    ['smollm-360m', 49_152, 361_821_120],
    ['smollm2-135m', 49_152, 134_515_008],
    ['tinyllama-1.1b', 32_000, 1_100_048_384],
    ['qwen2.5-0.5b', 151_936, 494_032_768],
    ['qwen3-0.6b', 151_936, 596_049_920],
  ])('%s has the number of parameters of its model', (preset, vocabularySize, parameters) => {
    const { model } = load(`model: { preset: ${preset} }`);
    const table = parameterTable(model, vocabularySize);
    expect(table.reduce((sum, { shape }) => sum + elementCount(shape), 0)).toBe(parameters);
  });

  it('has a test above for every name', () => {
    expect(Object.keys(presets).length).toBe(13);
  });
});

describe('sizes of the decoder that do not match', () => {
  it.each([
    [
      'model: { layers: 5, valueEmbeddings: 3 }',
      'a.yaml:2:38: model.valueEmbeddings (3) must be at most half of model.layers (5): each serves one of the first ' +
        'layers and one of the last',
    ],
    [
      'model: { heads: 4, keyValueHeads: 3 }',
      'a.yaml:2:35: model.keyValueHeads (3) must divide model.heads (4); e.g. model.keyValueHeads: 2',
    ],
    ['model: { family: llama, headSize: 5 }', expect.stringContaining('a.yaml:2:35: model.headSize (5) must be even')],
    [
      'model: { ropeTheta: 500 }',
      expect.stringContaining('a.yaml:2:21: model.ropeTheta has no effect for family gpt2'),
    ],
    ['model: { nopeEveryLayers: 4 }', expect.stringContaining('model.nopeEveryLayers has no effect for family gpt2')],
    ['model: { family: llama, ropeScaling: { kind: yarn } }', expect.stringContaining('model.ropeScaling')],
  ])('%s', (line, message) => {
    expect(folder.refusal(`${corpus}${line}\n`)).toEqual(message);
  });

  it('follow from the others if they are not set', () => {
    expect(load('model: { family: llama, width: 128, heads: 4, biases: true }').model).toMatchObject({
      keyValueHeads: 4,
      headSize: 32,
      feedForwardWidth: 352,
      queryKeyValueBiases: true,
    });
    expect(load('model: { width: 36, heads: 3 }').model).toMatchObject({ headSize: 12, feedForwardWidth: 144 });
  });
});
