/**
 * Section `model`: the decoder. `family` says of which parts it is made, the other keys how large they are and which
 * switches are set. A key that is null follows from the others; in a complete config none of those is left.
 */
import { z } from 'zod';
import { count } from './numbers.ts';

/** Stretches RoPE to longer windows than the model was first trained on; the values of a checkpoint belong to it. */
const ropeScaling = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('linear'), factor: z.number().min(1) }),
  z.strictObject({
    kind: z.literal('llama3'),
    factor: z.number().min(1),
    lowFrequencyFactor: z.number().gt(0),
    highFrequencyFactor: z.number().gt(0),
    originalContextLength: count,
  }),
]);

const keys = z.strictObject({
  family: z
    .enum(['gpt2', 'llama'])
    .default('gpt2')
    .describe(
      'Architecture of the decoder. gpt2: learned positions, LayerNorm, GELU; llama: rotary positions (RoPE), RMSNorm, SwiGLU.',
    ),
  preset: z
    .string()
    .nullable()
    .default(null)
    .describe(
      'A known model, such as gpt2-124m or llama-15m, whose keys stand in for those not given here; null = none.',
    ),
  layers: count.max(10_000).default(4).describe('Blocks, each attention and feed-forward.'),
  heads: count
    .max(10_000)
    .default(4)
    .describe('Attention (query) heads of a block; divides width unless headSize is given.'),
  keyValueHeads: count
    .max(10_000)
    .nullable()
    .default(null)
    .describe(
      'Heads of the keys and values, each shared by heads / keyValueHeads queries; divides heads. null = heads.',
    ),
  headSize: count
    .nullable()
    .default(null)
    .describe('Size of the vectors of a head; even in family llama. null = width / heads.'),
  width: count.default(128).describe('Size of the vector of a position (embedding size).'),
  feedForwardWidth: count
    .nullable()
    .default(null)
    .describe(
      'Inner size of the feed-forward part. null = 4 · width; in family llama 8/3 · width, rounded up to a multiple of 32.',
    ),
  vocabularySize: count
    .nullable()
    .default(null)
    .describe(
      'Rows of the token embedding and of the output head, at least the tokens of the tokenizer; rows beyond them are ' +
        'padding, trained but never sampled, as 50304 for the 50,257 tokens of GPT-2. null = the tokens of the tokenizer.',
    ),
  contextLength: count.default(64).describe('Positions of a window; how many tokens a prediction can look back on.'),
  dropout: z.number().min(0).lt(1).default(0).describe('Probability of dropping an activation in training.'),
  biases: z.boolean().default(false).describe('Biases in the linear layers and in LayerNorm.'),
  queryKeyValueBiases: z
    .boolean()
    .nullable()
    .default(null)
    .describe('Biases in the projection to queries, keys and values, as Qwen2 has them. null = as biases.'),
  feedForwardBiases: z
    .boolean()
    .nullable()
    .default(null)
    .describe('Biases in the feed-forward part. null = as biases.'),
  queryKeyNorm: z.boolean().default(false).describe('RMSNorm of the queries and keys of every head, as Qwen3 has it.'),
  normEpsilon: z
    .number()
    .gt(0)
    .default(1e-5)
    .describe('Added to the variance (mean square) in the normalisation layers.'),
  nopeEveryLayers: z
    .int()
    .min(2)
    .nullable()
    .default(null)
    .describe(
      'Every so many layers one has no positions (NoPE): its queries and keys are not rotated, as in every fourth layer ' +
        'of SmolLM3; only family llama has it. null = every layer is rotated.',
    ),
  ropeTheta: z.number().gt(1).default(10_000).describe('Base of the wavelengths of RoPE; only family llama has it.'),
  ropeScaling: ropeScaling
    .nullable()
    .default(null)
    .describe('Stretching of the wavelengths of RoPE, { kind: linear, factor } or { kind: llama3, … }; null = none.'),
  tiedEmbeddings: z
    .boolean()
    .default(true)
    .describe('The output head is the token embedding, not a matrix of its own.'),
});

/** The values that follow from others. `headSize` is no whole number where heads does not divide width. */
function complete(model: z.output<typeof keys>) {
  const { family, heads, width, biases } = model;
  const feedForwardWidth = family === 'gpt2' ? 4 * width : Math.ceil(Math.floor((8 * width) / 3) / 32) * 32;
  return {
    ...model,
    keyValueHeads: model.keyValueHeads ?? heads,
    headSize: model.headSize ?? width / heads,
    feedForwardWidth: model.feedForwardWidth ?? feedForwardWidth,
    queryKeyValueBiases: model.queryKeyValueBiases ?? biases,
    feedForwardBiases: model.feedForwardBiases ?? biases,
  };
}

export const model = keys.transform(complete).prefault({}).describe('The decoder.');
