/**
 * Writes a starter config for a text: the largest model that this machine can train in a given time, with comments.
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

/** For training times from a minute on a laptop to a night on a large machine. */
export const modelSizes: readonly ModelSize[] = [
  { layers: 2, heads: 2, width: 64, contextLength: 64, microBatchSize: 16 },
  { layers: 4, heads: 4, width: 128, contextLength: 64, microBatchSize: 12 },
  { layers: 4, heads: 4, width: 192, contextLength: 128, microBatchSize: 12 },
  { layers: 6, heads: 6, width: 384, contextLength: 256, microBatchSize: 8 },
  { layers: 12, heads: 12, width: 768, contextLength: 512, microBatchSize: 4 },
];

/** With fewer updates even a small model has hardly learnt anything. */
const fewestSteps = 1500;
/** Share of the time spent in training steps; the rest is for evaluations, samples and checkpoints. */
const trainingShare = 0.85;
/** Bytes; longer texts get a BPE tokenizer trained on them. */
const largestCharacterText = 10_000_000;
const bpeVocabularySize = 4096;

/** Expected vocabulary size: the characters of the text, about 100, or the size of the BPE. */
const vocabularySize = (textBytes: number): number => (textBytes > largestCharacterText ? bpeVocabularySize : 100);

/** FLOPs of one training step. */
export function stepFlops({ microBatchSize, ...sizes }: ModelSize, textBytes: number): number {
  return microBatchSize * sizes.contextLength * flopsPerToken(model.parse(sizes), vocabularySize(textBytes));
}

/** The largest size for which the time allows `fewestSteps` updates, else the smallest size. */
export function sizeFor(minutes: number, flopsPerSecond: number, textBytes: number): ModelSize {
  const seconds = (size: ModelSize): number => (fewestSteps * stepFlops(size, textBytes)) / flopsPerSecond;
  return modelSizes.findLast((size) => seconds(size) <= minutes * 60 * trainingShare) ?? modelSizes[0]!;
}

/** Updates that fit into the time, rounded to two digits. */
export const stepsFor = (minutes: number, msPerStep: number): number =>
  Math.max(10, Number(Math.floor((minutes * 60_000 * trainingShare) / msPerStep).toPrecision(2)));

export interface StartingChoices {
  name: string;
  /** Path of the text relative to the config file. */
  textPath: string;
  textBytes: number;
  /** Field or column that contains the text; null for plain text. */
  field: string | null;
  minutes: number;
  size: ModelSize;
  steps: number;
  schema: string;
}

/** Where comments at the ends of lines begin. */
const commentColumn = 46;

export function renderStartingConfig(choices: StartingChoices): string {
  const { name, textPath, textBytes, field, minutes, steps, schema } = choices;
  const { layers, heads, width, contextLength, microBatchSize } = choices.size;
  const every = Math.max(1, Math.round(steps / 4));
  const isLong = textBytes > largestCharacterText;
  const tokenizer = isLong
    ? `{ kind: bpe, vocabularySize: ${bpeVocabularySize} }\t# parts of words, learned from the text`
    : '{ kind: characters }\t# one token per character of the text; bpe learns parts of words';
  const source = `path: ${JSON.stringify(textPath)}${field === null ? '' : `, field: ${JSON.stringify(field)}`}`;
  const learningRate = width <= 128 ? '2e-3' : width <= 384 ? '1e-3' : '6e-4';
  return `# yaml-language-server: $schema=${schema}
# Written by clm init, for about ${minutes} ${minutes === 1 ? 'minute' : 'minutes'} on this machine.
# All keys are described in docs/reference-keys.md, and by: clm config show THIS-FILE
# To change a key for one run only: clm train THIS-FILE --set model.layers=6
name: ${JSON.stringify(name)}\t# the run directory is runs/<name>
seed: 1337\t# of everything random
corpus:
  sources: [{ ${source} }]\t# a file, a folder or a glob
  validation: { tail: ${validationTail(textBytes)} }\t# share of the text, at its end, kept for validation
tokenizer: ${tokenizer}
model:\t# a larger model learns more from more text, but trains slower
  layers: ${layers}
  heads: ${heads}\t# must divide width
  width: ${width}
  contextLength: ${contextLength}\t# in tokens
training:
  microBatchSize: ${microBatchSize}\t# windows per pass; lower it if memory runs out
  steps: ${steps}\t# the training time is proportional to it
optimizer: { learningRate: ${learningRate} }\t# lower it if the loss jumps up
schedule: { warmupSteps: ${Math.min(100, Math.ceil(steps / 10))}, finalLearningRate: 1e-4 }
evaluation: { everySteps: ${every} }\t# loss on the validation text
checkpoints: { everySteps: ${every}, keepLast: 2 }
samples: { everySteps: ${every}, maxTokens: 120 }\t# completions during training, in runs/<name>/samples
`.replace(/^(.*)\t#/gm, (_, key: string) => `${key.padEnd(commentColumn)} #`);
}

/** A tenth of the text, but of a long text no more than about 200 kB, so that evaluations stay short. */
const validationTail = (bytes: number): number => Math.min(0.1, Number((200_000 / Math.max(bytes, 1)).toPrecision(1)));
