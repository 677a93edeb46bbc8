/**
 * The table of a decoder's parameters: names, shapes, how each starts and whether it decays. Initialisation, optimizer,
 * checkpoint, counting and export all walk over it in this order. Loads nothing native, because the plan of a run needs
 * it too.
 *
 * C width · V vocabulary size · T context length · L layers
 */
import type { Config } from '../config/schema.ts';
import { randomStream } from '../random.ts';
import { elementCount, type NamedTensor } from '../tensors/tensors.ts';

export type ModelConfig = Config['model'];

/** How a parameter starts; `normal` has mean 0, `uniform` is within ±bound. */
type Initial =
  | { kind: 'normal'; deviation: number }
  | { kind: 'uniform'; bound: number }
  | { kind: 'constant'; value: number };

export interface ParameterSpec {
  /** The path of the part it belongs to, e.g. `blocks.3.attention.output`. */
  name: string;
  shape: number[];
  initial: Initial;
  /** Weight decay pulls matrices towards zero; vectors (gains, biases) are left alone. */
  decays: boolean;
  /** Takes part in a matrix product of the forward pass; FLOPs are counted by these. */
  multiplies: boolean;
  /** Columns of each map if one matrix holds several side by side, such as query, key and value. */
  parts?: readonly number[];
}

/** Whether the feed-forward has a second projection, whose activation multiplies the first. */
export const isGated = ({ activation }: Pick<ModelConfig, 'activation'>): boolean => activation === 'swiglu';

/** Rows of the embedding and of the output head. @param tokens of the tokenizer, which may be fewer (padding) */
export const vocabularyRows = ({ vocabularySize }: ModelConfig, tokens: number): number => vocabularySize ?? tokens;

/**
 * Every parameter in order. Matrices are (inputs, outputs), but for the output head, which is (V, C) as the embedding
 * it may be tied to. GPT-2's initialisation for both families: normal 0.02, the projections back into the residual
 * stream divided by √(2L) (Radford et al. 2019, section 2.3). A token embedding that is also the output head must not
 * start at N(0, 1): the untrained loss would be far above ln V.
 *
 * @param tokens of the tokenizer
 */
export function parameterTable(model: ModelConfig, tokens: number): ParameterSpec[] {
  const {
    family,
    width,
    layers,
    heads,
    keyValueHeads,
    headSize,
    feedForwardWidth,
    biases,
    feedForwardBiases: biased,
  } = model;
  const rows = vocabularyRows(model, tokens);
  const deviation = 0.02;
  const residual = deviation / Math.sqrt(2 * layers);
  const matrix = (name: string, rows: number, columns: number, spread = deviation): ParameterSpec => ({
    name,
    shape: [rows, columns],
    initial: { kind: 'normal', deviation: spread },
    decays: true,
    multiplies: true,
  });
  const vector = (name: string, size: number, value: number): ParameterSpec => ({
    name,
    shape: [size],
    initial: { kind: 'constant', value },
    decays: false,
    multiplies: false,
  });
  const linear = (
    name: string,
    inputs: number,
    outputs: number,
    { spread = deviation, biased = biases, parts }: { spread?: number; biased?: boolean; parts?: number[] } = {},
  ): ParameterSpec[] => [
    { ...matrix(`${name}.weight`, inputs, outputs, spread), ...(parts && { parts }) },
    ...(biased ? [vector(`${name}.bias`, outputs, 0)] : []),
  ];
  const norm = (name: string): ParameterSpec[] => [
    vector(`${name}.gain`, width, 1),
    ...(biases && family === 'gpt2' ? [vector(`${name}.bias`, width, 0)] : []),
  ];
  /** Of the input of a part of a block, of its output, or of both. */
  const normsOf = (part: string): ParameterSpec[] => [
    ...(model.normPlacement === 'after' ? [] : norm(`${part}Norm`)),
    ...(model.normPlacement === 'before' ? [] : norm(`${part}OutputNorm`)),
  ];
  const headNorms = (path: string): ParameterSpec[] =>
    ['queryNorm', 'keyNorm'].map((name) => vector(`${path}.${name}.gain`, headSize, 1));
  const block = (path: string, layer: number): ParameterSpec[] => [
    ...normsOf(`${path}.attention`),
    ...linear(`${path}.attention.queryKeyValue`, width, (heads + 2 * keyValueHeads) * headSize, {
      biased: model.queryKeyValueBiases,
      parts: [heads, keyValueHeads, keyValueHeads].map((count) => count * headSize),
    }),
    ...(model.queryKeyNorm ? headNorms(`${path}.attention`) : []),
    ...(valueEmbeddingOf(model, layer) === null ? [] : [vector(`${path}.attention.valueMix`, 2, 0.5)]),
    ...linear(`${path}.attention.output`, heads * headSize, width, { spread: residual }),
    ...normsOf(`${path}.feedForward`),
    ...(isGated(model) ? linear(`${path}.feedForward.gate`, width, feedForwardWidth, { biased }) : []),
    ...linear(`${path}.feedForward.up`, width, feedForwardWidth, { biased }),
    ...linear(`${path}.feedForward.down`, feedForwardWidth, width, { spread: residual, biased }),
  ];
  const tied = model.tiedEmbeddings;
  // They start as large as the values of an untrained layer, whose input is normalised.
  const valueEmbedding = (i: number): ParameterSpec => ({
    ...matrix(`embedding.values.${i}`, rows, keyValueHeads * headSize, deviation * Math.sqrt(width)),
    multiplies: false,
  });
  return [
    { ...matrix('embedding.tokens', rows, width), multiplies: tied },
    ...(family === 'gpt2' ? [{ ...matrix('embedding.positions', model.contextLength, width), multiplies: false }] : []),
    ...Array.from({ length: model.valueEmbeddings ?? 0 }, (_, i) => valueEmbedding(i)),
    ...Array.from({ length: layers }, (_, i) => block(`blocks.${i}`, i)).flat(),
    ...norm('finalNorm'),
    ...(tied ? [] : [matrix('head.weight', rows, width)]),
  ];
}

/** Whether a parameter is a matrix with a row for each token; if it is the output head, it is multiplied transposed. */
export const isVocabularyMatrix = (name: string): boolean =>
  name === 'embedding.tokens' || name === 'head.weight' || name.startsWith('embedding.values.');

/**
 * The value embedding that a layer (from 0) mixes into its values, as in modded-nanoGPT
 * (https://github.com/KellerJordan/modded-nanogpt); null if it has none.
 */
export function valueEmbeddingOf(
  { valueEmbeddings, layers }: Pick<ModelConfig, 'valueEmbeddings' | 'layers'>,
  layer: number,
): number | null {
  const count = valueEmbeddings ?? 0;
  if (layer < count) return layer;
  return layer >= layers - count ? layer - (layers - count) : null;
}

/** The values parameters start from: a pure function of the seed and each parameter's name. */
export function initialParameters(table: readonly ParameterSpec[], seed: number): NamedTensor[] {
  return table.map(({ name, shape, initial }) => {
    const values = new Float32Array(elementCount(shape));
    if (initial.kind === 'constant') values.fill(initial.value);
    const stream = randomStream(seed, `parameter ${name}`);
    if (initial.kind === 'normal')
      for (let i = 0; i < values.length; i++) values[i] = initial.deviation * stream.normal();
    if (initial.kind === 'uniform')
      for (let i = 0; i < values.length; i++) values[i] = initial.bound * (2 * stream.uniform() - 1);
    return { name, shape, values };
  });
}

/** Whether a parameter is a matrix inside the blocks: those that Muon updates, if it is the optimizer. */
export const isBlockMatrix = ({ name, shape }: ParameterSpec): boolean =>
  name.startsWith('blocks.') && shape.length === 2;

/** Logits (128 MB of them) that are held at a time; a larger (N, V) is computed in chunks of rows. */
const chunkElements = 2 ** 25;

/** All N rows of logits, or about equal chunks of them. @param V vocabulary size */
export function chunkRows(N: number, V: number, elements = chunkElements): number {
  const chunks = Math.min(N, Math.ceil((N * V) / elements));
  return Math.ceil(N / chunks);
}
