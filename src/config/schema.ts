/**
 * The config schema: every key with its type, default, unit and meaning. The type `Config`, the checks of `loadConfig`,
 * the JSON Schema for editors and docs/reference-keys.md all come from here, so a key is described once. The long
 * sections have a file each in sections/. Stage: config (src/README.md).
 *
 * Mappings are strict: an unknown key is a problem. `null` means "never" or "not set". A mapping that is left out is
 * filled with the defaults of its keys (`prefault({})`). A new kind of tokenizer, model, optimizer or schedule joins
 * the enum; a key that only some kinds have is null by default, and crossChecks.ts refuses it for the others.
 */
import { z } from 'zod';
import { namePattern, nameRule } from './runNames.ts';
import { adapter } from './sections/adapter.ts';
import { corpus } from './sections/corpus.ts';
import { model } from './sections/model.ts';
import { stepsOrShare } from './sections/stages.ts';
import { training } from './sections/training.ts';

const count = z.int().min(1);

/** Steps between two of something; null: never. */
const interval = count.nullable();

const start = z
  .strictObject({
    from: z
      .string()
      .min(1)
      .nullable()
      .default(null)
      .describe(
        'Run directory or checkpoint folder, trained or imported, whose weights, model and tokenizer the run starts ' +
          'with; step, optimizer state and data order start fresh. null: random initial weights.',
      ),
    weights: z
      .enum(['float32', 'bfloat16'])
      .default('float32')
      .describe(
        'With an adapter: number format in which the matrices of start.from are kept in memory during training. ' +
          'bfloat16 halves their memory and rounds them.',
      ),
  })
  .prefault({})
  .describe('Initial weights, for fine-tuning.');

/** Limits for byte-pair encoding: 256 bytes and end of text; no model of this kind has more than 2²⁰ tokens. */
export const vocabularySizes = { least: 257, most: 1_048_576 };

const tokenizer = z
  .strictObject({
    kind: z
      .enum(['characters', 'bytes', 'bpe', 'file'])
      .default('characters')
      .describe(
        'characters: one token for each distinct character of the corpus; bytes: 256 tokens, for any text; bpe: ' +
          'byte-pair encoding, trained on the training text before the first step; file: read from a tokenizer.json.',
      ),
    vocabularySize: z
      .int()
      .min(vocabularySizes.least)
      .max(vocabularySizes.most)
      .nullable()
      .default(null)
      .describe(
        'Number of tokens of the byte-pair encoding to train, including the 256 bytes and the end-of-text token; ' +
          'required for kind bpe, null for the others.',
      ),
    path: z
      .string()
      .min(1)
      .nullable()
      .default(null)
      .describe(
        'A tokenizer.json from Hugging Face or `clm tokenizer train`, relative to the file this is written in; ' +
          'required for kind file, null for the others.',
      ),
    endOfText: z
      .string()
      .min(1)
      .nullable()
      .default(null)
      .describe('Special token that ends a document, only for kind file. null: the usual one found in the file.'),
    chatTemplate: z
      .string()
      .min(1)
      .nullable()
      .default(null)
      .describe(
        'Jinja template for chats, relative to the file this is written in. null: the one beside the tokenizer ' +
          '(chat_template.jinja or tokenizer_config.json), else a plain one (docs/chat.md).',
      ),
  })
  .prefault({})
  .describe('How text is encoded into token ids.');

const optimizer = z
  .strictObject({
    kind: z
      .enum(['adamw', 'muon'])
      .default('adamw')
      .describe('Update rule: adamw; or muon for the matrices inside the blocks, with adamw for everything else.'),
    learningRate: z.number().min(0).default(1e-3).describe('Peak learning rate, reached at the end of the warm-up.'),
    betas: z
      .tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)])
      .default([0.9, 0.99])
      .describe('AdamW: decay rates of the running means of the gradient and of its square; each ≥ 0 and < 1.'),
    epsilon: z.number().gt(0).default(1e-8).describe('AdamW: added to the denominator of the update.'),
    momentum: z
      .number()
      .min(0)
      .lt(1)
      .nullable()
      .default(null)
      .describe('Muon: decay rate of the running mean of the gradient; only for kind muon. null: 0.95.'),
    weightDecay: z.number().min(0).default(0.1).describe('Decoupled weight decay, applied to matrices only.'),
    gradientClip: z
      .number()
      .gt(0)
      .nullable()
      .default(1)
      .describe('Maximum global norm of the gradient; larger gradients are scaled down to it. null: no clipping.'),
  })
  .prefault({})
  .describe('The optimizer and its hyperparameters.');

const schedule = z
  .strictObject({
    kind: z
      .enum(['cosine', 'linear', 'constant', 'warmup-stable-decay', 'inverse-square-root'])
      .default('cosine')
      .describe('Shape of the learning rate schedule after the warm-up.'),
    warmupSteps: stepsOrShare(0)
      .default(100)
      .describe('Steps over which the learning rate rises linearly from 0, or a share of the run, e.g. 5%.'),
    finalLearningRate: z
      .number()
      .min(0)
      .nullable()
      .default(null)
      .describe(
        'Learning rate at the end of the run, at most optimizer.learningRate; only for cosine, linear and ' +
          'warmup-stable-decay. null: a tenth of optimizer.learningRate.',
      ),
    decaySteps: stepsOrShare(1)
      .nullable()
      .default(null)
      .describe(
        'Length of the final decay of warmup-stable-decay in steps, or as a share of the run, e.g. 40%. null: 20%.',
      ),
  })
  .prefault({})
  .describe('The learning rate schedule.');

const evaluation = z
  .strictObject({
    everySteps: interval.default(250).describe('Steps between evaluations. null: only at the start and the end.'),
    patience: count
      .nullable()
      .default(null)
      .describe(
        'Early stopping: number of evaluations without a new best loss after which training ends. null: never.',
      ),
  })
  .prefault({})
  .describe('Evaluation of the loss on the whole validation text.');

const checkpoints = z
  .strictObject({
    everySteps: interval.default(500).describe('Steps between checkpoints. null: only at the end.'),
    keepLast: count.nullable().default(2).describe('Number of newest checkpoints to keep. null: all.'),
    keepBest: count
      .nullable()
      .default(null)
      .describe(
        'Number of checkpoints with the lowest validation loss to keep as well, among those evaluated at their own ' +
          'step. null: none.',
      ),
    keepEvery: interval.default(null).describe('Also keep checkpoints at multiples of this many steps. null: none.'),
  })
  .prefault({})
  .describe('When to save checkpoints, and which to keep.');

const samples = z
  .strictObject({
    everySteps: interval.default(500).describe('Steps between samples. null: never.'),
    prompt: z.string().default('\n').describe('Prompt that the samples continue.'),
    maxTokens: count.default(120).describe('Maximum length of a sample in tokens.'),
    temperature: z.number().min(0).default(0.8).describe('Divides the logits; 0: always the most likely token.'),
    topK: count.nullable().default(null).describe('Sample from the k most likely tokens only. null: from all.'),
    topP: z
      .number()
      .gt(0)
      .max(1)
      .nullable()
      .default(null)
      .describe('Sample from the fewest most likely tokens whose probabilities sum to at least this. null: from all.'),
    minP: z
      .number()
      .min(0)
      .max(1)
      .nullable()
      .default(null)
      .describe('Sample from tokens at least this fraction as likely as the most likely one. null: from all.'),
    repetitionPenalty: z
      .number()
      .gt(0)
      .default(1)
      .describe('Makes tokens that already occur less likely; 1: no penalty.'),
  })
  .prefault({})
  .describe('Samples generated during training. The settings are the defaults of clm sample, too.');

const reports = z
  .strictObject({
    everySteps: count.default(1).describe('Steps between the step records in metrics.jsonl.'),
    log: z
      .array(z.enum(['tensorboard', 'csv']))
      .default([])
      .describe(
        'Additional logs in the run directory: tensorboard writes event files to tensorboard/, csv writes metrics.csv.',
      ),
  })
  .prefault({})
  .describe('What is logged during training.');

/** Shape and ranges of a config whose `extends` are merged and whose `name` is filled in; see `loadConfig`. */
export const configSchema = z.strictObject({
  name: z
    .string()
    .regex(namePattern, `made of ${nameRule}`)
    .describe(
      "Name of the run: letters, digits, '.', '_' and '-', no leading dot. Default: the name of the config file " +
        'without extension.',
    ),
  seed: z
    .int()
    .min(0)
    .max(0xffffffff)
    .default(1337)
    .describe('Seed of everything random, such as initial weights, shuffling and dropout; 0 to 4294967295.'),
  device: z
    .enum(['auto', 'cpu', 'cuda'])
    .default('auto')
    .describe('Device to train on; auto uses a GPU if setup found one.'),
  start,
  adapter,
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

/**
 * The keys of a config as a program gives them: as in YAML, with the same defaults, so that only `corpus` is required,
 * and `name` unless a run directory is given. `extends` is the path of a config file.
 */
export type ConfigInput = Partial<DeepReadonly<z.input<typeof configSchema>>> & { readonly extends?: string };

/** A type with every property, at any depth, read-only; the loaded config is frozen. */
type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T;

/**
 * A complete config: every key has its value, paths are absolute, and exactly one of `training.steps`,
 * `training.tokens` and `training.epochs` is not null.
 */
export type Config = DeepReadonly<z.output<typeof configSchema>>;
