/** A model as clm's library needs it for steps of decoding; models with parts that it does not know have none. */
import { isRotated } from './positions.ts';
import { isGated, type ModelConfig, type ParameterSpec } from './parameters.ts';
import { ropeFrequencies } from './ropeFrequencies.ts';
import type { DecoderModel } from '../runtime/decoding/decoder.ts';

/** Keys of the config that the library takes into account, or that only matter in training. */
const knownKeys: ReadonlySet<string> = new Set<keyof ModelConfig>([
  'family',
  'preset',
  'layers',
  'heads',
  'keyValueHeads',
  'headSize',
  'width',
  'feedForwardWidth',
  'vocabularySize',
  'contextLength',
  'dropout',
  'biases',
  'queryKeyValueBiases',
  'feedForwardBiases',
  'queryKeyNorm',
  'normEpsilon',
  'nopeEveryLayers',
  'ropeTheta',
  'ropeScaling',
  'tiedEmbeddings',
  'activation',
  'normPlacement',
]);

/** In the order of the constructor in native/decoding/decoder.cc; not every model has all. */
const namesOfModel = ['embedding.tokens', 'embedding.positions', 'finalNorm.gain', 'finalNorm.bias', 'head.weight'];
const namesOfBlock = [
  ...['attentionNorm.gain', 'attentionNorm.bias', 'attention.queryKeyValue.weight', 'attention.queryKeyValue.bias'],
  ...['attention.queryNorm.gain', 'attention.keyNorm.gain', 'attention.output.weight', 'attention.output.bias'],
  ...['feedForwardNorm.gain', 'feedForwardNorm.bias', 'feedForward.gate.weight', 'feedForward.gate.bias'],
  ...['feedForward.up.weight', 'feedForward.up.bias', 'feedForward.down.weight', 'feedForward.down.bias'],
];

/** @returns null if the model has parts that the library does not know */
export function modelOfDecoder(model: ModelConfig, table: readonly ParameterSpec[]): DecoderModel | null {
  const { activation, normPlacement } = model;
  const isKnown =
    Object.entries(model).every(([key, value]) => knownKeys.has(key) || value === null || value === false) &&
    (activation === 'gelu' || activation === 'swiglu') &&
    normPlacement === 'before';
  const layers = Array.from({ length: model.layers }, (_, layer) => layer);
  const names = [...namesOfModel, ...layers.flatMap((i) => namesOfBlock.map((name) => `blocks.${i}.${name}`))];
  const specs = new Map(table.map((spec) => [spec.name, spec]));
  if (!isKnown || table.some(({ name }) => !names.includes(name))) return null;
  const tokens = specs.get('embedding.tokens')!;
  const named = names.map((name) => (specs.has(name) ? name : null));
  if (model.tiedEmbeddings) named[namesOfModel.indexOf('head.weight')] = tokens.name;
  const { family, layers: count, width, heads, keyValueHeads, headSize, feedForwardWidth, normEpsilon } = model;
  return {
    sizes: {
      ...{ layers: count, width, heads, keyValueHeads, headSize, feedForwardWidth },
      vocabularySize: tokens.shape[0]!,
      isCentred: family === 'gpt2' ? 1 : 0,
      isGated: isGated(model) ? 1 : 0,
      epsilon: normEpsilon,
    },
    weights: named,
    frequencies: family === 'llama' ? Float32Array.from(ropeFrequencies(model)) : null,
    isRotated: layers.map((layer) => family === 'llama' && isRotated(model, layer)),
  };
}
