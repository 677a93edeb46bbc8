/**
 * Section `model`: the decoder. `family` chooses its components, the other keys their sizes and options. A key that is
 * null follows from the others and is filled in, so a complete config has no such key left.
 */
import { z } from 'zod';

const count = z.int().min(1);

/** RoPE for longer contexts than the model was pretrained on; the values come with its checkpoint. */
const ropeScaling = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('linear'),
    factor: z.number().min(1).describe('Divides every position.'),
  }),
  z.strictObject({
    kind: z.literal('llama3'),
    factor: z.number().min(1).describe('Multiplies the long wavelengths.'),
    lowFrequencyFactor: z
      .number()
      .gt(0)
      .describe('Wavelengths over originalContextLength divided by this are scaled by the whole factor.'),
    highFrequencyFactor: z
      .number()
      .gt(0)
      .describe('Wavelengths under originalContextLength divided by this are not scaled.'),
    originalContextLength: count.describe('Context length of the pretraining, in tokens.'),
  }),
]);

const keys = z.strictObject({
  family: z
    .enum(['gpt2', 'llama'])
    .default('gpt2')
    .describe(
      'Architecture. gpt2: learned positions, LayerNorm, GELU; llama: rotary positions (RoPE), RMSNorm, SwiGLU.',
    ),
  preset: z
    .string()
    .nullable()
    .default(null)
    .describe('Known model, e.g. gpt2-124m or llama-15m, that provides the keys not set here. null: none.'),
  layers: count.max(10_000).default(4).describe('Number of transformer blocks, each attention and feed-forward.'),
  heads: count
    .max(10_000)
    .default(4)
    .describe('Number of attention (query) heads per block; must divide width unless headSize is set.'),
  keyValueHeads: count
    .max(10_000)
    .nullable()
    .default(null)
    .describe(
      'Number of key/value heads (grouped-query attention), each shared by heads / keyValueHeads query heads; must ' +
        'divide heads. null: heads.',
    ),
  headSize: count
    .nullable()
    .default(null)
    .describe('Dimension of a head; must be even for family llama. null: width / heads.'),
  width: count.default(128).describe('Embedding dimension (hidden size).'),
  feedForwardWidth: count
    .nullable()
    .default(null)
    .describe(
      'Hidden dimension of the feed-forward layers. null: 4 · width; with swiglu 8/3 · width, rounded up to a ' +
        'multiple of 32.',
    ),
  activation: z
    .enum(['gelu', 'swiglu', 'squaredRelu'])
    .nullable()
    .default(null)
    .describe(
      'Activation of the feed-forward layers: gelu; swiglu, which has a third matrix, the gate; or squaredRelu, ' +
        'max(x, 0)². null: gelu for family gpt2, swiglu for llama.',
    ),
  vocabularySize: count
    .nullable()
    .default(null)
    .describe(
      'Rows of the token embedding and the output head, at least the number of tokens of the tokenizer; further rows ' +
        "are padding, trained but never sampled, e.g. 50304 for GPT-2's 50,257 tokens. null: the number of tokens.",
    ),
  contextLength: count
    .default(64)
    .describe('Context length in tokens: the length of a training window, and how far back a prediction can look.'),
  dropout: z.number().min(0).lt(1).default(0).describe('Dropout probability during training; ≥ 0 and < 1.'),
  biases: z.boolean().default(false).describe('Use biases in the linear layers and in LayerNorm.'),
  queryKeyValueBiases: z
    .boolean()
    .nullable()
    .default(null)
    .describe('Use biases in the query, key and value projections, as Qwen2 does. null: as biases.'),
  feedForwardBiases: z
    .boolean()
    .nullable()
    .default(null)
    .describe('Use biases in the feed-forward layers. null: as biases.'),
  queryKeyNorm: z
    .boolean()
    .default(false)
    .describe('Apply RMSNorm to the queries and keys of each head, as Qwen3 does.'),
  normEpsilon: z
    .number()
    .gt(0)
    .default(1e-5)
    .describe('Epsilon added to the variance (mean square) in the normalisation layers.'),
  normPlacement: z
    .enum(['before', 'sandwich', 'after'])
    .default('before')
    .describe(
      'Where the norms of attention and feed-forward are: before each; sandwich: before, and after it on what is ' +
        'added to the residual stream, as in Gemma 2; after: only there, as in OLMo 2.',
    ),
  valueEmbeddings: count
    .nullable()
    .default(null)
    .describe(
      'Number n of further token embeddings whose rows are mixed into the values of attention, as in modded-nanoGPT: ' +
        'in the first n layers one each, and the same in the last n; at most half of the layers. null: none.',
    ),
  nopeEveryLayers: z
    .int()
    .min(2)
    .nullable()
    .default(null)
    .describe(
      'Every n-th layer has no positions (NoPE): its queries and keys are not rotated, e.g. every 4th in SmolLM3; ' +
        'only for family llama. null: RoPE in every layer.',
    ),
  ropeTheta: z.number().gt(1).default(10_000).describe('Base of the RoPE wavelengths; only for family llama.'),
  ropeScaling: ropeScaling
    .nullable()
    .default(null)
    .describe(
      'Scaling of the RoPE wavelengths, { kind: linear, factor } or { kind: llama3, … }; only for family llama. ' +
        'null: none.',
    ),
  logitSoftCap: z
    .number()
    .gt(0)
    .nullable()
    .default(null)
    .describe(
      'Bounds the logits: c · tanh(logits / c), e.g. 30 as in Gemma 2; 15 gives the probabilities of ' +
        '30 · sigmoid(logits / 7.5), as in modded-nanoGPT. null: no bound.',
    ),
  tiedEmbeddings: z
    .boolean()
    .default(true)
    .describe('Share the weights of the token embedding and the output head (weight tying).'),
});

/** Fills in the values that follow from others. `headSize` is not a whole number if heads does not divide width. */
function complete(model: z.output<typeof keys>) {
  const { family, heads, width, biases } = model;
  const activation = model.activation ?? (family === 'gpt2' ? 'gelu' : 'swiglu');
  const gated = Math.ceil(Math.floor((8 * width) / 3) / 32) * 32;
  const feedForwardWidth = activation === 'swiglu' ? gated : 4 * width;
  return {
    ...model,
    activation,
    keyValueHeads: model.keyValueHeads ?? heads,
    headSize: model.headSize ?? width / heads,
    feedForwardWidth: model.feedForwardWidth ?? feedForwardWidth,
    queryKeyValueBiases: model.queryKeyValueBiases ?? biases,
    feedForwardBiases: model.feedForwardBiases ?? biases,
  };
}

export const model = keys.transform(complete).prefault({}).describe('Architecture and size of the decoder.');
