/**
 * A first config for a text: a model as large as a given time can train on this machine, with every choice explained.
 */
import { model } from '../config/sections/model.ts';
import { flopsPerToken } from '../training/plan/plan.ts';

interface ModelSize {
  layers: number;
  heads: number;
  width: number;
  contextLength: number;
  microBatchSize: number;
}

/** From a minute on a laptop to a night on a large machine. */
export const modelSizes: readonly ModelSize[] = [
  { layers: 2, heads: 2, width: 64, contextLength: 64, microBatchSize: 16 },
  { layers: 4, heads: 4, width: 128, contextLength: 64, microBatchSize: 12 },
  { layers: 4, heads: 4, width: 192, contextLength: 128, microBatchSize: 12 },
  { layers: 6, heads: 6, width: 384, contextLength: 256, microBatchSize: 8 },
  { layers: 12, heads: 12, width: 768, contextLength: 512, microBatchSize: 4 },
];

/** With fewer updates even a small model has hardly begun. */
const fewestSteps = 1500;
/** The rest is for evaluations, samples and checkpoints. */
const trainingShare = 0.85;
/** Longer texts are worth a tokenizer of their own. */
const largestCharacterText = 10_000_000;
const learntTokens = 4096;

/** What the tokenizer will have: a text's own characters, or the tokens learnt from it. */
const vocabularySize = (textBytes: number): number => (textBytes > largestCharacterText ? learntTokens : 100);

/** FLOPs of a training step. */
export function stepFlops({ microBatchSize, ...sizes }: ModelSize, textBytes: number): number {
  return microBatchSize * sizes.contextLength * flopsPerToken(model.parse(sizes), vocabularySize(textBytes));
}

/** The largest size that the time allows enough updates of, or the smallest there is. */
export function sizeFor(minutes: number, flopsPerSecond: number, textBytes: number): ModelSize {
  const seconds = (size: ModelSize): number => (fewestSteps * stepFlops(size, textBytes)) / flopsPerSecond;
  return modelSizes.findLast((size) => seconds(size) <= minutes * 60 * trainingShare) ?? modelSizes[0]!;
}

/** Updates that fit the time, in two digits. */
export const stepsFor = (minutes: number, msPerStep: number): number =>
  Math.max(10, Number(Math.floor((minutes * 60_000 * trainingShare) / msPerStep).toPrecision(2)));

export interface StartingChoices {
  name: string;
  /** As it shall stand in the file, relative to it. */
  textPath: string;
  textBytes: number;
  /** Field or column that holds the text; null for plain text. */
  field: string | null;
  minutes: number;
  size: ModelSize;
  steps: number;
  schema: string;
}

export function renderStartingConfig({
  name,
  textPath,
  textBytes,
  field,
  minutes,
  size,
  steps,
  schema,
}: StartingChoices): string {
  const { layers, heads, width, contextLength, microBatchSize } = size;
  const every = Math.max(1, Math.round(steps / 4));
  const isLong = textBytes > largestCharacterText;
  const tokenizer = isLong
    ? `{ kind: bpe, vocabularySize: ${learntTokens} }   # pieces of words, learnt from the text`
    : '{ kind: characters }             # a token for each character of the text; bpe learns pieces of words';
  return `# yaml-language-server: $schema=${schema}
# Made by clm init: about ${minutes} ${minutes === 1 ? 'minute' : 'minutes'} on the machine it was made on. Every key with its meaning: clm config show THIS-FILE,
# and docs/reference-keys.md. Change what you like; --set model.layers=6 changes a key for one run.
name: ${JSON.stringify(name)}                      # the run goes to runs/<name>
seed: 1337                            # decides everything random
corpus:
  sources: [{ path: ${JSON.stringify(textPath)}${field === null ? '' : `, field: ${JSON.stringify(field)}`} }]    # a file, a folder or a glob
  validation: { tail: ${validationTail(textBytes)} }             # the last part of the text is never trained on
tokenizer: ${tokenizer}
model:                                # a larger model learns more from more text, and takes longer
  layers: ${layers}
  heads: ${heads}                            # divides width
  width: ${width}
  contextLength: ${contextLength}                   # how many tokens it can look back on
training:
  microBatchSize: ${microBatchSize}                  # windows computed at a time; lower it when memory is short
  steps: ${steps}                       # the time is proportional to it
optimizer: { learningRate: ${width <= 128 ? '2e-3' : width <= 384 ? '1e-3' : '6e-4'} }      # lower it where the loss jumps about
schedule: { warmupSteps: ${Math.min(100, Math.ceil(steps / 10))}, finalLearningRate: 1e-4 }
evaluation: { everySteps: ${every} }        # loss on the validation text
checkpoints: { everySteps: ${every}, keepLast: 2 }
samples: { everySteps: ${every}, maxTokens: 120 }    # completions on the way, in runs/<name>/samples
`;
}

/** A tenth, but of a long text no more than takes a blink to score. */
const validationTail = (bytes: number): number => Math.min(0.1, Number((200_000 / Math.max(bytes, 1)).toPrecision(1)));
