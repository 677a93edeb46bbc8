/**
 * What a starter config says: tokenizer, validation split, model and length of the run, from what the text is like, how
 * fast this machine is and how long the training may take.
 */
import { model } from '../config/sections/model.ts';
import { wrongInput } from '../errors.ts';
import { modelFlopsPerToken, parameterCount } from '../training/plan/plan.ts';

export interface ModelSize {
  layers: number;
  heads: number;
  width: number;
  contextLength: number;
  microBatchSize: number;
}

/** What all sizes have besides: the recipe of configs/recipes (docs/recipes.md). */
export const modelParts = { family: 'llama', queryKeyNorm: true } as const;
/** Muon's peak rate. The spectral norm of an update grows with √width, that of a good weight matrix does not. */
export const learningRateFor = (width: number): number => Number((8e-3 * Math.sqrt(128 / width)).toPrecision(2));

/** For training times from a minute on a laptop to a night on a large machine. */
export const modelSizes: readonly ModelSize[] = [
  { layers: 2, heads: 2, width: 64, contextLength: 64, microBatchSize: 24 },
  { layers: 4, heads: 4, width: 128, contextLength: 64, microBatchSize: 24 },
  { layers: 4, heads: 4, width: 192, contextLength: 128, microBatchSize: 16 },
  { layers: 6, heads: 6, width: 384, contextLength: 256, microBatchSize: 8 },
  { layers: 12, heads: 12, width: 768, contextLength: 512, microBatchSize: 4 },
];

export type TokenizerKind = 'characters' | 'bytes' | 'bpe';

export interface TokenizerChoice {
  kind: TokenizerKind;
  /** Tokens, about. */
  vocabularySize: number;
  /** For the comment beside it. */
  why: string;
}

/** The facts about a text on which the choices depend. */
export interface TextFacts {
  bytes: number;
  characters: number;
  distinctCharacters: number;
  documents: number;
}

/** Bytes; longer texts have enough to learn parts of words from, and too many characters for one token each. */
const longText = 10e6;
/** Bytes; a BPE of a shorter text learns mostly its rare words. */
const shortestForBpe = 1e6;
/** More different characters would make most tokens rare, as in Chinese. */
const mostCharacters = 256;

export function tokenizerFor(text: TextFacts, named?: TokenizerKind): TokenizerChoice {
  const { bytes, distinctCharacters } = text;
  const count = distinctCharacters.toLocaleString('en-US');
  const characters = {
    kind: 'characters',
    vocabularySize: distinctCharacters,
    why: `one token for each of ${count} different characters`,
  } as const;
  const plain = {
    kind: 'bytes',
    vocabularySize: 257,
    why: `a token is a byte: any text, here ${count} different characters`,
  } as const;
  const parts = {
    kind: 'bpe',
    vocabularySize: bpeVocabulary(bytes),
    why: 'parts of words, learned from the text',
  } as const;
  if (named !== undefined) return { characters, bytes: plain, bpe: parts }[named];
  if (bytes <= longText && distinctCharacters <= mostCharacters) return characters;
  return bytes >= shortestForBpe ? parts : plain;
}

/** A token for every 500 bytes of text, as a power of two from 512 to 16,384. */
const bpeVocabulary = (bytes: number): number => {
  const wanted = 2 ** Math.round(Math.log2(Math.max(1, bytes / 500)));
  const most = bytes > 1e9 ? 16_384 : bytes > 1e8 ? 8192 : bytes > longText ? 4096 : 2048;
  return Math.max(512, Math.min(most, wanted));
};

/** Tokens of the text, about: a token of a BPE is three bytes of most texts. */
export const tokenCount = ({ bytes, characters }: TextFacts, { kind }: TokenizerChoice): number =>
  Math.round(kind === 'characters' ? characters : kind === 'bytes' ? bytes : bytes / 3);

/** Fewer documents are not split by their hashes, since none might fall to validation. */
const fewestDocuments = 20;

export const hasManyDocuments = (documents: number): boolean => documents >= fewestDocuments;

/** A tenth of the text, but of a long text no more than about 200 kB, so that evaluations stay short. */
export function validationFor(
  { bytes, documents }: TextFacts,
  hasDocuments: boolean,
): { key: 'tail' | 'hash'; share: number } {
  const tail = Math.min(0.1, Number((200_000 / Math.max(bytes, 1)).toPrecision(1)));
  if (!hasDocuments || !hasManyDocuments(documents)) return { key: 'tail', share: tail };
  const leastDocuments = 5;
  return { key: 'hash', share: Math.max(tail, Math.min(0.2, Number((leastDocuments / documents).toPrecision(1)))) };
}

/** Fewer tokens are no training text at all. */
const fewestTokens = 200;

/** With fewer updates even a small model has hardly learnt anything. */
const fewestSteps = 800;
/** Share of the time spent in training steps; the rest is for evaluations, samples and checkpoints. */
const trainingShare = 0.85;
/** Parameters for each token of the text: a larger model would learn it by heart. */
const parametersPerToken = 3;
/** Passes over the text; more would have it learnt by heart. */
const mostEpochs = 40;

/** FLOPs of one training step. */
export function stepFlops({ microBatchSize, ...sizes }: ModelSize, vocabularySize: number): number {
  return (
    microBatchSize * sizes.contextLength * modelFlopsPerToken(model.parse({ ...modelParts, ...sizes }), vocabularySize)
  );
}

/**
 * The largest size that the text can fill and for which the time allows `fewestSteps` updates, else the smallest size.
 * @param tokens of the text
 * @throws wrongInput if that is too little to train on
 */
export function sizeFor(minutes: number, flopsPerSecond: number, vocabularySize: number, tokens: number): ModelSize {
  const seconds = (size: ModelSize): number => (fewestSteps * stepFlops(size, vocabularySize)) / flopsPerSecond;
  const parameters = ({ microBatchSize: _, ...sizes }: ModelSize): number =>
    parameterCount(model.parse({ ...modelParts, ...sizes }), vocabularySize);
  const size = modelSizes.findLast(
    (each) => seconds(each) <= minutes * 60 * trainingShare && parameters(each) <= parametersPerToken * tokens,
  );
  return withinText(size ?? modelSizes[0]!, tokens);
}

/** Fewer and shorter windows, so that several micro-batches fit into the text. */
export function withinText(size: ModelSize, tokens: number): ModelSize {
  if (tokens < fewestTokens)
    throw wrongInput(
      `The text has ${tokens} tokens, too little to train on. Add text: 100 kB are a beginning, 1 MB (a book) is good.`,
    );
  let { contextLength, microBatchSize } = size;
  while (tokens < 6 * microBatchSize * (contextLength + 1)) {
    if (microBatchSize > 4) microBatchSize = Math.ceil(microBatchSize / 2);
    else if (contextLength > 16) contextLength /= 2;
    else if (microBatchSize > 1) microBatchSize--;
    else break;
  }
  return { ...size, contextLength, microBatchSize };
}

export interface RunLength {
  steps: number;
  epochs: number;
  /** Whether the text, not the time, sets it. */
  isOfText: boolean;
}

/** Updates that fit into the time, rounded down to two digits, and no more than the text is good for. */
export function lengthFor(minutes: number, msPerStep: number, size: ModelSize, tokens: number): RunLength {
  const stepsPerEpoch = Math.max(tokens, 1) / (size.microBatchSize * size.contextLength);
  const byTime = (minutes * 60_000 * trainingShare) / msPerStep;
  const byText = Math.max(200, mostEpochs * stepsPerEpoch);
  const steps = Math.max(10, roundedDown(Math.min(byTime, byText)));
  return { steps, epochs: steps / stepsPerEpoch, isOfText: byText < byTime };
}

function roundedDown(value: number): number {
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(value)) - 1);
  return Math.floor(value / unit) * unit;
}
