/**
 * The config schema: every key with its type, default, unit and meaning. First row of the walk. The type `Config`,
 * the checks of `loadConfig` and the JSON Schema for editors all come from here, so a key is described once.
 *
 * Mappings are strict: an unknown key is a problem. `null` means "never" or "not given". A mapping that is left out
 * is filled with the defaults of its keys (`prefault({})`). A later kind of tokenizer, model, optimizer or schedule
 * that has the same keys joins the enum; one with keys of its own turns its mapping into a `z.discriminatedUnion`.
 */
import { z } from 'zod';

/** Steps of a run whose config gives neither `steps`, `tokens` nor `epochs`. */
export const defaultSteps = 2000;

const count = z.int().min(1);
const interval = count.nullable();

const source = z.strictObject({
  path: z
    .string()
    .min(1)
    .describe('A file, a folder (every file below it but hidden ones) or a glob of UTF-8 text; relative to the file it stands in.'),
});

const corpus = z
  .strictObject({
    sources: z.array(source).min(1).describe('Where the text comes from, in this order.'),
    validation: z
      .strictObject({
        tail: z
          .number()
          .gt(0)
          .lt(1)
          .default(0.1)
          .describe('The last fraction of the bytes of the corpus, kept for validation; > 0 and < 1.'),
      })
      .prefault({})
      .describe('The part of the corpus that is never trained on.'),
    shuffleTokens: z
      .int()
      .min(1024)
      .default(2_097_152)
      .describe('Tokens shuffled together at a time; bounds the memory of the shuffle. At least 1024.'),
  })
  .describe('The text to learn from.');

const tokenizer = z
  .strictObject({
    kind: z
      .enum(['characters', 'bytes'])
      .default('characters')
      .describe('characters: one token for each distinct character of the corpus; bytes: 256 tokens, any text.'),
  })
  .prefault({})
  .describe('How text becomes token ids.');

const model = z
  .strictObject({
    family: z.enum(['gpt2']).default('gpt2').describe('Architecture of the decoder.'),
    layers: count.max(10_000).default(4).describe('Blocks, each attention and feed-forward.'),
    heads: count.max(10_000).default(4).describe('Attention heads of a block; divides width.'),
    width: count.default(128).describe('Size of the vector of a position (embedding size).'),
    contextLength: count.default(64).describe('Positions of a window; how many tokens a prediction can look back on.'),
    dropout: z.number().min(0).lt(1).default(0).describe('Probability of dropping an activation in training.'),
    biases: z.boolean().default(false).describe('Biases in the linear and normalisation layers.'),
  })
  .prefault({})
  .describe('The decoder.');

const training = z
  .strictObject({
    microBatchSize: count.default(12).describe('Token windows in one micro-batch.'),
    microBatchesPerStep: count.default(1).describe('Micro-batches whose gradients are added up for one update.'),
    branches: z
      .int()
      .min(1)
      .max(64)
      .default(2)
      .describe(
        'Parts of a micro-batch that are computed side by side on a CPU, each with its share of the cores; part of what ' +
          'makes losses repeatable to the bit. A GPU takes one.',
      ),
    steps: count
      .nullable()
      .default(null)
      .describe(
        `Length of the run in updates. Give one of steps, tokens, epochs; without any it is ${defaultSteps} steps.`,
      ),
    tokens: count.nullable().default(null).describe('Length of the run in training tokens, rounded up to whole steps.'),
    epochs: z
      .number()
      .gt(0)
      .nullable()
      .default(null)
      .describe('Length of the run in passes over the training text, rounded up to whole steps; 0.5 is half a pass.'),
    precision: z
      .enum(['float32', 'bfloat16'])
      .default('float32')
      .describe('Number format of the matrix products; parameters, optimizer, softmax and loss stay float32.'),
  })
  .prefault({})
  .describe('Batches, length and precision of the run.');

const optimizer = z
  .strictObject({
    kind: z.enum(['adamw']).default('adamw').describe('Update rule.'),
    learningRate: z.number().min(0).default(1e-3).describe('Learning rate at the end of the warm-up, the highest one.'),
    betas: z
      .tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)])
      .default([0.9, 0.99])
      .describe('Decay of the running means of the gradient and of its square; each ≥ 0 and < 1.'),
    epsilon: z.number().gt(0).default(1e-8).describe('Added to the denominator of the update.'),
    weightDecay: z.number().min(0).default(0.1).describe('Decoupled weight decay, on matrices only.'),
    gradientClip: z
      .number()
      .gt(0)
      .nullable()
      .default(1)
      .describe('Largest global norm of the gradient; longer ones are scaled down to it. null = never.'),
  })
  .prefault({})
  .describe('The optimizer.');

const schedule = z
  .strictObject({
    kind: z.enum(['cosine']).default('cosine').describe('Linear warm-up, then half a cosine to finalLearningRate.'),
    warmupSteps: z.int().min(0).default(100).describe('Steps over which the learning rate rises from 0.'),
    finalLearningRate: z
      .number()
      .min(0)
      .default(1e-4)
      .describe('Learning rate at the end of the run; at most optimizer.learningRate.'),
  })
  .prefault({})
  .describe('The learning rate over the run.');

const evaluation = z
  .strictObject({
    everySteps: interval.default(250).describe('Steps between evaluations; null = only at the start and the end.'),
  })
  .prefault({})
  .describe('Loss on the whole validation text.');

const checkpoints = z
  .strictObject({
    everySteps: interval.default(500).describe('Steps between checkpoints; null = only at the end.'),
    keepLast: count.nullable().default(2).describe('Newest checkpoints that are kept; null = all.'),
  })
  .prefault({})
  .describe('What is saved, to continue or to sample from.');

const samples = z
  .strictObject({
    everySteps: interval.default(500).describe('Steps between samples; null = never.'),
    prompt: z.string().default('\n').describe('Text the samples continue.'),
    maxTokens: count.default(120).describe('Tokens of a sample.'),
    temperature: z.number().min(0).default(0.8).describe('Divides the logits before drawing; 0 = the likeliest token.'),
    topK: count.nullable().default(null).describe('Draw from the k likeliest tokens only; null = from all.'),
  })
  .prefault({})
  .describe('Completions written on the way.');

const reports = z
  .strictObject({
    everySteps: count.default(1).describe('Steps between the step records of metrics.jsonl.'),
  })
  .prefault({})
  .describe('What is reported on the way.');

/** Shape and ranges of a config whose `extends` are merged and whose `name` is filled in; see `loadConfig`. */
export const configSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9_-][A-Za-z0-9._-]*$/, "made of letters, digits, '.', '_' and '-', without a leading dot")
    .describe(
      "Name of the run: letters, digits, '.', '_', '-', no leading dot. Default: base name of the config file.",
    ),
  seed: z.int().min(0).max(0xffffffff).default(1337).describe('Seed of everything random; 0 … 4294967295.'),
  device: z
    .enum(['auto', 'cpu', 'cuda'])
    .default('auto')
    .describe('Where to compute; auto takes a GPU where the set-up found one.'),
  corpus,
  tokenizer,
  model,
  training,
  optimizer,
  schedule,
  evaluation,
  checkpoints,
  samples,
  reports,
});

/** A type with every property, at any depth, read-only; the loaded config is frozen. */
type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T;

/**
 * A complete config: every key has its value, paths are absolute, and exactly one of `training.steps`,
 * `training.tokens` and `training.epochs` is not null.
 */
export type Config = DeepReadonly<z.output<typeof configSchema>>;
